"""Rows of the audit: put in with what they tell of, written into Git by the committer."""

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, Text, insert, or_, select, text, tuple_, update
from sqlalchemy.dialects import postgresql

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.store import outbox
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.tables import AuditRow, OutboxRow

Position = tuple[dt.datetime, uuid.UUID]


def put(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Note entries in the caller's transaction, and have them recorded."""
    if entries:
        connection.execute(insert(AuditRow), [_row(entry) for entry in entries])
        now = max(entry.at for entry in entries)
        outbox.put(connection, "audit", [entry.audit_id for entry in entries], now)


def put_recorded(connection: Connection, entries: Sequence[tuple[AuditEntry, str]]) -> None:
    """Put in entries that are in Git already, with their commits; those that are here stay."""
    if entries:
        rows = [_row(entry) | {"record_commit": commit} for entry, commit in entries]
        connection.execute(postgresql.insert(AuditRow).on_conflict_do_nothing(), rows)


def read(connection: Connection, ids: Sequence[uuid.UUID]) -> list[AuditEntry]:
    """Give these entries, in the order of ``ids``."""
    rows = connection.execute(select(AuditRow).where(AuditRow.audit_id.in_(ids)))
    found = {row.audit_id: _entry(row) for row in rows}
    return [found[audit_id] for audit_id in ids if audit_id in found]


def unrecorded(connection: Connection) -> list[AuditEntry]:
    """Give the entries that are not in Git yet, in the order in which they go there."""
    rows = connection.execute(
        select(AuditRow)
        .join(OutboxRow, OutboxRow.subject == AuditRow.audit_id)
        .where(OutboxRow.kind == "audit", AuditRow.record_commit.is_(None))
        .order_by(OutboxRow.id)
    )
    return [_entry(row) for row in rows]


def is_empty(connection: Connection) -> bool:
    """Whether nothing was noted yet."""
    return connection.execute(select(AuditRow.audit_id).limit(1)).first() is None


def mark_recorded(connection: Connection, ids: Sequence[uuid.UUID], commit: str) -> None:
    connection.execute(
        update(AuditRow).where(AuditRow.audit_id.in_(ids)).values(record_commit=commit)
    )


def list_entries(
    connection: Connection,
    *,
    limit: int,
    before: Position | None = None,
    kinds: Sequence[str] = (),
    subject: str | None = None,
) -> list[AuditEntry]:
    """Give the newest first; only of some kinds, or about one subject.

    ``review`` stands for every kind that begins with ``review.``.
    """
    found = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.audit_id.desc()).limit(limit)
    if before is not None:
        found = found.where(tuple_(AuditRow.at, AuditRow.audit_id) < before)
    if kinds:
        below = [AuditRow.kind.startswith(f"{kind}.", autoescape=True) for kind in kinds]
        found = found.where(or_(AuditRow.kind.in_(kinds), *below))
    if subject is not None:
        found = found.where(AuditRow.subject == subject)
    return [_entry(row) for row in connection.execute(found)]


def moved_to(connection: Connection, ref: str, commit: str) -> bool:
    """Whether it was accepted that a ref goes to this commit."""
    found = select(AuditRow.audit_id).where(
        AuditRow.kind == "ref.accepted",
        AuditRow.subject == ref,
        AuditRow.entry.op("->>", return_type=Text())("new") == commit,
    )
    return connection.execute(found.limit(1)).first() is not None


def clear(connection: Connection) -> None:
    """Forget what is in Git: a rebuild puts it in again."""
    connection.execute(_CLEAR)


_CLEAR: Final = text("DELETE FROM audit WHERE record_commit IS NOT NULL")


def _row(entry: AuditEntry) -> dict[str, object]:
    return {
        "audit_id": entry.audit_id,
        "at": entry.at,
        "kind": entry.kind,
        "actor": entry.actor,
        "subject": entry.subject,
        "entry": dict(entry.entry),
    }


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        kind=row.kind,
        actor=row.actor,
        at=row.at,
        subject=row.subject,
        entry=row.entry,
        audit_id=row.audit_id,
    )
