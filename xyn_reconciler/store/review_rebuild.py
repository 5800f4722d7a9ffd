"""Make the rows of reviews anew from the audit's entries: folded purely, then put in.

``record.rebuild_audit`` calls it. What no entry tells stays out: the reports of
checks, which are artifacts, and checks that were under way.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy import delete, insert

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.reviews import Check, Comment, Iteration, Review, Vote
from xyn_reconciler.store.tables import (
    Base,
    ReviewCheckRow,
    ReviewCommentRow,
    ReviewDecisionRow,
    ReviewIterationRow,
    ReviewRow,
)


def put_back(connection: Connection, entries: Iterable[AuditEntry]) -> int:
    """Make the rows of all reviews anew from the audit's entries, the oldest first; how many."""
    back = replay(entries)
    connection.execute(delete(ReviewRow))  # all that hangs on it goes with it
    _insert_all(connection, ReviewRow, back.reviews.values())
    _insert_all(connection, ReviewIterationRow, back.iterations)
    _insert_all(connection, ReviewCheckRow, back.checks.values())
    _insert_all(connection, ReviewCommentRow, back.comments)
    _insert_all(connection, ReviewDecisionRow, back.votes.values())
    return len(back.reviews)


def _insert_all(connection: Connection, table: type[Base], rows: Iterable[Any]) -> None:
    values = [asdict(row) for row in rows]
    if values:
        connection.execute(insert(table), values)


@dataclass(slots=True)
class Replayed:
    """The rows that the audit's entries make."""

    reviews: dict[uuid.UUID, Review]
    iterations: list[Iteration]
    checks: dict[tuple[uuid.UUID, int, str], Check]
    comments: list[Comment]
    votes: dict[uuid.UUID, Vote]


def replay(entries: Iterable[AuditEntry]) -> Replayed:
    """Fold audit entries, the oldest first; those about anything else are passed over."""
    back = Replayed({}, [], {}, [], {})
    for each in entries:
        if each.kind == "review.opened":
            _replay_opened(back, each)
        elif each.kind in _REPLAY and (review := _about(back, each)) is not None:
            _REPLAY[each.kind](back, review, each)
    return back


def _about(back: Replayed, each: AuditEntry) -> Review | None:
    return back.reviews.get(uuid.UUID(each.subject)) if each.subject else None


def _replay_opened(back: Replayed, each: AuditEntry) -> None:
    entry, key = each.entry, uuid.UUID(each.subject or "")
    review = Review(
        draft_id=key,
        name=entry["name"],
        kind=entry["kind"],
        status="draft",
        head=entry["head"],
        iteration=entry["iteration"],
        author=each.actor,
        run_id=_uuid(entry, "run_id"),
        notes=entry.get("notes"),
        created_at=each.at,
        updated_at=each.at,
        promoted_commit=None,
        closed_at=None,
    )
    back.reviews[key] = review
    back.iterations.append(_iteration(review))


def _replay_updated(back: Replayed, review: Review, each: AuditEntry) -> None:
    moved = replace(
        review,
        head=each.entry["head"],
        iteration=each.entry["iteration"],
        author=each.actor,
        status="draft",
        updated_at=each.at,
    )
    back.reviews[review.draft_id] = moved
    back.iterations.append(_iteration(moved))


def _iteration(review: Review) -> Iteration:
    return Iteration(
        draft_id=review.draft_id,
        iteration=review.iteration,
        head=review.head,
        author=review.author,
        created_at=review.updated_at,
    )


def _replay_checked(back: Replayed, review: Review, each: AuditEntry) -> None:
    entry = each.entry
    reports, summaries = entry.get("reports") or {}, entry.get("summaries") or {}
    for name, status in entry["checks"].items():
        back.checks[review.draft_id, entry["iteration"], name] = Check(
            draft_id=review.draft_id,
            iteration=entry["iteration"],
            name=name,
            status=status,
            summary=summaries.get(name),
            report=None,
            artifact_id=_uuid(reports, name),
            main=entry["main"],
            started_at=each.at,
            completed_at=each.at,
        )
    if entry["iteration"] == review.iteration:
        back.reviews[review.draft_id] = replace(review, status=entry["status"], updated_at=each.at)


def _replay_commented(back: Replayed, review: Review, each: AuditEntry) -> None:
    entry = each.entry
    back.comments.append(
        Comment(
            comment_id=uuid.UUID(entry["comment_id"]),
            draft_id=review.draft_id,
            iteration=entry["iteration"],
            path=entry.get("path"),
            line=entry.get("line"),
            author=each.actor,
            text=entry["text"],
            created_at=each.at,
        )
    )


def _replay_vote(back: Replayed, review: Review, each: AuditEntry) -> None:
    entry, key = each.entry, uuid.UUID(each.entry["decision_id"])
    back.votes[key] = Vote(
        decision_id=key,
        draft_id=review.draft_id,
        iteration=entry["iteration"],
        effect_digest=entry["effect_digest"],
        principal=each.actor,
        decision="approved" if each.kind == "review.approved" else "rejected",
        comment=entry.get("comment"),
        created_at=each.at,
        used_by=None,
    )


def _replay_promoted(back: Replayed, review: Review, each: AuditEntry) -> None:
    commit = each.entry["commit"]
    back.reviews[review.draft_id] = replace(
        review,
        status="promoted",
        promoted_commit=commit,
        closed_at=each.at,
        updated_at=each.at,
    )
    for used in map(uuid.UUID, each.entry["approvals"]):
        if used in back.votes:
            back.votes[used] = replace(back.votes[used], used_by=commit)


def _replay_closed(back: Replayed, review: Review, each: AuditEntry) -> None:
    back.reviews[review.draft_id] = replace(review, closed_at=each.at, updated_at=each.at)


_REPLAY: Final = {
    "review.updated": _replay_updated,
    "review.checked": _replay_checked,
    "review.commented": _replay_commented,
    "review.approved": _replay_vote,
    "review.rejected": _replay_vote,
    "review.promoted": _replay_promoted,
    "review.closed": _replay_closed,
}


def _uuid(values: Mapping[str, Any], key: str) -> uuid.UUID | None:
    found = values.get(key)
    return None if found is None else uuid.UUID(found)
