"""What the committer still has to write to Git.

A row is written in the transaction of the change that it tells of, so nothing
that happened can be missing from the records, however the node ends.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, delete, func, insert, select

from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.notice import OUTBOX, notify
from xyn_reconciler.store.tables import OutboxRow

Kind = Literal["run", "event", "artifact"]


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
    """Read the oldest rows, at most ``limit``; they stay until :func:`done`."""
    rows = connection.execute(
        select(OutboxRow.id, OutboxRow.kind, OutboxRow.subject, OutboxRow.created_at)
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


def backlog(connection: Connection) -> tuple[int, dt.datetime | None]:
    """How many rows wait, and since when the oldest does."""
    count, oldest = connection.execute(select(func.count(), func.min(OutboxRow.created_at))).one()
    return count, oldest
