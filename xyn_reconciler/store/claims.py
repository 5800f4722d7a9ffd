"""Runs in a worker's hold: claim them, prolong the claims, give them up.

What a worker reads of them is in :mod:`.stories` and :mod:`.news`, what it
writes in :mod:`.turns`.

The trap is fencing. :func:`claim` locks runs that are free for the caller's
transaction, who writes ``attempt + 1`` and a holder if it keeps them; whoever
writes afterwards begins its transaction with :func:`hold`, which locks the rows
and leaves out those whose claim is no longer the caller's.

Every question here is asked for many runs at once: the answer to one costs a
round trip, and so does the answer to fifty.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.run import RunStatus
from xyn_reconciler.store import dispatch
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.pipeline import send

Token = tuple[uuid.UUID, int]
"""A claim: the run and its attempt, the fencing token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A run as its new holder finds it."""

    run_id: uuid.UUID
    blueprint_id: str
    revision: str
    plan_digest: str
    status: RunStatus
    wait_reason: str | None
    priority: int
    created_at: dt.datetime
    started_at: dt.datetime | None
    deadline_at: dt.datetime | None
    available_at: dt.datetime | None
    waiting_since: dt.datetime | None
    actor: str
    correlation_id: str
    inputs: dict[str, Any]
    error: dict[str, Any] | None
    warnings: int
    hops: int
    origin_run_id: uuid.UUID | None
    parent_step_id: uuid.UUID | None
    concurrency_key: str | None
    key_run_id: uuid.UUID | None
    attempt: int
    """The fencing token of this claim: one more than what stands in the row."""
    cancel_requested_at: dt.datetime | None
    cancelled_by: str | None
    lapsed_at: dt.datetime | None
    """When the lease of a holder before, who never gave it back, ran out."""
    event: dict[str, Any] | None
    """The envelope of the event that started it."""

    @property
    def untouched(self) -> bool:
        """Whether no step of it can have a story yet: its rows need not be read."""
        return self.status is RunStatus.CREATED and self.origin_run_id is None


@dataclass(frozen=True, slots=True)
class Held:
    """What people may have changed of a run while a worker holds it."""

    cancel_requested_at: dt.datetime | None
    cancelled_by: str | None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a claim brought."""

    runs: list[Claimed]
    woken: int
    """Wake-ups that were taken off the queue."""


def claim(
    connection: Connection, run_ids: Sequence[uuid.UUID], *, now: dt.datetime, room: int = 0
) -> Claims:
    """Lock those of the runs that are unfinished and that nobody holds, or has held for too long.

    Beside the given runs those of up to ``room`` wake-ups, which are taken off
    the queue: rolled back, they are there again. What another transaction is
    just taking is left out, not waited for. Nothing else is written: whoever
    only looks leaves no trace.
    """
    rows = send(connection, [(_CLAIM, (dispatch.QUEUE, room, list(run_ids), now))])
    return Claims([_claimed(row[1:]) for row in rows if row[1] is not None], rows[0][0])


_OF_RUN: Final = (
    "run_id",
    "blueprint_id",
    "revision",
    "plan_digest",
    "status",
    "wait_reason",
    "priority",
    "created_at",
    "started_at",
    "deadline_at",
    "available_at",
    "waiting_since",
    "actor",
    "correlation_id",
    "inputs",
    "error",
    "warnings",
    "hops",
    "origin_run_id",
    "parent_step_id",
    "concurrency_key",
    "key_run_id",
    "attempt",
    "cancel_requested_at",
    "cancelled_by",
    "leased_until",
)
_OF_EVENT: Final = (
    "event_id",
    "event_name",
    "occurred_at",
    "env_id",
    "actor",
    "correlation_id",
    "run_id",
    "step_id",
    "resource",
    "data",
)

# Names of columns come from the tuples above, and from nowhere else.
_CLAIM: Final = (
    f"WITH woken AS ({dispatch.TAKE}), free AS ("  # noqa: S608 - see above
    f"SELECT {', '.join(f'r.{name}' for name in _OF_RUN)},"
    f" {', '.join(f'e.{name} AS e_{name}' for name in _OF_EVENT)}"
    " FROM runs r LEFT JOIN events e ON e.event_id = r.event_id"
    " WHERE r.run_id = ANY(ARRAY(SELECT run_id FROM woken UNION SELECT unnest(%s::uuid[])))"
    " AND r.status IN ('created', 'running', 'waiting')"
    " AND (r.leased_until IS NULL OR r.leased_until < %s)"
    " FOR UPDATE OF r SKIP LOCKED)"
    " SELECT (SELECT count(*) FROM woken), free.*"
    " FROM (SELECT) AS one LEFT JOIN free ON true"
).encode()


def _claimed(row: Sequence[Any]) -> Claimed:
    run = dict(zip(_OF_RUN, row[: len(_OF_RUN)], strict=True))
    event = dict(zip(_OF_EVENT, row[len(_OF_RUN) :], strict=True))
    run["lapsed_at"] = run.pop("leased_until")
    run["status"] = RunStatus(run["status"])
    run["attempt"] += 1
    return Claimed(**run, event=None if event["event_id"] is None else _envelope(event))


def _envelope(event: dict[str, Any]) -> dict[str, Any]:
    """As :meth:`model.event.Event.envelope` has it."""
    for name in ("event_id", "run_id", "step_id"):
        event[name] = None if event[name] is None else str(event[name])
    event["occurred_at"] = isoformat(event["occurred_at"])
    return event


def hold(connection: Connection, held: Sequence[Token], *, worker: str) -> dict[uuid.UUID, Held]:
    """Lock the rows of runs that the caller still holds; the others are left out.

    The first statement of every transaction that writes for a claim: from
    here to the commit nobody else claims the run, decides its gates or
    cancels it.
    """
    if not held:
        return {}
    rows = send(connection, [(_HOLD, ([run_id for run_id, _ in held], worker))])
    tokens = set(held)
    return {row[0]: Held(row[2], row[3]) for row in rows if (row[0], row[1]) in tokens}


_HOLD: Final = (
    b"SELECT run_id, attempt, cancel_requested_at, cancelled_by FROM runs"
    b" WHERE run_id = ANY(%s) AND leased_by = %s ORDER BY run_id FOR UPDATE"
)


def release(connection: Connection, run_id: uuid.UUID, *, worker: str) -> None:
    """Give up a claim that this worker still has, without another change."""
    connection.exec_driver_sql(
        "UPDATE runs SET leased_by = NULL, leased_until = NULL"
        " WHERE run_id = %s AND leased_by = %s",
        (run_id, worker),
    )


def renew(
    connection: Connection,
    held: Sequence[Token],
    *,
    worker: str,
    now: dt.datetime,
    lease: dt.timedelta,
) -> None:
    """Prolong the leases that are still held."""
    connection.exec_driver_sql(
        "UPDATE runs SET leased_until = %s WHERE leased_by = %s AND (run_id, attempt) IN"
        " (SELECT * FROM unnest(CAST(%s AS uuid[]), CAST(%s AS bigint[])))",
        (now + lease, worker, [run_id for run_id, _ in held], [attempt for _, attempt in held]),
    )


def news(
    connection: Connection, held: Sequence[Token], *, worker: str
) -> dict[Token, tuple[bool, int]]:
    """For claims still held: whether a cancel was asked for, and how much came from outside."""
    rows = connection.exec_driver_sql(
        "SELECT r.run_id, r.attempt, r.cancel_requested_at IS NOT NULL,"
        " (SELECT count(*) FROM gates g WHERE g.run_id = r.run_id AND g.decision IS NOT NULL)"
        " + (SELECT count(*) FROM steps s LEFT JOIN runs c ON c.parent_step_id = s.step_id"
        " WHERE s.run_id = r.run_id"
        " AND (s.resolution IS NOT NULL OR c.completed_at IS NOT NULL))"
        " FROM runs r WHERE r.leased_by = %s AND r.run_id = ANY(%s)",
        (worker, [run_id for run_id, _ in held]),
    )
    tokens = set(held)
    return {(row[0], row[1]): (row[2], row[3]) for row in rows if (row[0], row[1]) in tokens}


def interrupt_attempts(
    connection: Connection, run_ids: Sequence[uuid.UUID], now: dt.datetime
) -> None:
    """Mark the tries that a dead worker left under way."""
    connection.exec_driver_sql(
        "UPDATE attempts a SET status = 'interrupted', completed_at = %s FROM steps s"
        " WHERE s.run_id = ANY(%s) AND s.step_id = a.step_id AND a.status = 'running'"
        " AND s.wait_reason IS DISTINCT FROM 'run'",
        (now, list(run_ids)),
    )
