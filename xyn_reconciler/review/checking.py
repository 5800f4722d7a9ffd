"""Run the checks of one review and write each result; the last one says what they come to."""

import datetime as dt
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from xyn_reconciler.model.capability import Catalogue, EmitEvents
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import UnavailableError, XynError
from xyn_reconciler.model.event import SYSTEM_ACTOR
from xyn_reconciler.model.internal_events import ReviewChecked
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.review import reports
from xyn_reconciler.review.assess import verdict
from xyn_reconciler.review.checks import CHECKS, CheckContext, CheckFunction, CheckResult
from xyn_reconciler.review.merged import Merging
from xyn_reconciler.review.tell import tell
from xyn_reconciler.store import desired, reviews
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.reviews import Check, Review

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """The checks of an iteration merged with one ``main``, whose rows say ``running``."""

    review: Review
    main: str
    started_at: dt.datetime
    cancelled: threading.Event = field(default_factory=threading.Event)
    broken: threading.Event = field(default_factory=threading.Event)
    """Something went wrong that is no check's result."""

    def check(self, name: str) -> Check:
        """Give the row of a check that runs."""
        return Check(
            draft_id=self.review.draft_id,
            iteration=self.review.iteration,
            name=name,
            status="running",
            summary=None,
            report=None,
            artifact_id=None,
            main=self.main,
            started_at=self.started_at,
            completed_at=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """What checks need of a process."""

    database: Database
    repository: Repository
    reconciler: Reconciler
    merging: Merging
    artifacts: ArtifactStore
    redactor: Redactor
    catalogue: Catalogue
    emit: EmitEvents
    checks: Mapping[str, CheckFunction] = field(default_factory=lambda: CHECKS)
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    def run(self, job: Job, names: Collection[str] | None = None) -> bool:
        """Run these checks, or all; False where nobody waits for the results any more.

        ``UnavailableError`` while the database is away: the rows stay ``running``.
        """
        context = _guarded(job, "merge", lambda: self._context(job))
        for name, check in self.checks.items():
            if names is not None and name not in names:
                continue
            if job.cancelled.is_set():
                return False
            if isinstance(context, CheckResult):
                # What does not merge at all is told of once.
                result = context if name == "conflicts" else _NO_TREE
            else:
                result = _guarded(job, name, partial(check, context))
            if not self._write(job, name, result):
                return False
        return True

    def _context(self, job: Job) -> CheckContext:
        merged = self.merging.of(job.main, job.review.head)
        with self.database.read() as connection:
            node = desired.read_node(connection)
        return CheckContext(
            review=job.review,
            merged=merged,
            judged=self.merging.judge(merged),
            known=self.reconciler.known(),
            node_id=node.node_id,
            repository=self.repository,
            database=self.database,
            redactor=self.redactor,
            catalogue=self.catalogue,
            now=self.clock(),
            cancelled=job.cancelled.is_set,
        )

    def _write(self, job: Job, name: str, result: CheckResult) -> bool:
        """Write a result; False where nobody waits for it any more."""
        now = self.clock()
        artifact_id = self._kept(job, name, result, now)
        with self.database.begin() as connection:
            reviews.hold(connection)
            if not reviews.finish_check(
                connection,
                job.check(name),
                status=result.status,
                summary=result.summary,
                report=result.report,
                artifact_id=artifact_id,
                now=now,
            ):
                return False
            ended = self._conclude(connection, job, now)
        if ended:
            crash_point("review.checked")
        return True

    def _kept(self, job: Job, name: str, result: CheckResult, now: dt.datetime) -> uuid.UUID | None:
        if result.report is None:
            return None
        try:
            return reports.keep(
                self.database,
                self.artifacts,
                job.review,
                name,
                result.report,
                emit=self.emit,
                now=now,
            )
        except UnavailableError:
            raise
        except XynError as error:
            # The row has the report as well; it is only not kept for a rebuild.
            logger.warning("the report of check %s is not kept: %s", name, error.message)
            return None

    def _conclude(self, connection: Connection, job: Job, now: dt.datetime) -> bool:
        """With the last result, say what all of them come to."""
        review = reviews.get_review(connection, job.review.draft_id)
        found = reviews.checks(connection, job.review.draft_id, job.review.iteration)
        if (
            review is None
            or review.closed_at is not None
            or review.iteration != job.review.iteration
            or any(each.status == "running" for each in found)
        ):
            return False
        status = verdict(found)
        reviews.save_status(connection, review, status, now)
        statuses: dict[str, str] = {each.name: each.status for each in found}
        entry = {
            "iteration": review.iteration,
            "head": review.head,
            "main": job.main,
            "checks": statuses,
            "status": status,
            "reports": {
                each.name: str(each.artifact_id) for each in found if each.artifact_id is not None
            },
            "summaries": {each.name: each.summary for each in found},
        }
        told = ReviewChecked(
            name=review.name,
            head=review.head,
            main=job.main,
            iteration=review.iteration,
            status=status,
            checks=statuses,
        )
        tell(
            connection,
            review,
            "review.checked",
            entry,
            told,
            actor=SYSTEM_ACTOR,
            emit=self.emit,
            now=now,
        )
        return True


_NO_TREE: Final = CheckResult("skipped", "there is no merged tree to look at")
_BROKEN: Final = CheckResult("failed", "the check itself failed; the node's log says why")

T = TypeVar("T")


def _guarded(job: Job, name: str, work: Callable[[], T]) -> T | CheckResult:
    """Do it; an error becomes a check that failed, so that the others get their results."""
    try:
        return work()
    except UnavailableError:
        raise
    except XynError as error:
        return CheckResult("failed", error.message)
    except Exception:
        logger.exception("check %s of draft/%s broke", name, job.review.name)
        return _BROKEN
