"""Back-pressure: who has to wait longer while more runs wait than workers can take up.

Intake goes on whatever happens; an event that was answered is stored. What slows
is the starting of runs: in the queue, a run of a blueprint that has more than its
share of the waiting ones steps back behind the others, so that a storm delays
itself first. Priority still counts: each share too many costs one of it.

Stepping back in the queue, and not a later start: nobody waits while a worker
has nothing to do.

The one thing that stops intake is a disk that is nearly full (:class:`Headroom`):
what could not be recorded any more is not answered with 2xx.
"""

import datetime as dt
import logging
import shutil
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import XynError
from xyn_reconciler.store import suppressions
from xyn_reconciler.store.database import Connection

BACKLOG_LIMIT: Final = 1000
"""Runs that may wait for their first worker before any of them steps back: some 3 s of work."""

MOST_STEPS: Final = 10
"""How far back a blueprint's runs go at most."""

LOOK_AGAIN: Final = dt.timedelta(seconds=1)
"""Counting costs a look at every waiting run, so it is not done for each event."""


def steps_back(waiting: Mapping[str, int], limit: int = BACKLOG_LIMIT) -> dict[str, int]:
    """Give by how much of its priority each blueprint's next run steps back; 0 is left out.

    ``waiting`` counts runs that wait for their first worker. Within the limit nobody
    steps back; beyond it, whoever has more than an even share of the limit does.
    """
    if sum(waiting.values()) <= limit:
        return {}
    share = max(1, limit // len(waiting))
    steps = {name: min(count // share, MOST_STEPS) for name, count in waiting.items()}
    return {name: step for name, step in steps.items() if step}


class Pressure:
    """What was counted last, in this process; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked: dt.datetime | None = None
        self._slowed: dict[str, int] = {}

    def slowed(self, connection: Connection, now: dt.datetime) -> Mapping[str, int]:
        """Give :func:`steps_back` of a moment that is not long ago."""
        with self._lock:
            # A clock that was put back would otherwise keep the old count for as long.
            if self._looked is not None and abs(now - self._looked) < LOOK_AGAIN:
                return self._slowed
            self._looked = now
        counted = steps_back(suppressions.waiting_runs(connection))
        self._slowed = counted
        return counted


FREE_SHARE: Final = 0.05
FREE_AT_MOST: Final = 256_000_000
"""Bytes that stay free below the node's home, or :data:`FREE_SHARE` of a small disk: records,
artifacts and the embedded Postgres have to be able to finish what they began."""

RETRY_AFTER: Final = 30
"""Seconds after which a sender may try again."""

logger = logging.getLogger(__name__)


class IntakeFullError(XynError):
    """There is no room for more events; ``details.source`` is whose it was."""

    code = "intake_full"
    http_status = 429

    def __init__(self, source: str) -> None:
        super().__init__(
            "the node's disk is nearly full, so it takes no more events; try again later",
            details={"source": source, "retry_after": RETRY_AFTER},
        )


def is_nearly_full(free: int, total: int) -> bool:
    """Whether so few bytes are free that intake has to stop."""
    return free < min(FREE_AT_MOST, total * FREE_SHARE)


class Headroom:
    """Whether there is room for more, and how many deliveries of each source found none."""

    def __init__(self) -> None:
        self._refused: Counter[str] = Counter()

    @property
    def refused(self) -> Mapping[str, int]:
        """Requests refused by this process, by source."""
        return dict(self._refused)

    def ask(self, home: Path, source: str) -> None:
        """Return if there is room; raise :class:`IntakeFullError` if not. One system call."""
        usage = shutil.disk_usage(home)
        if is_nearly_full(usage.free, usage.total):
            self._refused[source] += 1
            logger.warning("the disk is nearly full: an event of %s was refused", source)
            raise IntakeFullError(source)
