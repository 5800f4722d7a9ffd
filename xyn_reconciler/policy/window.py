"""Is a time window open, and when does it open next? Moments in, moments out.

A window is a stretch of a wall clock that begins on one of its days; where ``to``
is not after ``from`` it ends on the day after. Its two ends are turned into moments,
and it is open from the first up to, not including, the second. So on the days on
which summer time changes it has no hole and does not vanish: an hour that comes
twice is all in it, and an end that the clock leaps over moves by the leap.
"""

import datetime as dt
import zoneinfo
from collections.abc import Collection, Iterator
from typing import Final

from xyn_reconciler.model.policy import DAYS, TimeWindow

_DAY: Final = dt.timedelta(days=1)
_FAR: Final = dt.timedelta(days=366)
"""Windows which do not meet within a year never do."""


def is_open(window: TimeWindow, now: dt.datetime) -> bool:
    return any(start <= now < end for start, end in _around(window, now))


def next_opening(windows: Collection[TimeWindow], now: dt.datetime) -> dt.datetime | None:
    """Give the first moment from ``now`` on at which all are open; None where they never meet."""
    moment = now
    while moment - now < _FAR:
        later = max((_opening(window, moment) for window in windows), default=moment)
        if later == moment:
            return moment.astimezone(dt.UTC)
        moment = later
    return None


def _opening(window: TimeWindow, now: dt.datetime) -> dt.datetime:
    """The first moment from ``now`` on at which it is open; one begins within eight days."""
    return min(max(start, now) for start, end in _around(window, now) if end > now)


def _around(window: TimeWindow, now: dt.datetime) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """Beginning and end of its stretches from two days before to nine days after."""
    zone = zoneinfo.ZoneInfo(window.timezone)
    opens, closes = dt.time.fromisoformat(window.from_), dt.time.fromisoformat(window.to)
    today = now.astimezone(zone).date()
    for offset in range(-2, 10):
        day = today + offset * _DAY
        if DAYS[day.weekday()] not in window.days:
            continue
        start = dt.datetime.combine(day, opens, zone).astimezone(dt.UTC)
        last = dt.datetime.combine(day if closes > opens else day + _DAY, closes, zone)
        # Of an hour that comes twice the later one; of a gap the moment reckoned from before it.
        end = max(last.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1))
        if start < end:
            yield start, end
