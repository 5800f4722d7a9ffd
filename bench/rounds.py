"""Take turns: floor and Xyn, as often as asked, within a time."""

import time
from collections.abc import Iterator
from typing import Final

from bench.place import Say

AT_LEAST: Final = 3


def rounds(say: Say, name: str, count: int, *, seconds: float) -> Iterator[int]:
    """Count rounds from 0; after ``seconds`` no further one begins, but for the first three."""
    until = time.monotonic() + seconds
    for number in range(count):
        if number >= AT_LEAST and time.monotonic() > until:
            return
        if number in {0, count // 2}:
            say(f"{name}: round {number + 1} of {count}")
        yield number
