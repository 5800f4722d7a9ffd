"""Durations and sizes as the documents write them: a whole number with a unit.

``10m``, ``500ms``, ``250MB``. Documents keep the text, whoever reckons with it
turns it into a number here.
"""

import datetime as dt
import re
from typing import Final

DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
SIZE: Final = re.compile(r"([0-9]{1,9})(B|kB|MB|GB|TB)")

_MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES: Final = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
LONGEST: Final = dt.timedelta(days=36_500)
"""A hundred years: more is a slip, and would not fit beside a date."""


def parse_duration(text: str) -> dt.timedelta:
    """Read ``90s``. Raises ``ValueError`` for anything but a whole number with ``ms s m h d``."""
    found = DURATION.fullmatch(text)
    if found is None:
        raise ValueError("a duration is a whole number with a unit: 500ms, 30s, 10m, 4h, 7d")
    milliseconds = int(found[1]) * _MILLISECONDS[found[2]]
    if milliseconds > LONGEST / dt.timedelta(milliseconds=1):
        raise ValueError("a duration is at most 36500d")
    return dt.timedelta(milliseconds=milliseconds)


def parse_size(text: str) -> int:
    """Read ``250MB`` as bytes, in powers of ten. Raises ``ValueError`` for anything else."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise ValueError("a size is a whole number with a unit: 512B, 64kB, 250MB, 20GB")
    return int(found[1]) * _BYTES[found[2]]
