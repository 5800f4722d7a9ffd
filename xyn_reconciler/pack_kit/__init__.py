"""What a pack takes along to write actions in Python; ``xynctl pack new`` copies it."""

from importlib import resources
from typing import Final

NAME: Final = "xyn_kit.py"
"""What the file is called, in a pack's ``actions/`` as well."""


def kit() -> str:
    """Give its text."""
    return (resources.files(__name__) / NAME).read_text(encoding="utf-8")
