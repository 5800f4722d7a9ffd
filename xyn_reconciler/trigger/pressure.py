"""Back-pressure: who has to wait longer while more runs wait than workers can take up.

Intake goes on whatever happens; an event that was answered is stored. What slows
is the starting of runs: in the queue, a run of a blueprint that has more than its
share of the waiting ones steps back behind the others, so that a storm delays
itself first. Priority still counts: each share too many costs one of it.

Stepping back in the queue, and not a later start: nobody waits while a worker
has nothing to do.

Two things stop intake (:class:`Headroom`): a disk that is nearly full, and more
bytes of unhandled events than the node allows. What could not be recorded any
more is not answered with 2xx.

The trap: counting what waits costs a look at each of it, and there is most of it
when time is dearest. So it is done seldom, and the more it costs, the more seldom.
"""

import datetime as dt
import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.event import Event
from xyn_reconciler.store import desired, suppressions
from xyn_reconciler.store.database import Connection, Database

BACKLOG_LIMIT: Final = 1000
"""Runs that may wait for their first worker before any of them steps back: some 3 s of work."""

BACKLOG_MAX: Final = 1_000_000_000
"""Bytes of events that may wait to be handled.

Both hold until a revision is applied: then its ``limits.backlog_runs`` and ``backlog_max`` do.
"""

MOST_STEPS: Final = 10
"""How far back a blueprint's runs go at most."""

LOOK_AGAIN: Final = dt.timedelta(seconds=1)
"""Counting costs a look at every waiting run, and the disk a call to the system.

So neither is done for each event.
"""


def steps_back(waiting: Mapping[str, int], limit: int) -> dict[str, int]:
    """Give by how much of its priority each blueprint's next run steps back; 0 is left out.

    ``waiting`` counts runs that wait for their first worker. Within the limit nobody
    steps back; beyond it, whoever has more than an even share of the limit does.
    """
    if sum(waiting.values()) <= limit:
        return {}
    share = max(1, limit // len(waiting))
    steps = {name: min(count // share, MOST_STEPS) for name, count in waiting.items()}
    return {name: step for name, step in steps.items() if step}


@dataclass(frozen=True, slots=True)
class Backlog:
    """Runs that wait for their first worker, how many may, and who steps back by how much."""

    waiting: int
    limit: int
    slowed: Mapping[str, int]


def backlog(connection: Connection, starting: Iterable[str] = ()) -> Backlog:
    """Count what waits, and with it the runs that are just starting, by their blueprints."""
    limit = _limit(connection, "backlog_runs", BACKLOG_LIMIT)
    waiting = Counter(suppressions.waiting_runs(connection)) + Counter(starting)
    return Backlog(sum(waiting.values()), limit, steps_back(waiting, limit))


def _limit(connection: Connection, name: str, default: int) -> int:
    return int(desired.read_node(connection).settings.get("limits", {}).get(name, default))


class Pressure:
    """What was counted last, in this process; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked: dt.datetime | None = None
        self._slowed: Mapping[str, int] = {}

    def slowed(
        self, connection: Connection, now: dt.datetime, starting: Iterable[str]
    ) -> Mapping[str, int]:
        """Give :func:`steps_back` of a moment that is not long ago."""
        with self._lock:
            # A clock that was put back would otherwise keep the old count for as long.
            if self._looked is not None and abs(now - self._looked) < LOOK_AGAIN:
                return self._slowed
            self._looked = now
        self._slowed = backlog(connection, starting).slowed
        return self._slowed


FREE_SHARE: Final = 0.05
FREE_AT_MOST: Final = 256_000_000
"""Bytes that stay free below the node's home, or :data:`FREE_SHARE` of a small disk: records,
artifacts and the embedded Postgres have to be able to finish what they began."""

RETRY_AFTER: Final = 30
"""Seconds after which a sender may try again."""

COUNTING_SHARE: Final = 0.05
"""Of the time goes into counting what waits, however much that is."""

logger = logging.getLogger(__name__)


class IntakeFullError(XynError):
    """There is no room for more events; ``details.source`` is whose it was."""

    code = "intake_full"
    http_status = 429

    def __init__(self, source: str, why: str) -> None:
        super().__init__(
            f"{why}, so the node takes no more events; try again later",
            details={"source": source, "retry_after": RETRY_AFTER},
        )


def is_nearly_full(free: int, total: int) -> bool:
    """Whether so few bytes are free that intake has to stop."""
    return free < min(FREE_AT_MOST, total * FREE_SHARE)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Bytes of events that are not handled yet: not in Git, or a run of theirs was not taken up."""

    size: int
    limit: int
    """``limits.backlog_max`` of ``node.yaml``."""


class Headroom:
    """Whether there is room for more, and how many requests of each source found none.

    Safe from any thread. What came since the last count is added to it, so that
    a limit holds between counts as well.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that only go up."""
        self._clock = clock
        self._refused: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._count_at = float("-inf")
        self._waiting = Waiting(0, BACKLOG_MAX)
        self._since = 0
        self._disk_at = float("-inf")
        self._disk_is_nearly_full = False

    @property
    def refused(self) -> Mapping[str, int]:
        """Requests refused by this process, by source."""
        return dict(self._refused)

    def ask(self, home: Path, database: Database, events: Sequence[Event]) -> None:
        """Return if there is room for events; raise :class:`IntakeFullError` if not.

        They are one request's, so of one source.
        """
        if self._disk_nearly_full(home):
            self._refuse(events[0].source, "the disk is nearly full")
        size = sum(len(event.raw) for event in events if event.raw is not None)
        waiting = self.waiting(database)
        if waiting.size + self._since + size > waiting.limit:
            allowed = f"{waiting.limit} bytes of events wait already (limits.backlog_max)"
            self._refuse(events[0].source, allowed)
        self._since += size

    def waiting(self, database: Database) -> Waiting:
        """Give what waited a moment ago; whoever comes while it is counted has the last count."""
        if self._clock() >= self._count_at and self._counting.acquire(blocking=False):
            try:
                self._count(database)
            finally:
                self._counting.release()
        return self._waiting

    def _disk_nearly_full(self, home: Path) -> bool:
        now = self._clock()
        if now >= self._disk_at:
            self._disk_at = now + LOOK_AGAIN.total_seconds()
            usage = shutil.disk_usage(home)
            self._disk_is_nearly_full = is_nearly_full(usage.free, usage.total)
        return self._disk_is_nearly_full

    def _count(self, database: Database) -> None:
        began = self._clock()
        self._since = 0
        with database.read() as connection:
            limit = _limit(connection, "backlog_max", BACKLOG_MAX)
            self._waiting = Waiting(suppressions.waiting_bytes(connection), limit)
        ended = self._clock()
        pause = max((ended - began) / COUNTING_SHARE, LOOK_AGAIN.total_seconds())
        self._count_at = ended + pause

    def _refuse(self, source: str, why: str) -> None:
        self._refused[source] += 1
        logger.warning("%s: an event of %s was refused", why, source)
        raise IntakeFullError(source, why)
