"""Events as they arrived: written once, read by id, by delivery, newest first.

``trigger.intake`` writes them together with what they start; pages, API and the
committer read them. A delivery (source, delivery id, item) exists once: the
database guards that, so of parallel copies one is stored.

The trap: text columns hold neither U+0000 nor lone surrogates, which senders do
send; :func:`storable` is for every text that comes from outside. ``data`` and
``resource`` are JSON and keep them.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, text, tuple_

from xyn_reconciler.model.event import Event
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_text import dumps
from xyn_reconciler.store.tables import EventRow, RunRow

_INSERT = text(
    "INSERT INTO events (event_id, event_name, occurred_at, created_at, env_id, actor,"
    " correlation_id, run_id, step_id, resource, data, source, delivery_id, delivery_item,"
    " content_type, raw, hops, revision)"
    " SELECT id, name, occurred, CAST(:now AS timestamptz), env, actor, correlation, run, step,"
    " CAST(resource AS json), CAST(data AS json), source, delivery, item, content, raw, hops,"
    " coalesce(CAST(:revision AS text), (SELECT last_applied_revision FROM node))"
    # Arrays, not one VALUES per row: the statement is the same for any number of events.
    " FROM unnest(CAST(:id AS uuid[]), CAST(:name AS text[]), CAST(:occurred AS timestamptz[]),"
    " CAST(:env AS text[]), CAST(:actor AS text[]), CAST(:correlation AS text[]),"
    " CAST(:run AS uuid[]), CAST(:step AS uuid[]), CAST(:resource AS text[]),"
    " CAST(:data AS text[]), CAST(:source AS text[]), CAST(:delivery AS text[]),"
    " CAST(:item AS bigint[]), CAST(:content AS text[]), CAST(:raw AS bytea[]),"
    " CAST(:hops AS bigint[]))"
    " AS new (id, name, occurred, env, actor, correlation, run, step, resource, data, source,"
    " delivery, item, content, raw, hops)"
    " ON CONFLICT (source, delivery_id, delivery_item) WHERE delivery_id IS NOT NULL DO NOTHING"
    " RETURNING event_id, (SELECT database_id FROM node), (SELECT applied_sequence FROM node)"
)

_COLUMNS = (
    EventRow.event_id,
    EventRow.event_name,
    EventRow.occurred_at,
    EventRow.env_id,
    EventRow.actor,
    EventRow.correlation_id,
    EventRow.run_id,
    EventRow.step_id,
    EventRow.resource,
    EventRow.data,
    EventRow.source,
    EventRow.delivery_id,
    EventRow.delivery_item,
    EventRow.content_type,
    EventRow.hops,
    EventRow.created_at,
    EventRow.revision,
    EventRow.record_commit,
)

_UNSTORABLE = dict.fromkeys([0, *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with what was noted when it came in; ``event.raw`` is left to :func:`raw_event`."""

    event: Event
    created_at: dt.datetime
    revision: str | None
    record_commit: str | None


@dataclass(frozen=True, slots=True)
class Inserted:
    """What an insert did."""

    event_ids: list[uuid.UUID]
    """Those that are new; a delivery that was there already is left out."""
    position: tuple[uuid.UUID, int] | None
    """``node.database_id`` and ``applied_sequence`` as seen here; ``None`` if nothing was new."""


def storable(value: str) -> str:
    """Give the text with U+FFFD for what a Postgres text column refuses."""
    return value.translate(_UNSTORABLE)


def insert_events(
    connection: Connection,
    events: Sequence[Event],
    *,
    now: dt.datetime,
    revision: str | None = None,
) -> Inserted:
    """Write events in one statement; ``revision`` defaults to the one that is active.

    A delivery that another transaction is just writing is waited for. To keep
    two batches from waiting for one another, rows go in in the deliveries' order.
    """
    if not events:
        return Inserted([], None)
    rows = sorted(events, key=lambda e: (e.source, e.delivery_id or "", e.delivery_item))
    found = connection.execute(
        _INSERT,
        {
            "now": now,
            "revision": revision,
            "id": [event.event_id for event in rows],
            "name": [event.event_name for event in rows],
            "occurred": [event.occurred_at for event in rows],
            "env": [event.env_id for event in rows],
            "actor": [storable(event.actor) for event in rows],
            "correlation": [storable(event.correlation_id) for event in rows],
            "run": [event.run_id for event in rows],
            "step": [event.step_id for event in rows],
            "resource": [None if e.resource is None else dumps(e.resource) for e in rows],
            "data": [dumps(event.data) for event in rows],
            "source": [event.source for event in rows],
            "delivery": [_optional(event.delivery_id) for event in rows],
            "item": [event.delivery_item for event in rows],
            "content": [_optional(event.content_type) for event in rows],
            "raw": [event.raw for event in rows],
            "hops": [event.hops for event in rows],
        },
    ).all()
    position = (found[0][1], found[0][2]) if found else None
    return Inserted([row[0] for row in found], position)


def find_delivery(
    connection: Connection, source: str, delivery_id: str
) -> list[tuple[Event, bytes | None]]:
    """Give the events of one delivery, by item, each with the raw body that was kept."""
    rows = connection.execute(
        select(EventRow.raw, *_COLUMNS)
        .where(EventRow.source == source, EventRow.delivery_id == storable(delivery_id))
        .order_by(EventRow.delivery_item)
    )
    return [(_stored(tuple(row)[1:]).event, row[0]) for row in rows]


def get_event(connection: Connection, event_id: uuid.UUID) -> StoredEvent | None:
    row = connection.execute(select(*_COLUMNS).where(EventRow.event_id == event_id)).one_or_none()
    return None if row is None else _stored(tuple(row))


def raw_event(
    connection: Connection, event_id: uuid.UUID
) -> tuple[bytes | None, str | None] | None:
    """Give the body as it arrived, redacted, and its content type; ``None`` without the event."""
    row = connection.execute(
        select(EventRow.raw, EventRow.content_type).where(EventRow.event_id == event_id)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def list_events(
    connection: Connection,
    *,
    limit: int,
    before: tuple[dt.datetime, uuid.UUID] | None = None,
    event_name: str | None = None,
    run_id: uuid.UUID | None = None,
    outside_only: bool = False,
) -> list[StoredEvent]:
    """Newest first by (created_at, event_id); ``event_name`` may end in ``.*``."""
    conditions: list[ColumnElement[bool]] = []
    if before is not None:
        key = tuple_(EventRow.created_at, EventRow.event_id)
        conditions.append(key < tuple_(*before))
    if event_name is not None and event_name.endswith(".*"):
        conditions.append(func.starts_with(EventRow.event_name, event_name[:-1]))
    elif event_name is not None:
        conditions.append(EventRow.event_name == event_name)
    if run_id is not None:
        conditions.append(EventRow.run_id == run_id)
    if outside_only:
        conditions.append(EventRow.source != "xyn")
    rows = connection.execute(
        select(*_COLUMNS)
        .where(*conditions)
        .order_by(EventRow.created_at.desc(), EventRow.event_id.desc())
        .limit(limit)
    )
    return [_stored(tuple(row)) for row in rows]


def runs_started_by_the_platform(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> set[uuid.UUID]:
    """Which of these runs were started by one of the platform's own events."""
    rows = connection.execute(
        select(RunRow.run_id)
        .join(EventRow, EventRow.event_id == RunRow.event_id)
        .where(RunRow.run_id.in_(run_ids), EventRow.source == "xyn")
    )
    return set(rows.scalars())


def _optional(value: str | None) -> str | None:
    return None if value is None else storable(value)


def _stored(row: Sequence[Any]) -> StoredEvent:
    *fields, created_at, revision, record_commit = row
    names = [column.key for column in _COLUMNS[: len(fields)]]
    event = Event(**dict(zip(names, fields, strict=True)))
    return StoredEvent(event, created_at, revision, record_commit)
