"""Rows of drafts under review: what was pushed, checked, said and decided about them.

An index: drafts are branches, and every row here comes back from the audit's
entries (:mod:`.review_rebuild`), but for the reports of checks, which are artifacts or are
made anew. The caller owns the transaction, takes :func:`hold` before it writes
about a review, and puts the audit entry that tells of the change beside it.

The trap: a check's row counts only for the iteration and the commit of ``main``
that it names; :func:`finish_check` refuses a result that comes too late.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Text, delete, func, insert, select, text, tuple_, update

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.store.database import Connection, lock_in_transaction
from xyn_reconciler.store.ref_rules import DRAFTS
from xyn_reconciler.store.tables import (
    AuditRow,
    ReviewCheckRow,
    ReviewCommentRow,
    ReviewDecisionRow,
    ReviewIterationRow,
    ReviewRow,
)

Kind = Literal["blueprint", "pack"]
Status = Literal["draft", "validated", "promoted"]
CheckStatus = Literal["running", "passed", "failed", "skipped", "interrupted"]
Said = Literal["approved", "rejected"]
Position = tuple[dt.datetime, uuid.UUID]

_NAMESPACE: Final = uuid.UUID("5b3c1b52-7a0e-5f6a-9c59-6f1f0c7b5a01")
_LOCK: Final = "xyn.reviews"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A draft branch under review, or one that was."""

    draft_id: uuid.UUID
    name: str
    """Without ``refs/heads/draft/``."""
    kind: Kind
    status: Status
    """``validated`` means that the checks of exactly this head, merged with ``main`` as they
    were told it stands, have passed."""
    head: str
    iteration: int
    author: str
    """Who pushed the newest iteration."""
    run_id: uuid.UUID | None
    notes: str | None
    created_at: dt.datetime
    updated_at: dt.datetime
    promoted_commit: str | None
    closed_at: dt.datetime | None

    @property
    def ref(self) -> str:
        return f"{DRAFTS}{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One state of the branch that was looked at."""

    draft_id: uuid.UUID
    iteration: int
    head: str
    author: str
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check found about an iteration merged with ``main``."""

    draft_id: uuid.UUID
    iteration: int
    name: str
    status: CheckStatus
    summary: str | None
    report: Any | None
    artifact_id: uuid.UUID | None
    main: str
    started_at: dt.datetime
    completed_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """What somebody said, about the whole or about a line."""

    comment_id: uuid.UUID
    draft_id: uuid.UUID
    iteration: int
    path: str | None
    line: int | None
    author: str
    text: str
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A yes or a no to what promotion would change, as its effect digest names it."""

    decision_id: uuid.UUID
    draft_id: uuid.UUID
    iteration: int
    effect_digest: str
    principal: str
    decision: Said
    comment: str | None
    created_at: dt.datetime
    used_by: str | None
    """The promotion that it allowed."""


def draft_id(name: str, closed_before: int) -> uuid.UUID:
    """Give the id of a review: the same one for the same branch after every rebuild."""
    return uuid.uuid5(_NAMESPACE, f"{name}#{closed_before}")


def hold(connection: Connection) -> None:
    """Let nobody else open, move, promote or close a review until the transaction ends."""
    lock_in_transaction(connection, _LOCK)


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────

T = TypeVar("T", Review, Iteration, Check, Comment, Vote)


def _read(kind: type[T], row: object) -> T:
    return kind(**{each.name: getattr(row, each.name) for each in fields(kind)})


def get_review(connection: Connection, draft_id: uuid.UUID) -> Review | None:
    row = connection.execute(
        select(ReviewRow.__table__).where(ReviewRow.draft_id == draft_id)
    ).one_or_none()
    return None if row is None else _read(Review, row)


def find_review(connection: Connection, name: str) -> Review | None:
    """Give the open review of a branch, else the last one that there was."""
    row = connection.execute(
        select(ReviewRow.__table__)
        .where(ReviewRow.name == name)
        .order_by(ReviewRow.closed_at.desc().nulls_first(), ReviewRow.created_at.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _read(Review, row)


def open_reviews(connection: Connection) -> list[Review]:
    """Give those whose branch is there, by name."""
    rows = connection.execute(
        select(ReviewRow.__table__).where(ReviewRow.closed_at.is_(None)).order_by(ReviewRow.name)
    )
    return [_read(Review, row) for row in rows]


def list_reviews(
    connection: Connection,
    *,
    limit: int,
    before: Position | None = None,
    statuses: Collection[Status] = (),
    open_only: bool = False,
) -> list[Review]:
    """Give the newest first."""
    found = (
        select(ReviewRow.__table__)
        .order_by(ReviewRow.created_at.desc(), ReviewRow.draft_id.desc())
        .limit(limit)
    )
    if before is not None:
        found = found.where(tuple_(ReviewRow.created_at, ReviewRow.draft_id) < before)
    if statuses:
        found = found.where(ReviewRow.status.in_(statuses))
    if open_only:
        found = found.where(ReviewRow.closed_at.is_(None))
    return [_read(Review, row) for row in connection.execute(found)]


def closed_count(connection: Connection, name: str) -> int:
    """How many reviews of a branch of this name were closed."""
    found = select(func.count()).where(ReviewRow.name == name, ReviewRow.closed_at.is_not(None))
    return connection.execute(found).scalar_one()


def iterations(connection: Connection, draft_id: uuid.UUID) -> list[Iteration]:
    """Give them from the first."""
    rows = connection.execute(
        select(ReviewIterationRow.__table__)
        .where(ReviewIterationRow.draft_id == draft_id)
        .order_by(ReviewIterationRow.iteration)
    )
    return [_read(Iteration, row) for row in rows]


def checks(connection: Connection, draft_id: uuid.UUID, iteration: int) -> list[Check]:
    """Give the checks of an iteration by name."""
    rows = connection.execute(
        select(ReviewCheckRow.__table__)
        .where(ReviewCheckRow.draft_id == draft_id, ReviewCheckRow.iteration == iteration)
        .order_by(ReviewCheckRow.name)
    )
    return [_read(Check, row) for row in rows]


def checks_of_open(connection: Connection) -> dict[uuid.UUID, list[Check]]:
    """Give what was checked, or is, about the newest iteration of each open review."""
    table = ReviewCheckRow.__table__
    # Without the reports, which may be long: whoever looks for work needs none.
    columns = [table.c[each.name] for each in fields(Check) if each.name != "report"]
    rows = connection.execute(
        select(*columns, text("NULL AS report"))
        .join(
            ReviewRow.__table__,
            (ReviewRow.draft_id == ReviewCheckRow.draft_id)
            & (ReviewRow.iteration == ReviewCheckRow.iteration),
        )
        .where(ReviewRow.closed_at.is_(None))
        .order_by(ReviewCheckRow.draft_id, ReviewCheckRow.name)
    )
    found: dict[uuid.UUID, list[Check]] = {}
    for row in rows:
        found.setdefault(row.draft_id, []).append(_read(Check, row))
    return found


def comments(connection: Connection, draft_id: uuid.UUID) -> list[Comment]:
    """Give them from the oldest."""
    rows = connection.execute(
        select(ReviewCommentRow.__table__)
        .where(ReviewCommentRow.draft_id == draft_id)
        .order_by(ReviewCommentRow.created_at, ReviewCommentRow.comment_id)
    )
    return [_read(Comment, row) for row in rows]


def votes(connection: Connection, draft_id: uuid.UUID) -> list[Vote]:
    """Give what people said yes and no to, from the oldest."""
    rows = connection.execute(
        select(ReviewDecisionRow.__table__)
        .where(ReviewDecisionRow.draft_id == draft_id)
        .order_by(ReviewDecisionRow.created_at, ReviewDecisionRow.decision_id)
    )
    return [_read(Vote, row) for row in rows]


def votes_on(connection: Connection, effect_digest: str) -> list[Vote]:
    """Give what was said of exactly this change in any review, from the newest."""
    rows = connection.execute(
        select(ReviewDecisionRow.__table__)
        .where(ReviewDecisionRow.effect_digest == effect_digest)
        .order_by(ReviewDecisionRow.created_at.desc(), ReviewDecisionRow.decision_id)
    )
    return [_read(Vote, row) for row in rows]


def pusher(connection: Connection, ref: str, head: str | None) -> str | None:
    """Who brought a ref to this commit last, or deleted it (None), as the audit has it."""
    new = AuditRow.entry.op("->>")("new")
    return connection.execute(
        select(AuditRow.actor)
        .where(
            AuditRow.kind == "ref.accepted",
            AuditRow.subject == ref,
            new.is_(None) if head is None else new == head,
        )
        .order_by(AuditRow.at.desc(), AuditRow.audit_id.desc())
        .limit(1)
    ).scalar_one_or_none()


def promotions(
    connection: Connection, main: str, open_now: Sequence[Review]
) -> dict[uuid.UUID, list[AuditEntry]]:
    """Give what was accepted for the ref ``main`` to promote reviews that are open, newest first.

    Not each of them moved ``main``: another may have been quicker.
    """
    if not open_now:
        return {}
    draft = AuditRow.entry.op("->>")("draft_id")
    rows = connection.execute(
        select(AuditRow.__table__)
        .where(
            AuditRow.kind == "ref.accepted",
            AuditRow.subject == main,
            AuditRow.at >= min(each.created_at for each in open_now),
            draft.in_([str(each.draft_id) for each in open_now]),
        )
        .order_by(AuditRow.at.desc(), AuditRow.audit_id.desc())
    )
    found: dict[uuid.UUID, list[AuditEntry]] = {}
    for row in rows:
        entry = AuditEntry(
            kind=row.kind,
            actor=row.actor,
            at=row.at,
            subject=row.subject,
            entry=row.entry,
            audit_id=row.audit_id,
        )
        found.setdefault(uuid.UUID(row.entry["draft_id"]), []).append(entry)
    return found


def authors(
    connection: Connection, review: Review, commits: Collection[str] = ()
) -> frozenset[str]:
    """Give everybody whose work a draft is: all who pushed to its branch since the last one closed.

    The audit knows those too whose push was replaced before anybody looked. ``commits`` are
    what the draft brings: who pushed one of them to any draft is an author here as well,
    whoever pushed it on.
    """
    looked_at = connection.scalars(
        select(ReviewIterationRow.author).where(ReviewIterationRow.draft_id == review.draft_id)
    )
    closed = (
        select(func.max(ReviewRow.closed_at))
        .where(ReviewRow.name == review.name, ReviewRow.draft_id != review.draft_id)
        .scalar_subquery()
    )
    pushed = connection.scalars(
        select(AuditRow.actor)
        .where(
            AuditRow.kind == "ref.accepted",
            AuditRow.subject == review.ref,
            AuditRow.entry.op("->>")("new").is_not(None),
            AuditRow.at > func.coalesce(closed, text("'-infinity'::timestamptz")),
            AuditRow.at <= (review.closed_at or text("'infinity'::timestamptz")),
        )
        .distinct()
    )
    brought = connection.scalars(
        select(AuditRow.actor).where(
            AuditRow.kind == "ref.accepted",
            AuditRow.subject.startswith(DRAFTS, autoescape=True),
            AuditRow.entry.op("->>", return_type=Text())("new").in_(commits),
        )
    )
    return frozenset([*looked_at, *pushed, *brought])


def not_closing(connection: Connection, review: Review, actor: Principal) -> str | None:
    """Say why somebody may not give a draft up: services and agents do that with their own."""
    if actor.kind == "person" or actor.id in authors(connection, review):
        return None
    return f"{actor.id} has not pushed to draft/{review.name}: people close it"


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────


def insert_review(connection: Connection, review: Review) -> None:
    """Open a review with its first iteration."""
    connection.execute(insert(ReviewRow).values(**asdict(review)))
    _insert_iteration(connection, review)


def add_iteration(
    connection: Connection, review: Review, *, head: str, author: str, now: dt.datetime
) -> Review:
    """Note that the branch has another head: what was validated was not this."""
    moved = replace(
        review,
        head=head,
        author=author,
        iteration=review.iteration + 1,
        status="draft",
        updated_at=now,
    )
    connection.execute(
        update(ReviewRow)
        .where(ReviewRow.draft_id == review.draft_id)
        .values(head=head, author=author, iteration=moved.iteration, status="draft", updated_at=now)
    )
    _insert_iteration(connection, moved)
    return moved


def _insert_iteration(connection: Connection, review: Review) -> None:
    connection.execute(
        insert(ReviewIterationRow).values(
            draft_id=review.draft_id,
            iteration=review.iteration,
            head=review.head,
            author=review.author,
            created_at=review.updated_at,
        )
    )


def start_checks(
    connection: Connection, review: Review, names: Sequence[str], *, main: str, now: dt.datetime
) -> None:
    """Have these checks ``running``, anew where there are results; ``validated`` is over."""
    _drop(connection, review)
    connection.execute(
        insert(ReviewCheckRow),
        [
            {
                "draft_id": review.draft_id,
                "iteration": review.iteration,
                "name": name,
                "status": "running",
                "main": main,
                "started_at": now,
            }
            for name in names
        ],
    )
    _set_status(connection, review.draft_id, "draft", now)


def _drop(connection: Connection, review: Review) -> None:
    connection.execute(
        delete(ReviewCheckRow).where(
            ReviewCheckRow.draft_id == review.draft_id,
            ReviewCheckRow.iteration == review.iteration,
        )
    )


def finish_check(
    connection: Connection,
    check: Check,
    *,
    status: CheckStatus,
    summary: str,
    report: Any | None,  # noqa: ANN401 - any JSON
    artifact_id: uuid.UUID | None = None,
    now: dt.datetime,
) -> bool:
    """Write a result; False where the check that it belongs to is no longer running."""
    done = connection.execute(
        update(ReviewCheckRow)
        .where(
            ReviewCheckRow.draft_id == check.draft_id,
            ReviewCheckRow.iteration == check.iteration,
            ReviewCheckRow.name == check.name,
            ReviewCheckRow.main == check.main,
            ReviewCheckRow.started_at == check.started_at,
            ReviewCheckRow.status == "running",
        )
        .values(
            status=status,
            summary=summary,
            report=report,
            artifact_id=artifact_id,
            completed_at=now,
        )
    )
    return done.rowcount == 1


def interrupt_checks(
    connection: Connection, now: dt.datetime, draft_id: uuid.UUID | None = None
) -> int:
    """Say of running checks, of one draft or of all, that nobody runs them; how many."""
    found = update(ReviewCheckRow).where(ReviewCheckRow.status == "running")
    if draft_id is not None:
        found = found.where(ReviewCheckRow.draft_id == draft_id)
    return connection.execute(found.values(status="interrupted", completed_at=now)).rowcount


def renew_checks(connection: Connection, review: Review, now: dt.datetime) -> None:
    """Have the checks of the newest iteration run again at the loop's next look."""
    connection.execute(
        update(ReviewCheckRow)
        .where(
            ReviewCheckRow.draft_id == review.draft_id,
            ReviewCheckRow.iteration == review.iteration,
        )
        .values(status="interrupted", completed_at=now)
    )
    _set_status(connection, review.draft_id, "draft", now)


def save_status(
    connection: Connection, review: Review, status: Literal["draft", "validated"], now: dt.datetime
) -> None:
    """Note what the checks of the newest iteration say together."""
    _set_status(connection, review.draft_id, status, now)


def _set_status(
    connection: Connection, draft_id: uuid.UUID, status: Status, now: dt.datetime
) -> None:
    connection.execute(
        update(ReviewRow)
        .where(ReviewRow.draft_id == draft_id, ReviewRow.closed_at.is_(None))
        .values(status=status, updated_at=now)
    )


def insert_comment(connection: Connection, comment: Comment) -> None:
    connection.execute(insert(ReviewCommentRow).values(**asdict(comment)))


def insert_vote(connection: Connection, vote: Vote) -> None:
    connection.execute(insert(ReviewDecisionRow).values(**asdict(vote)))


def promote(
    connection: Connection,
    review: Review,
    *,
    commit: str,
    approvals: Collection[uuid.UUID],
    now: dt.datetime,
) -> bool:
    """Close a review as promoted by ``commit`` and use up its approvals; False if it is closed."""
    done = connection.execute(
        update(ReviewRow)
        .where(ReviewRow.draft_id == review.draft_id, ReviewRow.closed_at.is_(None))
        .values(status="promoted", promoted_commit=commit, closed_at=now, updated_at=now)
    )
    connection.execute(
        update(ReviewDecisionRow)
        .where(ReviewDecisionRow.decision_id.in_(approvals), ReviewDecisionRow.used_by.is_(None))
        .values(used_by=commit)
    )
    return done.rowcount == 1


def close(connection: Connection, review: Review, now: dt.datetime) -> bool:
    """Close a review whose branch is gone; its status stays. False if it is closed already."""
    interrupt_checks(connection, now, review.draft_id)
    done = connection.execute(
        update(ReviewRow)
        .where(ReviewRow.draft_id == review.draft_id, ReviewRow.closed_at.is_(None))
        .values(closed_at=now, updated_at=now)
    )
    return done.rowcount == 1
