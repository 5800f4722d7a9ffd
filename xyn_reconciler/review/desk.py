"""What the verbs on reviews work with, in whatever process they are asked for."""

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.errors import ConflictError, NotFoundError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.review import facts
from xyn_reconciler.review.assess import Facts
from xyn_reconciler.review.merged import Merging
from xyn_reconciler.store import reviews
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.reviews import Review
from xyn_reconciler.trigger.cron import next_slots

_TIMES: Final = 5
"""Next times of a schedule that are told."""


class DraftNotFoundError(NotFoundError):
    """There is no draft of that name or id, and there was none."""

    code = "draft_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The stores of one process, and the facts about a draft."""

    database: Database
    repository: Repository
    reconciler: Reconciler
    merging: Merging
    emit: EmitEvents
    clock: Callable[[], dt.datetime]
    origin: str | None = None
    """The address that this home follows, where its definition says so."""

    def main(self) -> str:
        found = self.repository.resolve(MAIN)
        if found is None:
            raise NotFoundError("the state repository has no branch main; push one")
        return found

    def review(self, draft_id: uuid.UUID) -> Review:
        with self.database.read() as connection:
            found = reviews.get_review(connection, draft_id)
        if found is None:
            raise DraftNotFoundError(f"no draft {draft_id}")
        return found

    def open_review(self, draft_id: uuid.UUID, *, head: str | None = None) -> Review:
        """Give a review whose branch is there; with ``head``, only while that is its head."""
        found = self.review(draft_id)
        if found.closed_at is not None:
            ended = "was promoted" if found.status == "promoted" else "is closed"
            by = f" by {found.promoted_commit}" if found.promoted_commit else ""
            raise ConflictError(
                f"draft/{found.name} {ended}{by}: nothing can be said of it any more"
            )
        if head is not None and found.head != head:
            raise ConflictError(
                f"draft/{found.name} is at {found.head[:12]} now, not at {head[:12]}: look again",
                details={"head": found.head},
            )
        return found

    def facts(self, review: Review, *, main: str, actor: Principal) -> Facts:
        """Gather what is to be said of a review merged with ``main``, for ``actor``."""
        now = self.clock()
        return facts.gather(
            self.database,
            self.reconciler,
            self.merging,
            review,
            main=main,
            actor=actor,
            next_times=lambda cron, zone: next_slots(cron, zone, now, _TIMES),
            now=now,
        )
