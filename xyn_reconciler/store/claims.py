"""Runs in a worker's hold: claim them, prolong them, read them. What it writes is in :mod:`.turns`.

The trap is fencing. :func:`claim` locks runs that are free for the caller's
transaction, who writes ``attempt + 1`` and a holder if it keeps them; whoever
writes afterwards begins its transaction with :func:`hold`, which locks the rows
and leaves out those whose claim is no longer the caller's.

Every question here is asked for many runs at once: the answer to one costs a
round trip, and so does the answer to fifty.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.run import (
    ExecutionPlan,
    ItemView,
    RunStatus,
    StepStatus,
    StepView,
)
from xyn_reconciler.store import dispatch
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.pipeline import BY_KEY, send

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


# ── holding ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Claims:
    """What a claim brought."""

    runs: list[Claimed]
    woken: int
    """Wake-ups that were taken off the queue."""
    transaction: str
    """The id of the caller's transaction, for :func:`committed`."""


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
    transaction, woken, _ = rows[0][:3]
    return Claims([_claimed(row[3:]) for row in rows if row[3] is not None], woken, transaction)


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
    f" SELECT pg_current_xact_id()::text, (SELECT count(*) FROM woken), {BY_KEY}, free.*"
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


def hold(
    connection: Connection, held: Sequence[Token], *, worker: str
) -> tuple[dict[uuid.UUID, Held], str | None]:
    """Lock the rows of runs that the caller still holds; the others are left out.

    The first statement of every transaction that writes for a claim: from
    here to the commit nobody else claims the run, decides its gates or
    cancels it. Beside them the transaction's id, for :func:`committed`.
    """
    if not held:
        return {}, None
    rows = send(connection, [(_HOLD, ([run_id for run_id, _ in held], worker))])
    tokens = set(held)
    ours = {row[0]: Held(row[2], row[3]) for row in rows if (row[0], row[1]) in tokens}
    return ours, rows[0][4] if rows else None


_HOLD: Final = (
    "SELECT run_id, attempt, cancel_requested_at, cancelled_by, pg_current_xact_id()::text,"  # noqa: S608 - a constant
    f" {BY_KEY} FROM runs WHERE run_id = ANY(%s) AND leased_by = %s ORDER BY run_id FOR UPDATE"
).encode()


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


def committed(connection: Connection, transaction: str) -> bool:
    """Whether a transaction whose end was not heard of has been committed."""
    status = connection.exec_driver_sql(
        "SELECT pg_xact_status(CAST(%s AS xid8))", (transaction,)
    ).scalar_one()
    return bool(status == "committed")


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


# ── reading for a worker ─────────────────────────────────────────────────────────────────────────


def load_plans(connection: Connection, digests: Iterable[str]) -> dict[str, ExecutionPlan]:
    """Read compiled plans."""
    rows = connection.exec_driver_sql(
        "SELECT digest, plan FROM plans WHERE digest = ANY(%s)", (list(digests),)
    )
    return {digest: ExecutionPlan.model_validate(plan) for digest, plan in rows}


def load_plan(connection: Connection, digest: str) -> ExecutionPlan:
    """Read one compiled plan; raises ``KeyError`` for an unknown digest, which no run has."""
    return load_plans(connection, [digest])[digest]


NO_REST: Final[Mapping[str, Any]] = {
    "wait_reason": None,
    "started_at": None,
    "completed_at": None,
    "logs_artifact_id": None,
    "inputs": None,
}
"""What stands in a step's row beside its view, before anything happened to it."""


@dataclass(frozen=True, slots=True)
class Story:
    """All that happened to the steps of a run so far, by key, in the plan's order."""

    views: dict[str, StepView]
    rest: dict[str, dict[str, Any]]
    """Beside the views, as :data:`NO_REST` has it."""
    effect_digests: dict[str, str]
    """Of the gates that wait, by step key."""
    log: str | None
    """The sha256 of its log so far."""


def load_stories(connection: Connection, run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Story]:
    """Read the steps of runs; a decided gate with its decision."""
    if not run_ids:
        return {}
    steps: dict[uuid.UUID, list[Any]] = {run_id: [] for run_id in run_ids}
    for row in connection.exec_driver_sql(_LOAD_STEPS, (list(run_ids),)):
        steps[row.run_id].append(row)
    tries: dict[uuid.UUID, list[Any]] = {}
    for row in connection.exec_driver_sql(_LOAD_ATTEMPTS, (list(run_ids),)):
        tries.setdefault(row.step_id, []).append(row)
    gates = load_gates(connection, run_ids)
    children = load_children(connection, run_ids)
    logs: dict[uuid.UUID, str] = {
        row.run_id: row.sha256
        for row in connection.exec_driver_sql(
            "SELECT run_id, sha256 FROM artifacts WHERE run_id = ANY(%s) AND kind = 'log'",
            (list(run_ids),),
        )
    }
    return {
        run_id: Story(
            {row.key: _view(row, tries, gates.get(run_id, {}), children) for row in rows},
            {row.key: _rest(row) for row in rows},
            {key: gate.effect_digest for key, gate in gates.get(run_id, {}).items()},
            logs.get(run_id),
        )
        for run_id, rows in steps.items()
    }


_LOAD_STEPS: Final = (
    "SELECT run_id, step_id, key, status, wait_reason, attempt, interruptions, available_at,"
    " started_at, completed_at, logs_artifact_id, inputs, outputs, error, resolution"
    " FROM steps WHERE run_id = ANY(%s) ORDER BY run_id, position"
)
_LOAD_ATTEMPTS: Final = (
    "SELECT a.step_id, a.item_index, a.number, a.status, a.outputs, a.error"
    " FROM attempts a JOIN steps s USING (step_id) WHERE s.run_id = ANY(%s)"
    " ORDER BY a.step_id, a.item_index, a.number"
)


def _view(
    row: Any,  # noqa: ANN401 - a row of _LOAD_STEPS
    tries: Mapping[uuid.UUID, Sequence[Any]],
    gates: Mapping[str, "GateNews"],
    children: Mapping[uuid.UUID, dict[str, Any]],
) -> StepView:
    own = tries.get(row.step_id, ())
    fields: dict[str, Any] = {
        "key": row.key,
        "status": StepStatus(row.status),
        "attempt": row.attempt,
        "available_at": row.available_at,
        "outputs": row.outputs,
        "error": row.error,
        "interruptions": row.interruptions,
        "resolution": row.resolution,
        "failures": sum(one.status == "failed" for one in own),
        "items": _items(own, row, children),
    }
    if not fields["items"]:
        fields["awaited"] = children.get(child_run_id(row.step_id, None, row.attempt))
    gate = gates.get(row.key)
    return StepView(**(fields if gate is None else fields | gate.changes))


def _rest(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of _LOAD_STEPS
    return {name: getattr(row, name) for name in NO_REST}


def _items(
    tries: Sequence[Any],
    step: Any,  # noqa: ANN401 - a row of _LOAD_STEPS
    children: Mapping[uuid.UUID, dict[str, Any]],
) -> tuple[ItemView, ...] | None:
    """Fold the tries of a ``foreach`` step into items; the last try of each tells its status."""
    items: dict[int, ItemView] = {}
    for one in tries:
        if one.item_index is None:
            continue
        before = items.get(one.item_index)
        again = (one.error or {}).get("retry_at")
        awaited = children.get(child_run_id(step.step_id, one.item_index, one.number))
        waits = again or (awaited is not None and one.status == "running")
        items[one.item_index] = ItemView(
            index=one.item_index,
            status=StepStatus.WAITING if waits else StepStatus(one.status),
            attempt=one.number,
            failures=(before.failures if before else 0) + (one.status == "failed"),
            available_at=dt.datetime.fromisoformat(again) if again else None,
            outputs=one.outputs,
            error=one.error,
            awaited=awaited if one.status == "running" else None,
        )
    return tuple(items[index] for index in sorted(items)) or None


CHILD_NAMESPACE: Final = uuid.UUID("3d1b1c0e-52f5-4a39-8a0b-6d2f6c1f7e55")


def child_run_id(step_id: uuid.UUID, index: int | None, number: int) -> uuid.UUID:
    """The id of the run that an attempt of a step, or of an item of it, starts."""
    return uuid.uuid5(CHILD_NAMESPACE, f"{step_id}/{index}/{number}")


def load_children(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, Any]]:
    """By their ids, the runs that steps of these runs wait for: what a view knows of each."""
    rows = connection.exec_driver_sql(
        "SELECT c.run_id, c.status, c.outputs, c.error FROM steps s"
        " JOIN runs c ON c.parent_step_id = s.step_id"
        " WHERE s.run_id = ANY(%s) AND s.status = 'waiting' AND s.wait_reason = 'run'",
        (list(run_ids),),
    )
    return {
        row.run_id: {
            "run_id": str(row.run_id),
            "status": row.status,
            "outputs": row.outputs,
            "error": row.error,
        }
        for row in rows
    }


def load_resolutions(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, str]]:
    """By run and step key, what people chose for interrupted steps."""
    found: dict[uuid.UUID, dict[str, str]] = {}
    if run_ids:
        rows = connection.exec_driver_sql(
            "SELECT run_id, key, resolution FROM steps WHERE run_id = ANY(%s)"
            " AND status = 'interrupted' AND resolution IS NOT NULL",
            (list(run_ids),),
        )
        for row in rows:
            found.setdefault(row.run_id, {})[row.key] = row.resolution
    return found


# ── gates ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class News:
    """What people and other runs brought to a run that is held."""

    gates: Mapping[str, "GateNews"] = field(default_factory=dict)
    resolutions: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """By the text of their ids."""


def load_news(connection: Connection, run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, News]:
    """Read what runs may wait for, where they wait for something."""
    if not run_ids:
        return {}
    gates, chosen = load_gates(connection, run_ids), load_resolutions(connection, run_ids)
    children = {str(key): one for key, one in load_children(connection, run_ids).items()}
    return {
        run_id: News(gates.get(run_id, {}), chosen.get(run_id, {}), children) for run_id in run_ids
    }


@dataclass(frozen=True, slots=True)
class GateNews:
    """A gate that waits, as its row has it."""

    effect_digest: str
    changes: dict[str, Any]
    """Fields of the step's view."""


def load_gates(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, GateNews]]:
    """By run and step key, the gates that wait, or were decided while they waited."""
    if not run_ids:
        return {}
    gates = connection.exec_driver_sql(
        "SELECT s.run_id, s.key, g.step_id, g.effect_digest, g.decision, g.decided_because,"
        " g.expires_at FROM gates g JOIN steps s USING (step_id)"
        " WHERE g.run_id = ANY(%s) AND s.status = 'waiting'",
        (list(run_ids),),
    ).all()
    people = _people(connection, [gate.step_id for gate in gates if gate.decision is not None])
    found: dict[uuid.UUID, dict[str, GateNews]] = {}
    for gate in gates:
        changes = {
            "expires_at": gate.expires_at,
            "decision": gate.decision,
            "decided_because": gate.decided_because,
        }
        if gate.decision is not None:
            changes["outputs"] = _gate_outputs(gate.decision, people.get(gate.step_id, []))
        news = GateNews(gate.effect_digest, changes)
        found.setdefault(gate.run_id, {})[gate.key] = news
    return found


def _people(connection: Connection, decided: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Any]]:
    people: dict[uuid.UUID, list[Any]] = {}
    if decided:
        approvals = connection.exec_driver_sql(
            "SELECT a.step_id, a.principal, a.decision, a.comment, a.form FROM approvals a"
            " JOIN gates g USING (step_id, effect_digest)"
            " WHERE a.step_id = ANY(%s) ORDER BY a.created_at, a.principal",
            (list(decided),),
        )
        for approval in approvals:
            people.setdefault(approval.step_id, []).append(approval)
    return people


def _gate_outputs(decision: str, people: Sequence[Any]) -> dict[str, Any]:
    agreed = [one for one in people if one.decision == decision]
    last = agreed[-1] if agreed else None
    return {
        "decision": decision,
        "approvers": [one.principal for one in agreed] if decision == "approved" else [],
        "comment": last.comment if last else None,
        "form": last.form if last else None,
    }
