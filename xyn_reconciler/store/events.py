"""Events as they arrived: written once, read by id, by delivery, newest first.

``trigger.intake`` writes them together with what they start; pages, API and the
committer read them. A delivery (source, delivery id, item) exists once: the
database guards that, so of parallel copies one is stored.

The trap: text columns hold neither U+0000 nor lone surrogates, which senders do
send; :func:`storable` is for every text that comes from outside. ``data`` and
``resource`` are JSON and keep them.
"""

import base64
import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, tuple_

from xyn_reconciler.model.event import Event
from xyn_reconciler.store import dispatch
from xyn_reconciler.store import runs as run_store
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_rows import Row
from xyn_reconciler.store.json_text import dumps, storable
from xyn_reconciler.store.notice import OUTBOX
from xyn_reconciler.store.pipeline import Asked, send
from xyn_reconciler.store.runs import NewRun
from xyn_reconciler.store.tables import EventRow, RunRow

_INTO = (
    "INSERT INTO events (event_id, event_name, occurred_at, created_at, env_id, actor,"
    " correlation_id, run_id, step_id, resource, data, source, delivery_id, delivery_item,"
    " content_type, raw, hops, revision)"
)


def _rows(given: str) -> str:
    """The SQL of rows that one parameter holds as JSON: a statement for any number of them."""
    return (
        " SELECT id, name, occurred, CAST(%(now)s AS timestamptz), env, actor, correlation,"  # noqa: S608 - names from here
        " run, step, CAST(resource AS json), CAST(data AS json), source, delivery, item, content,"
        " decode(raw, 'base64'), hops,"
        " coalesce(CAST(%(revision)s AS text), node.last_applied_revision)"
        f" FROM json_to_recordset(CAST(%({given})s AS json)) AS given (id uuid, name text,"
        " occurred timestamptz, env text, actor text, correlation text, run uuid, step uuid,"
        " resource text, data text, source text, delivery text, item bigint, content text,"
        " raw text, hops bigint, cause uuid) LEFT JOIN node ON true"
    )


_ONCE = " ON CONFLICT (source, delivery_id, delivery_item) WHERE delivery_id IS NOT NULL DO NOTHING"
_OUTBOX = (
    "INSERT INTO outbox (kind, subject, created_at)"
    " SELECT kind, subject, CAST(%(now)s AS timestamptz) FROM"
)
_TELL = "(SELECT pg_notify(CAST(%(outbox)s AS text), '') WHERE EXISTS (SELECT FROM waiting))"


def _arriving(parts: str = "", recorded: str = "", ends: str = "") -> bytes:
    return (
        f"WITH stored AS ({_INTO}{_rows('events')}"  # noqa: S608 - as above
        " WHERE node.database_id = %(database)s AND node.applied_sequence = %(sequence)s"
        f"{_ONCE} RETURNING event_id),"
        # Rows that a statement inserts are not seen by the rest of it: RETURNING hands them on.
        f" told AS ({_INTO}{_rows('told')}"
        " WHERE given.cause IN (SELECT event_id FROM stored) RETURNING event_id, run_id),"
        f"{parts} waiting AS ({_OUTBOX} (SELECT 'event' AS kind, event_id AS subject FROM stored"
        # What is told of a run stands in the run's own record.
        f" UNION ALL SELECT 'event', event_id FROM told WHERE run_id IS NULL{recorded})"
        " AS asked RETURNING id)"
        " SELECT database_id, applied_sequence, ARRAY(SELECT event_id FROM stored)"
        f", {_TELL}{ends} FROM node"
    ).encode()


_STORED = " WHERE EXISTS (SELECT FROM stored)"
_OF_STORED = (
    " WHERE n.event_id IN (SELECT event_id FROM stored UNION ALL SELECT event_id FROM told)"
)
_NEW = " WHERE CAST(run AS uuid) IN (SELECT run_id FROM new) HAVING count(*) > 0"

_ARRIVE = _arriving()
_START = _arriving(
    f" {run_store.inserting(_STORED, _OF_STORED)},",
    " UNION ALL SELECT 'run', run_id FROM new WHERE status = 'failed'",
    f", ({dispatch.WAKING}{_NEW})",
)

_TOLD = (
    f"WITH told AS ({_INTO}{_rows('events')}),"  # noqa: S608 - as above
    f" waiting AS ({_OUTBOX} unnest(CAST(%(kinds)s AS text[]), CAST(%(subjects)s AS uuid[]))"
    " AS new (kind, subject) RETURNING id)"
    f" SELECT database_id, applied_sequence, {_TELL} FROM node"
).encode()

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


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with what was noted when it came in; ``event.raw`` is left to :func:`raw_event`."""

    event: Event
    created_at: dt.datetime
    revision: str | None
    record_commit: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """Events of the platform itself that nobody waits to hear, to be written with what they tell.

    True of one picture of the active revision: whoever writes them makes sure that it is the one
    in force.
    """

    events: Sequence[Event]
    """Without secrets."""
    recorded: Sequence[uuid.UUID]
    """Those of them that have a record line of their own."""
    now: dt.datetime
    revision: str | None
    position: tuple[uuid.UUID, int] | None
    """``node.database_id`` and ``applied_sequence`` of the picture; ``None`` without a node."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """What an insert did."""

    event_ids: list[uuid.UUID]
    """Those that are new; a delivery that was there already is left out."""
    position: tuple[uuid.UUID, int]
    """``node.database_id`` and ``applied_sequence`` as seen here."""


def arrive(
    connection: Connection,
    events: Sequence[Event],
    told: Sequence[tuple[Event, uuid.UUID]],
    *,
    position: tuple[uuid.UUID, int],
    now: dt.datetime,
    runs: Sequence[NewRun] = (),
    awake: Sequence[tuple[uuid.UUID, int]] = (),
) -> Inserted:
    """Write what came, what follows from it, and what is to be recorded, in one statement.

    ``told`` are events that follow from one of ``events`` (its id beside each), ``runs`` what
    any of them started, ``awake`` those to be taken up (run_id, priority); what follows from an
    event that had come before is left out. If ``position`` is not the one in force nothing is
    written, and the answer names the one that is.
    """
    given = {
        "now": now,
        "revision": None,
        "database": position[0],
        "sequence": position[1],
        "outbox": OUTBOX,
        "events": _json_rows(_in_order(events)),
        "told": dumps([_json_row(event) | {"cause": str(cause)} for event, cause in told]),
    }
    asked = (_START, given | run_store.given(runs) | dispatch.given(awake)) if runs else None
    (row,) = send(connection, [asked or (_ARRIVE, given)])
    return Inserted(list(row[2]), (row[0], row[1]))


def insert_told(
    connection: Connection,
    events: Sequence[Event],
    recorded: Sequence[tuple[str, uuid.UUID]],
    *,
    now: dt.datetime,
) -> tuple[uuid.UUID, int] | None:
    """Write the platform's own events, and ask for records of (kind, subject), in one statement.

    Gives ``node.database_id`` and ``applied_sequence`` as seen there; ``None`` without a node.
    """
    rows = send(connection, [telling(events, recorded, now=now)])
    return (rows[0][0], rows[0][1]) if rows else None


def telling(
    events: Sequence[Event], recorded: Sequence[tuple[str, uuid.UUID]], *, now: dt.datetime
) -> Asked:
    """Give the statement of :func:`insert_told`, to be sent along with others."""
    return _TOLD, {
        "now": now,
        "revision": None,
        "outbox": OUTBOX,
        "kinds": [kind for kind, _ in recorded],
        "subjects": [subject for _, subject in recorded],
        "events": _json_rows(events),
    }


TOLD: Final = (
    "event_id",
    "event_name",
    "occurred_at",
    "created_at",
    "env_id",
    "actor",
    "correlation_id",
    "run_id",
    "step_id",
    "resource",
    "data",
    "source",
    "delivery_item",
    "hops",
    "revision",
)
"""The columns of :func:`told_rows`."""


def told_rows(told: Told) -> list[Row]:
    """Give the rows of events, to be written with other rows (:mod:`.json_rows`)."""
    return [
        {
            "event_id": event.event_id,
            "event_name": event.event_name,
            "occurred_at": event.occurred_at,
            "created_at": told.now,
            "env_id": event.env_id,
            "actor": storable(event.actor),
            "correlation_id": storable(event.correlation_id),
            "run_id": event.run_id,
            "step_id": event.step_id,
            "resource": event.resource,
            "data": event.data,
            "source": event.source,
            "delivery_item": event.delivery_item,
            "hops": event.hops,
            "revision": told.revision,
        }
        for event in told.events
    ]


def is_stored(connection: Connection, event_id: uuid.UUID) -> bool:
    """Whether the transaction that an event was written in has been committed."""
    wanted = select(EventRow.event_id).where(EventRow.event_id == event_id)
    return connection.execute(wanted).one_or_none() is not None


def _in_order(events: Sequence[Event]) -> list[Event]:
    """In the deliveries' order, so that two batches never wait for one another."""
    return sorted(events, key=lambda e: (e.source, e.delivery_id or "", e.delivery_item))


def _json_rows(events: Sequence[Event]) -> str:
    # One text, not an array a column: psycopg writes arrays in Python, item by item.
    return dumps([_json_row(event) for event in events])


def _json_row(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.event_id),
        "name": event.event_name,
        "occurred": event.occurred_at.isoformat(),
        "env": event.env_id,
        "actor": storable(event.actor),
        "correlation": storable(event.correlation_id),
        "run": None if event.run_id is None else str(event.run_id),
        "step": None if event.step_id is None else str(event.step_id),
        # JSON in JSON: reading rows, Postgres would take U+0000 in them for an error.
        "resource": None if event.resource is None else dumps(event.resource),
        "data": dumps(event.data),
        "source": event.source,
        "delivery": _optional(event.delivery_id),
        "item": event.delivery_item,
        "content": _optional(event.content_type),
        "raw": None if event.raw is None else base64.b64encode(event.raw).decode(),
        "hops": event.hops,
    }


def find_deliveries(
    connection: Connection, deliveries: Collection[tuple[str, str]]
) -> dict[tuple[str, str, int], Event]:
    """Give the events of deliveries (source, delivery id), by delivery and item, in one look."""
    given = {(source, storable(delivery_id)) for source, delivery_id in deliveries}
    rows = connection.execute(
        select(*_COLUMNS).where(
            EventRow.delivery_id.is_not(None),  # what the index is of
            tuple_(EventRow.source, EventRow.delivery_id).in_(given),
        )
    )
    found = (_stored(tuple(row)).event for row in rows)
    return {(event.source, str(event.delivery_id), event.delivery_item): event for event in found}


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
    names = [str(column.key) for column in _COLUMNS[: len(fields)]]
    event = Event(**dict(zip(names, fields, strict=True)))
    return StoredEvent(event, created_at, revision, record_commit)
