"""What the committer still has to write to Git.

A row is written in the transaction of the change that it tells of, so nothing
that happened can be missing from the records, however the node ends.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, delete, func, insert, select, update

from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.notice import OUTBOX, notify
from xyn_reconciler.store.tables import OutboxRow

Kind = Literal["run", "event", "artifact", "audit"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing to record: the row ``subject`` of the table that ``kind`` names."""

    id: int
    kind: str
    subject: uuid.UUID
    created_at: dt.datetime


def put(
    connection: Connection, kind: Kind, subjects: Iterable[uuid.UUID], now: dt.datetime
) -> None:
    """Ask for a record of each subject; the committer is woken when the transaction commits."""
    rows = [{"kind": kind, "subject": subject, "created_at": now} for subject in subjects]
    if rows:
        connection.execute(insert(OutboxRow), rows)
        notify(connection, OUTBOX)


def take(connection: Connection, limit: int) -> Sequence[Waiting]:
    """Read the oldest rows that are not set aside, at most ``limit``; :func:`done` ends them."""
    rows = connection.execute(
        select(OutboxRow.id, OutboxRow.kind, OutboxRow.subject, OutboxRow.created_at)
        .where(OutboxRow.set_aside.is_(None))
        .order_by(OutboxRow.id)
        .limit(limit)
    )
    return [Waiting(*row) for row in rows]


def done(connection: Connection, ids: Iterable[int]) -> None:
    """Forget rows whose records are in Git."""
    connection.execute(_DONE, {"ids": list(ids)})


_DONE: Final = delete(OutboxRow).where(
    # One array, however many: the statement stays the same.
    OutboxRow.id == any_(bindparam("ids", type_=ARRAY(BigInteger)))
)


def set_aside(connection: Connection, row: Waiting, reason: str) -> None:
    """Let a row that cannot be recorded stand in nobody's way."""
    connection.execute(update(OutboxRow).where(OutboxRow.id == row.id).values(set_aside=reason))


def take_back(connection: Connection) -> int:
    """Let what was set aside be tried again; how many rows that are."""
    back = update(OutboxRow).where(OutboxRow.set_aside.is_not(None)).values(set_aside=None)
    return len(connection.execute(back.returning(OutboxRow.id)).all())


def standing_aside(
    connection: Connection, *, limit: int
) -> tuple[int, list[tuple[str, uuid.UUID, str]]]:
    """How many rows were set aside, and kind, subject and reason of the first of them."""
    aside = OutboxRow.set_aside.is_not(None)
    rows = connection.execute(
        select(OutboxRow.kind, OutboxRow.subject, OutboxRow.set_aside)
        .where(aside)
        .order_by(OutboxRow.id)
        .limit(limit)
    ).all()
    count = connection.execute(
        select(func.count()).select_from(OutboxRow).where(aside)
    ).scalar_one()
    return count, [(kind, subject, reason or "") for kind, subject, reason in rows]


def backlog(connection: Connection) -> tuple[int, dt.datetime | None]:
    """How many rows wait, and since when the oldest does; what was set aside does not."""
    count, oldest = connection.execute(
        select(func.count(), func.min(OutboxRow.created_at)).where(OutboxRow.set_aside.is_(None))
    ).one()
    return count, oldest
