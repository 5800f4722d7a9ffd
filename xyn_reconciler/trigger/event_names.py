"""Names of events from outside: what is taken, what is made to fit, what is reserved."""

import re
from typing import Final

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.event import RESERVED_PREFIX

MAX_LENGTH: Final = 200
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_UNFIT: Final = re.compile(r"[^a-z0-9_.-]+")


class ReservedNameError(InvalidError):
    """A sender outside used a name that begins with ``xyn.`` (seed 29.4)."""

    code = "reserved_name"


def refuse_reserved(name: str) -> None:
    if name.lower().startswith(RESERVED_PREFIX) or name.lower() == RESERVED_PREFIX.rstrip("."):
        raise ReservedNameError(
            f"{name[:MAX_LENGTH]!r} is reserved: only the node itself emits names with xyn."
        )


def is_name(text: str) -> bool:
    """Whether it is dot-separated, lower case, of ``a-z 0-9 _ -`` (seed 29.4), and not too long."""
    return len(text) <= MAX_LENGTH and _NAME.fullmatch(text) is not None


def fitted(text: str) -> str:
    """Make a name of a foreign one: lower case, ``-`` for what does not fit, no empty segment.

    ``com.GitHub/Pull Request`` becomes ``com.github-pull-request``. Empty if nothing is left.
    """
    segments = _UNFIT.sub("-", text.lower()).split(".")
    return ".".join(segment for segment in segments if segment.strip("-"))[:MAX_LENGTH].rstrip(".")
