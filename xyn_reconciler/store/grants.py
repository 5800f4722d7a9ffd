"""Rows of break-glass: a role for a quarter of an hour, until a second person has signed it off."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.tables import GrantRow

OPENED = "break_glass.opened"
SIGNED_OFF = "break_glass.signed_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role that somebody took without being asked, and why."""

    grant_id: uuid.UUID
    principal: str
    role: str
    reason: str
    created_at: dt.datetime
    expires_at: dt.datetime
    signed_off_by: str | None = None
    signed_off_at: dt.datetime | None = None


def open_grant(connection: Connection, actor: Principal, now: dt.datetime) -> uuid.UUID | None:
    """Give the newest grant of a person that has not expired; of a service or an agent none."""
    if actor.kind != "person":
        return None
    return connection.execute(
        select(GrantRow.grant_id)
        .where(
            GrantRow.principal == actor.id, GrantRow.created_at <= now, GrantRow.expires_at > now
        )
        .order_by(GrantRow.created_at.desc())
        .limit(1)
    ).scalar_one_or_none()


def insert_grant(connection: Connection, grant: Grant) -> None:
    """Put it in, with whoever signed it off; one that is there stays as it is."""
    connection.execute(
        insert(GrantRow)
        .values({name: getattr(grant, name) for name in Grant.__slots__})
        .on_conflict_do_nothing()
    )


def get_grant(connection: Connection, grant_id: uuid.UUID, *, lock: bool = False) -> Grant | None:
    """Give one; with ``lock``, nobody else signs it off until the transaction ends."""
    question = select(GrantRow).where(GrantRow.grant_id == grant_id)
    row = connection.execute(question.with_for_update() if lock else question).one_or_none()
    return None if row is None else _grant(row)


def unsigned(connection: Connection) -> list[Grant]:
    """Give those that nobody else has looked at yet, the oldest first."""
    rows = connection.execute(
        select(GrantRow).where(GrantRow.signed_off_at.is_(None)).order_by(GrantRow.created_at)
    )
    return [_grant(row) for row in rows]


def sign_off(connection: Connection, grant_id: uuid.UUID, *, by: str, now: dt.datetime) -> None:
    connection.execute(
        update(GrantRow)
        .where(GrantRow.grant_id == grant_id, GrantRow.signed_off_at.is_(None))
        .values(signed_off_by=by, signed_off_at=now)
    )


def put_back(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Make the rows anew from audit entries, the oldest first; other kinds are passed over."""
    for entry in entries:
        if entry.kind == OPENED:
            insert_grant(
                connection,
                Grant(
                    grant_id=uuid.UUID(str(entry.subject)),
                    principal=entry.entry["principal"],
                    role=entry.entry["role"],
                    reason=entry.entry["reason"],
                    created_at=entry.at,
                    expires_at=dt.datetime.fromisoformat(entry.entry["expires_at"]),
                ),
            )
        elif entry.kind == SIGNED_OFF:
            sign_off(connection, uuid.UUID(str(entry.subject)), by=entry.actor, now=entry.at)


def _grant(row: Row[Any]) -> Grant:
    return Grant(**{name: getattr(row, name) for name in Grant.__slots__})
