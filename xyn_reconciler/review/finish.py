"""How a review ends: its draft was promoted, or its branch is gone.

The promotion ends its own; the loop ends those whose promotion was killed between the
move of ``main`` and these rows: the ``ref.accepted`` entry that preceded the move says
all that is needed. Whoever comes second finds nothing to do.
"""

import datetime as dt
import uuid

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.internal_events import ReviewClosed, ReviewPromoted
from xyn_reconciler.review.tell import tell
from xyn_reconciler.store import reviews
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.reviews import Review


def promoted(
    connection: Connection,
    review: Review,
    accepted: AuditEntry,
    *,
    emit: EmitEvents,
    now: dt.datetime,
) -> bool:
    """Close a review as promoted; False where it is closed already.

    ``accepted`` is the ``ref.accepted`` of ``main`` with ``how: promotion``; its entry
    has ``new``, ``draft_id``, ``approvals`` and ``policy`` too.
    """
    commit, approvals = accepted.entry["new"], accepted.entry["approvals"]
    used = [uuid.UUID(each) for each in approvals]
    reviews.hold(connection)
    if not reviews.promote(connection, review, commit=commit, approvals=used, now=now):
        return False
    entry = {
        "name": review.name,
        "head": review.head,
        "commit": commit,
        "approvals": approvals,
        "policy": accepted.entry["policy"],
    }
    told = ReviewPromoted(name=review.name, head=review.head, commit=commit)
    tell(
        connection,
        review,
        "review.promoted",
        entry,
        told,
        actor=accepted.actor,
        emit=emit,
        now=now,
    )
    return True


def closed(
    connection: Connection,
    review: Review,
    *,
    actor: str,
    emit: EmitEvents,
    now: dt.datetime,
) -> bool:
    """Close a review whose branch is gone; False where it is closed already."""
    reviews.hold(connection)
    if not reviews.close(connection, review, now):
        return False
    entry = {"name": review.name, "head": review.head}
    told = ReviewClosed(name=review.name, head=review.head)
    tell(connection, review, "review.closed", entry, told, actor=actor, emit=emit, now=now)
    return True
