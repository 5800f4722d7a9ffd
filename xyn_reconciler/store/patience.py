"""Wait for a database that is away, where a step has done what it cannot do again."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from xyn_reconciler.model.errors import UnavailableError

AWAY: Final = 60.0
"""Seconds that a step waits before it fails for it."""
_AGAIN_SECONDS: Final = 0.2

Given = TypeVar("Given")


def patiently(act: Callable[[], Given], seconds: float = AWAY) -> Given:
    """Do it, again while the database is away; ``UnavailableError`` once the time is up."""
    until = time.monotonic() + seconds
    while True:
        try:
            return act()
        except UnavailableError:
            if time.monotonic() >= until:
                raise
        time.sleep(_AGAIN_SECONDS)
