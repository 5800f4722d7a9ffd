"""When does a schedule fire? Moments in, moments out.

Pure, and shared by the loop that fires (:mod:`.schedule`) and by pages that show
the next times. Cron means what Debian's cron means (crontab(5) and ``cronsim``):
day of month and day of week are ORed unless one begins with ``*``, 0 and 7 are
Sunday. A *slot* is the moment, in UTC, at which a schedule is to fire.

Summer time: a job at a fixed time of the day fires once on both days of change,
a time that the clock leaps over fires when the leap has been made. A job with
``*`` in minute or hour goes by elapsed time, so that ``*/10 * * * *`` has no gap
and no double.

The trap: two wall-clock times may be one moment (02:30 and 03:00 on the day of
the leap), and the second 02:30 of autumn would be asked for after it was given.
So slots count only as they strictly rise.
"""

import datetime as dt
import itertools
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from cronsim import CronSim

from xyn_reconciler.model.document import CRON_WORDS

Missed = Literal["skip", "last", "all"]

LATE: Final = dt.timedelta(seconds=60)
"""A slot that is found no later than this was not missed: ticks are late, processes start anew."""

MOST_MISSED: Final = 1000
"""Missed slots that ``missed: all`` fires, the newest ones: a minute's job after 16 hours."""

_SPANS: Final = tuple(dt.timedelta(days=days) for days in (1 / 24, 1, 32, 366, 36_500))


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at a schedule found."""

    slots: list[dt.datetime]
    """To fire now, oldest first."""
    passed_over: int
    """Missed slots that do not fire; of ``last`` and ``skip`` at least so many."""


def next_slots(cron: str, zone: str, after: dt.datetime, count: int) -> list[dt.datetime]:
    """Give the next slots after a moment, fewer where the schedule has no more of them."""
    return list(itertools.islice(_slots(cron, zone, after), count))


def due(cron: str, zone: str, missed: Missed, after: dt.datetime, now: dt.datetime) -> Due:
    """Decide which of the slots in (after, now] fire, now that somebody looks again.

    Those found in time all do; of those that were missed, what ``missed`` says.
    """
    on_time = max(after, now - LATE)
    fresh = list(_until(cron, zone, on_time, now))
    if missed == "all":
        old, more = _newest(cron, zone, after, on_time, MOST_MISSED)
        return Due(old + fresh, more)
    old, _ = _newest(cron, zone, after, on_time, 1)
    if missed == "last" and not fresh:
        return Due(old, 0)
    return Due(fresh, len(old))


def _newest(
    cron: str, zone: str, after: dt.datetime, until: dt.datetime, count: int
) -> tuple[list[dt.datetime], int]:
    """The newest slots in (after, until], and how many more there are at least.

    Looks back ever further: a stop may have been long, and minutes are many.
    """
    found: list[dt.datetime] = []
    for span in _SPANS:
        start = max(after, until - span)
        found = list(_until(cron, zone, start, until))
        if len(found) > count or start == after:
            break
    return found[-count:], max(0, len(found) - count)


def _until(cron: str, zone: str, after: dt.datetime, until: dt.datetime) -> Iterator[dt.datetime]:
    return itertools.takewhile(lambda slot: slot <= until, _slots(cron, zone, after))


def _slots(cron: str, zone: str, after: dt.datetime) -> Iterator[dt.datetime]:
    local = after.astimezone(zoneinfo.ZoneInfo(zone))
    newest = after.astimezone(dt.UTC)
    for found in CronSim(CRON_WORDS.get(cron, cron), local):
        slot = found.astimezone(dt.UTC)
        if slot > newest:
            newest = slot
            yield slot
