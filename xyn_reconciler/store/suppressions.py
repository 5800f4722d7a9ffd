"""What keeps a storm of events from being a storm of runs: windows, quiet times, and the word.

A *window* (``dedupe``) belongs to the run that opened it. A *debounced* key holds
its newest event until it has been quiet. Either way an event that starts nothing
leaves a row of ``suppressions`` that says in whose favour.

The trap: two transactions that take the same keys in different orders wait for
one another. Windows are taken in the keys' order, all of a step in one statement.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, func, select, text

from xyn_reconciler.store import outbox
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.tables import (
    DebouncedRow,
    DedupeWindowRow,
    RunRow,
    SuppressionRow,
)

Reason = Literal["dedupe", "debounce", "invalid", "policy"]
Key = tuple[str, int, str]
"""Blueprint, place of the trigger in it, and what its ``key`` came to."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that would open the window of a key."""

    key: Key
    run_id: uuid.UUID
    ends_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Held:
    """An event that waits for its key to be quiet."""

    key: Key
    event_id: uuid.UUID
    due_at: dt.datetime
    at_latest: dt.timedelta
    """After the first event of the key its run starts, quiet or not."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """A trigger that fitted an event and started nothing."""

    event_id: uuid.UUID
    blueprint_id: str
    trigger_index: int
    reason: Reason
    key: str | None = None
    detail: str | None = None
    run_id: uuid.UUID | None = None


_COLUMNS = (
    SuppressionRow.event_id,
    SuppressionRow.blueprint_id,
    SuppressionRow.trigger_index,
    SuppressionRow.reason,
    SuppressionRow.key,
    SuppressionRow.detail,
    SuppressionRow.run_id,
)

_CLAIM = text(
    "INSERT INTO dedupe_windows AS held (blueprint_id, trigger_index, key, run_id, ends_at)"
    " SELECT * FROM unnest(CAST(:blueprint AS text[]), CAST(:trigger AS bigint[]),"
    " CAST(:key AS text[]), CAST(:run AS uuid[]), CAST(:ends AS timestamptz[]))"
    " ON CONFLICT (blueprint_id, trigger_index, key) DO UPDATE SET"
    " run_id = CASE WHEN held.ends_at <= :now THEN excluded.run_id ELSE held.run_id END,"
    " ends_at = CASE WHEN held.ends_at <= :now THEN excluded.ends_at ELSE held.ends_at END"
    " RETURNING blueprint_id, trigger_index, key, run_id"
)
_HOLD = text(
    "INSERT INTO debounced AS held"
    " (blueprint_id, trigger_index, key, event_id, first_at, due_at)"
    " VALUES (:blueprint, :trigger, :key, :event, CAST(:now AS timestamptz),"
    " least(CAST(:due AS timestamptz), CAST(:now AS timestamptz) + CAST(:latest AS interval)))"
    " ON CONFLICT (blueprint_id, trigger_index, key) DO UPDATE SET"
    " before_id = held.event_id, event_id = excluded.event_id,"
    " due_at = least(CAST(:due AS timestamptz), held.first_at + CAST(:latest AS interval))"
    " RETURNING before_id"
)
_TAKE = text(
    "DELETE FROM debounced WHERE blueprint_id = :blueprint AND trigger_index = :trigger"
    " AND key = :key RETURNING event_id"
)
_SUPPRESS = text(
    "INSERT INTO suppressions"
    " (event_id, blueprint_id, trigger_index, reason, key, detail, run_id, created_at)"
    " SELECT given.*, CAST(:now AS timestamptz)"
    " FROM unnest(CAST(:event AS uuid[]), CAST(:blueprint AS text[]), CAST(:trigger AS bigint[]),"
    " CAST(:reason AS text[]), CAST(:key AS text[]), CAST(:detail AS text[]),"
    " CAST(:run AS uuid[])) AS given ON CONFLICT DO NOTHING"
)
_NAME = text(
    "UPDATE suppressions SET run_id = :run WHERE blueprint_id = :blueprint"
    " AND trigger_index = :trigger AND key = :key AND reason = 'debounce' AND run_id IS NULL"
    " RETURNING event_id"
)


def claim_windows(
    connection: Connection, claims: Sequence[Claim], *, now: dt.datetime
) -> dict[Key, uuid.UUID]:
    """Open the window of each key that has none; give the run that holds each of them now."""
    first: dict[Key, Claim] = {}
    for claim in claims:
        first.setdefault(claim.key, claim)
    ordered = [first[key] for key in sorted(first)]
    rows = connection.execute(
        _CLAIM,
        {
            "now": now,
            "blueprint": [each.key[0] for each in ordered],
            "trigger": [each.key[1] for each in ordered],
            "key": [each.key[2] for each in ordered],
            "run": [each.run_id for each in ordered],
            "ends": [each.ends_at for each in ordered],
        },
    )
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def hold_back(connection: Connection, held: Held, *, now: dt.datetime) -> uuid.UUID | None:
    """Let an event be the newest of its key; give the one whose place it takes."""
    before: uuid.UUID | None = connection.execute(
        _HOLD,
        {
            **_named(held.key),
            "event": held.event_id,
            "now": now,
            "due": held.due_at,
            "latest": held.at_latest,
        },
    ).scalar_one()
    return before


def take_quiet(
    connection: Connection, *, now: dt.datetime, limit: int
) -> list[tuple[Key, uuid.UUID]]:
    """Take out the keys that have been quiet, each with its newest event."""
    due = (
        select(DebouncedRow.blueprint_id, DebouncedRow.trigger_index, DebouncedRow.key)
        .where(DebouncedRow.due_at <= now)
        .order_by(DebouncedRow.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = [(row[0], row[1], row[2]) for row in connection.execute(due)]
    return [(key, connection.execute(_TAKE, _named(key)).scalar_one()) for key in taken]


def suppress(
    connection: Connection, suppressions: Sequence[Suppression], *, now: dt.datetime
) -> None:
    """Write down what started nothing."""
    if suppressions:
        connection.execute(
            _SUPPRESS,
            {
                "now": now,
                "event": [each.event_id for each in suppressions],
                "blueprint": [each.blueprint_id for each in suppressions],
                "trigger": [each.trigger_index for each in suppressions],
                "reason": [each.reason for each in suppressions],
                "key": [each.key for each in suppressions],
                "detail": [each.detail for each in suppressions],
                "run": [each.run_id for each in suppressions],
            },
        )
        # Their records may be written already, and said that they wait.
        passed = [each.event_id for each in suppressions if each.reason == "debounce"]
        outbox.put(connection, "event", passed, now)


def name_run(connection: Connection, key: Key, run_id: uuid.UUID, *, now: dt.datetime) -> None:
    """Say of the events that a debounced key passed over which run came of it."""
    passed = connection.execute(_NAME, {**_named(key), "run": run_id}).scalars()
    outbox.put(connection, "event", passed, now)


def suppressions_of(connection: Connection, event_id: uuid.UUID) -> list[Suppression]:
    """What an event fitted and did not start."""
    rows = connection.execute(select(*_COLUMNS).where(SuppressionRow.event_id == event_id))
    return [Suppression(*tuple[Any, ...](row)) for row in rows]


def suppressed_by(connection: Connection, run_id: uuid.UUID, *, limit: int) -> list[uuid.UUID]:
    """The newest events that a run stands for besides its own."""
    return list(
        connection.execute(
            select(SuppressionRow.event_id)
            .where(SuppressionRow.run_id == run_id)
            .order_by(SuppressionRow.created_at.desc(), SuppressionRow.event_id.desc())
            .limit(limit)
        ).scalars()
    )


def held_back(connection: Connection, event_id: uuid.UUID) -> dict[str, dt.datetime]:
    """Blueprints that wait with this event for its key to be quiet, and until when."""
    rows = connection.execute(
        select(DebouncedRow.blueprint_id, DebouncedRow.due_at).where(
            DebouncedRow.event_id == event_id
        )
    )
    return {row[0]: row[1] for row in rows}


def runs_of(
    connection: Connection, event_id: uuid.UUID
) -> dict[str, tuple[uuid.UUID, dict[str, Any] | None]]:
    """The runs that an event started, each with what it failed of, by blueprint."""
    rows = connection.execute(
        select(RunRow.blueprint_id, RunRow.run_id, RunRow.error).where(
            RunRow.event_id == event_id, RunRow.origin_run_id.is_(None)
        )
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def forget_ended(connection: Connection, *, now: dt.datetime) -> None:
    """Take out windows that have ended."""
    connection.execute(delete(DedupeWindowRow).where(DedupeWindowRow.ends_at <= now))


def waiting_runs(connection: Connection) -> dict[str, int]:
    """Runs that no worker has taken up yet, by blueprint."""
    rows = connection.execute(
        select(RunRow.blueprint_id, func.count())
        .where(RunRow.status == "created")
        .group_by(RunRow.blueprint_id)
    )
    return {row[0]: row[1] for row in rows}


def waiting_bytes(connection: Connection) -> int:
    """Bytes, as they are stored, of outside events that are not in Git or not taken up by a worker.

    A look at every one of them.
    """
    found: int = connection.execute(_WAITING_BYTES).scalar_one()
    return found


_WAITING_BYTES = text(
    "SELECT CAST(coalesce(sum(pg_column_size(data) + coalesce(pg_column_size(raw), 0)), 0)"
    " AS bigint) FROM events WHERE source <> 'xyn' AND event_id IN ("
    " SELECT subject FROM outbox WHERE kind = 'event'"
    " UNION SELECT event_id FROM runs WHERE status = 'created')"
)


def _named(key: Key) -> dict[str, Any]:
    return {"blueprint": key[0], "trigger": key[1], "key": key[2]}
