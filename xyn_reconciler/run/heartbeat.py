"""One thread that prolongs the leases of all runs in this process, and hears of cancels.

It runs only while something is held. A run that is no longer this worker's, or
whose lease may have lapsed because the database is away, is told to stop: its
effects must not go on beside those of whoever takes it up next.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Iterable

from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.run.hand import Grip
from xyn_reconciler.store import claims
from xyn_reconciler.store.claims import Token
from xyn_reconciler.store.database import Database

LOOK_SECONDS = 0.5
"""How soon a cancel reaches the steps that are under way."""

logger = logging.getLogger(__name__)


class Heartbeat:
    """Keeps claims alive; safe from any thread."""

    def __init__(
        self,
        database: Database,
        worker: str,
        lease: dt.timedelta,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._database = database
        self._worker = worker
        self._lease = lease
        self._clock = clock
        self._grips: dict[Token, Grip] = {}
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, grips: Iterable[Grip]) -> None:
        """Begin to prolong claims."""
        with self._changed:
            self._grips |= {(grip.run_id, grip.attempt): grip for grip in grips}
            if self._thread is None and self._grips:
                self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
                self._thread.start()
            self._changed.notify()

    def let_go(self, grips: Iterable[Grip]) -> None:
        """Prolong them no more."""
        with self._changed:
            for grip in grips:
                self._grips.pop((grip.run_id, grip.attempt), None)

    def close(self) -> None:
        """End the thread; what is still held lapses."""
        with self._changed:
            self._closed.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        renewed_at = time.monotonic()
        while not self._closed.is_set():
            with self._changed:
                while not self._grips and not self._closed.is_set():
                    self._changed.wait()
                    renewed_at = time.monotonic()  # Whoever just came has a fresh lease.
            if self._closed.wait(min(LOOK_SECONDS, self._lease.total_seconds() / 4)):
                return
            with self._changed:
                grips = dict(self._grips)
            if not grips:
                continue
            try:
                renewed_at = self._look(grips, renewed_at)
            except UnavailableError as error:
                logger.warning("leases cannot be renewed: %s", error)
                if time.monotonic() - renewed_at > self._lease.total_seconds():
                    self._lose(grips.values())

    def _look(self, grips: dict[Token, Grip], renewed_at: float) -> float:
        started = time.monotonic()
        with self._database.begin() as connection:
            if started - renewed_at > self._lease.total_seconds() / 4:
                claims.renew(
                    connection,
                    list(grips),
                    worker=self._worker,
                    now=self._clock(),
                    lease=self._lease,
                )
                renewed_at = started
            news = claims.news(connection, list(grips), worker=self._worker)
        self._lose([grip for key, grip in grips.items() if key not in news])
        for key, heard in news.items():
            # Also at the first look: what was changed before it, the worker may not have seen.
            if grips[key].news != heard:
                grips[key].news = heard
                grips[key].look_again()
        return renewed_at

    def _lose(self, grips: Iterable[Grip]) -> None:
        for grip in grips:
            with self._changed:
                if (grip.run_id, grip.attempt) not in self._grips:
                    continue  # Given back in the meantime.
            grip.lose()
