"""Rows that an event left behind, and the writing back of what is left of them.

For ``record.forget``, which decides what is taken out. The rows are the ones of
:mod:`.record_rows`, as the JSON objects that stand in records.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import TextClause, delete, select, text, update

from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.record_rows import columns, given, parameter, table, to_json, value
from xyn_reconciler.store.tables import (
    ArtifactRow,
    DebouncedRow,
    DedupeWindowRow,
    EventRow,
    OutboxRow,
    RunRow,
    SuppressionRow,
)


@dataclass(frozen=True, slots=True)
class Traces:
    """What follows from one event."""

    actor: str
    inside: uuid.UUID | None
    """The run whose record it is a part of, for one of the platform's own events."""
    runs: frozenset[uuid.UUID]
    """Runs that it started, and that events of those started."""
    unfinished: frozenset[uuid.UUID]
    """Those of them that have not ended."""
    told: frozenset[uuid.UUID]
    """The platform's own events about it and about these runs."""


def traces(connection: Connection, event_id: uuid.UUID) -> Traces | None:
    """Follow an event to all that came of it; ``None`` without the event."""
    event = connection.execute(
        select(EventRow.actor, EventRow.created_at, EventRow.source, EventRow.run_id).where(
            EventRow.event_id == event_id
        )
    ).one_or_none()
    if event is None:
        return None
    # Written together with it, at the same moment.
    about = select(EventRow.event_id, EventRow.resource).where(
        EventRow.event_name == "xyn.event.received", EventRow.created_at == event.created_at
    )
    told: set[uuid.UUID] = {
        told_id
        for told_id, resource in connection.execute(about)
        if resource is not None and resource["id"] == str(event_id)
    }
    runs: dict[uuid.UUID, str] = {}
    fresh = {event_id} | told
    while fresh:
        started = {
            run_id: status
            for run_id, status in connection.execute(_STARTED, {"ids": list(fresh)})
            if run_id not in runs
        }
        runs |= started
        fresh = set(connection.execute(_TOLD, {"ids": list(started)}).scalars()) - told
        told |= fresh
    return Traces(
        actor=event.actor,
        inside=event.run_id if event.source == "xyn" else None,
        runs=frozenset(runs),
        unfinished=frozenset(run_id for run_id, status in runs.items() if status not in _ENDED),
        told=frozenset(told),
    )


_ENDED: Final = ("completed", "failed", "cancelled")
_STARTED: Final = text("SELECT run_id, status FROM runs WHERE event_id = ANY(CAST(:ids AS uuid[]))")
_TOLD: Final = text(
    "SELECT event_id FROM events WHERE run_id = ANY(CAST(:ids AS uuid[])) AND source = 'xyn'"
)


def wait_for_a_record(connection: Connection, subjects: Collection[uuid.UUID]) -> bool:
    """Whether one of these subjects waits in the outbox.

    Raises ``ConflictError`` where one of them cannot be recorded.
    """
    rows = connection.execute(
        select(OutboxRow.set_aside, OutboxRow.kind, OutboxRow.subject).where(
            OutboxRow.subject.in_(subjects)
        )
    ).all()
    for reason, kind, subject in rows:
        if reason is not None:
            raise ConflictError(f"the record of {kind} {subject} cannot be written: {reason}")
    return bool(rows)


def recorded_in(
    connection: Connection, events: Iterable[uuid.UUID], runs: Iterable[uuid.UUID]
) -> set[str]:
    """Give the commits that hold the lines of these events, and of these runs' artifacts."""
    event_marks = select(EventRow.record_commit).where(EventRow.event_id.in_(list(events)))
    artifact_marks = select(ArtifactRow.record_commit).where(ArtifactRow.run_id.in_(list(runs)))
    run_marks = select(RunRow.record_commit).where(RunRow.run_id.in_(list(runs)))
    return {
        commit
        for marks in (event_marks, artifact_marks, run_marks)
        for commit in connection.execute(marks).scalars()
        if commit is not None
    }


def read_event_rows(connection: Connection, event_ids: Iterable[uuid.UUID]) -> list[dict[str, Any]]:
    """Give events as they stand in records."""
    rows = connection.execute(_EVENT_ROWS, {"ids": list(event_ids)})
    return [json.loads(row) for (row,) in rows]


_EVENT_ROWS: Final = text(
    f"SELECT {to_json('event', 'e')} FROM events e"  # noqa: S608 - names of our own columns
    " WHERE e.event_id = ANY(CAST(:ids AS uuid[]))"
)


def replace_rows(connection: Connection, part: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of a record's part over those with the same keys; what is left out is emptied."""
    if rows:
        connection.execute(_REPLACE[part], parameter(part, rows))


def _replace(part: str) -> TextClause:
    target = table(part)
    (key,) = (column.name for column in target.primary_key.columns)
    changes = ", ".join(
        f"{column.name} = {value(column)}" for column in columns(part) if column.name != key
    )
    return text(
        f"UPDATE {target.name} SET {changes}"  # noqa: S608 - names of our own columns
        f" FROM {given(part)} WHERE {target.name}.{key} = x.{key}"
    )


def drop_keys(
    connection: Connection, events: Collection[uuid.UUID], runs: Collection[uuid.UUID]
) -> None:
    """Take out what triggers remember of content: keys, windows, and what waits to be quiet."""
    connection.execute(
        update(SuppressionRow)
        .where(SuppressionRow.event_id.in_(events))
        .values(key=None, detail=None)
    )
    connection.execute(delete(DedupeWindowRow).where(DedupeWindowRow.run_id.in_(runs)))
    connection.execute(delete(DebouncedRow).where(DebouncedRow.event_id.in_(events)))


def still_used(connection: Connection, contents: Collection[str]) -> set[str]:
    """Which of these contents (sha256) some artifact still has."""
    has = ArtifactRow.sha256.in_(contents) & ArtifactRow.deleted_at.is_(None)
    rows = connection.execute(select(ArtifactRow.sha256).where(has).distinct())
    return {sha256 for sha256 in rows.scalars() if sha256 is not None}


_REPLACE: Final = {
    part: _replace(part)
    for part in ("event", "run", "steps", "attempts", "gates", "approvals", "artifacts")
}
