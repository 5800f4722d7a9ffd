"""Take turns: floor and Xyn, as often as asked, within a time."""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from bench.place import Say

AT_LEAST: Final = 3

T = TypeVar("T")
_serial = itertools.count()


def turns(
    say: Say, name: str, count: int, sides: Mapping[str, Callable[[str], T]], *, seconds: float
) -> list[dict[str, T]]:
    """Measure every side once a round; each is given a prefix for names, never the same twice.

    After ``seconds`` no further round begins, but for the first three. Odd
    rounds go in the reverse order: nobody always comes second.
    """
    until = time.monotonic() + seconds
    done: list[dict[str, T]] = []
    while len(done) < count and (len(done) < AT_LEAST or time.monotonic() < until):
        if len(done) in {0, count // 2}:
            say(f"{name}: round {len(done) + 1} of {count}")
        order = list(sides)
        if len(done) % 2:
            order.reverse()
        done.append({side: sides[side](f"round-{next(_serial)}") for side in order})
    return done


def pairs(rounds: list[dict[str, float]], floor: str, value: str) -> list[tuple[float, float]]:
    """Give two sides of each round."""
    return [(each[floor], each[value]) for each in rounds]
