"""How a command of the benchmark speaks and ends: lines with their time, signals heeded once."""

import signal
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

_ENDS: Final = (signal.SIGINT, signal.SIGTERM)


def say_since(began: float) -> Callable[[str], None]:
    """Give what prints a line to standard error with the seconds since ``began`` (monotonic)."""

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {what}", file=sys.stderr, flush=True)

    return say


def heed_signals() -> None:
    """Let SIGINT and SIGTERM raise ``KeyboardInterrupt``, so that everything is tidied up."""
    for number in _ENDS:
        signal.signal(number, _end)


def _end(*_: object) -> NoReturn:
    """End once: a second signal must not break off the tidying up that the first began."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
