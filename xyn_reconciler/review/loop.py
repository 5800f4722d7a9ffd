"""Keep what is known of drafts equal to the branches: look, note, check, wait for news.

Level-triggered as the reconciler is: a look compares the branches below
``refs/heads/draft/`` and ``main`` with the rows and acts on the difference, however it
came about. Reasons to look are the notices ``xyn_review`` (a push, a verb, checks that
ended) and ``xyn_applied`` (``main`` moved), and every :data:`LOOK_SECONDS` the truth.

The node process runs one of these; an advisory lock elects one of several. Checks run
in a few threads; their rows say ``running`` from the transaction on in which the
review exists, and what a process that died left ``running`` is ``interrupted`` and run
again. The trap: a result belongs to a head *and* to the ``main`` that it was merged with.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.review.checking import Checking, Job
from xyn_reconciler.review.checks import SLOW
from xyn_reconciler.review.noting import note
from xyn_reconciler.store import notice, reviews
from xyn_reconciler.store.database import AdvisoryLock
from xyn_reconciler.store.reviews import Check, Review

LOOK_SECONDS: Final = 30.0
"""Between two looks without a notice: what mends one that was lost."""

LOCK: Final = "xyn.review"
CHECKS_AT_ONCE: Final = 2

_SETTLE_SECONDS: Final = 1.0
"""``main`` may move many times a second: drafts follow it with this delay."""
_ELECTION_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 0.5

logger = logging.getLogger(__name__)


def due(
    open_now: Iterable[Review],
    checks: Mapping[uuid.UUID, Sequence[Check]],
    *,
    main: str,
    names: Collection[str],
    busy: Mapping[uuid.UUID, int],
) -> Iterator[Review]:
    """Give the reviews whose checks have to run, or to run again; ``busy`` has iterations.

    One whose checks are under way is left to them also where ``main`` has moved:
    their end is the next occasion.
    """
    for review in open_now:
        found = checks.get(review.draft_id, ())
        if busy.get(review.draft_id) == review.iteration:
            continue
        if {each.name for each in found} != {*names} or any(
            each.main != main or each.status in ("running", "interrupted") for each in found
        ):
            yield review


class Reviews:
    """One per process that may be elected; :meth:`run` in a thread of its own."""

    def __init__(self, checking: Checking) -> None:
        self._checking = checking
        self._jobs: dict[uuid.UUID, Job] = {}
        self._jobs_lock = threading.Lock()
        self._again = threading.Event()

    def look(self) -> list[Job]:
        """Bring rows and branches in line; give the jobs whose checks say ``running`` now."""
        checking = self._checking
        now = checking.clock()
        with checking.database.begin() as connection:
            noted = note(connection, checking.repository, emit=checking.emit, now=now)
            if noted is None:
                return []
            main, open_now = noted
            found = reviews.checks_of_open(connection)
            names = [*checking.checks]
            busy = self._cancel_old(open_now)
            jobs = []
            for review in due(open_now, found, main=main, names=names, busy=busy):
                reviews.start_checks(connection, review, names, main=main, now=now)
                jobs.append(Job(review, main, now))
        if jobs:
            crash_point("review.opened")
        return jobs

    def run(self, stop: threading.Event) -> None:
        """Look and check until told to stop; goes on after any failure of a look."""
        lock = self._checking.database.advisory_lock(LOCK)
        heard = self._checking.database.listen(
            (notice.REVIEW, notice.APPLIED), timeout=_STOP_SECONDS
        )
        next_look = 0.0
        with (
            contextlib.closing(heard),
            ThreadPoolExecutor(1, thread_name_prefix="review-test") as slow,
            ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="review-check") as quick,
        ):
            try:
                for news in heard:
                    if stop.is_set():
                        break
                    if self._again.is_set() or (news and news.channel == notice.REVIEW):
                        next_look = 0.0
                    elif news:
                        next_look = min(next_look, time.monotonic() + _SETTLE_SECONDS)
                    if time.monotonic() >= next_look:
                        self._again.clear()
                        next_look = time.monotonic() + self._round(lock, quick, slow)
            finally:
                self._cancel_old(())
                for pool in (quick, slow):
                    pool.shutdown(wait=True, cancel_futures=True)
                lock.release()

    def _round(
        self, lock: AdvisoryLock, quick: ThreadPoolExecutor, slow: ThreadPoolExecutor
    ) -> float:
        """Look once, if this process is the one that looks; seconds until the next time."""
        try:
            if not lock.held():
                if not lock.acquire():
                    return _ELECTION_SECONDS
                self._interrupt()
            for job in self.look():
                with self._jobs_lock:
                    self._jobs[job.review.draft_id] = job
                quick.submit(self._work, job, slow)
        except UnavailableError as error:
            logger.warning("reviews wait: %s", error.message)
            return _RETRY_SECONDS
        except Exception:
            # One look that fails must not end the loop.
            logger.exception("a look at the drafts failed")
            return _RETRY_SECONDS
        return LOOK_SECONDS

    def _interrupt(self) -> None:
        """What runs according to the rows was another process's, which is gone."""
        checking = self._checking
        with checking.database.begin() as connection:
            reviews.interrupt_checks(connection, checking.clock())

    def _cancel_old(self, open_now: Iterable[Review]) -> dict[uuid.UUID, int]:
        """Cancel the checks of what is closed or has a newer iteration; give what goes on."""
        wanted = {review.draft_id: review.iteration for review in open_now}
        with self._jobs_lock:
            for key, job in self._jobs.items():
                if wanted.get(key) != job.review.iteration:
                    job.cancelled.set()
            return {
                key: job.review.iteration
                for key, job in self._jobs.items()
                if not job.cancelled.is_set()
            }

    def _work(self, job: Job, slow: ThreadPoolExecutor) -> None:
        """Run the quick checks, and hand on to the slow ones."""
        if self._run(job, self._checking.checks.keys() - SLOW) and not job.cancelled.is_set():
            slow.submit(self._end, job)
        else:
            self._forget(job)

    def _end(self, job: Job) -> None:
        self._run(job, SLOW)
        self._forget(job)

    def _run(self, job: Job, names: Collection[str]) -> bool:
        try:
            return self._checking.run(job, names)
        except UnavailableError as error:
            logger.warning("checks of draft/%s wait: %s", job.review.name, error.message)
        except Exception:
            # Not at once again: it would most likely break again. The rows say ``running``.
            logger.exception("the checks of draft/%s broke off", job.review.name)
            job.broken.set()
        return False

    def _forget(self, job: Job) -> None:
        """Look again: where main has moved meanwhile, the checks have to run again."""
        with self._jobs_lock:
            if self._jobs.get(job.review.draft_id) is job:
                del self._jobs[job.review.draft_id]
        if not job.broken.is_set():
            self._again.set()
