"""One run in one worker's hold: claim it, prolong it, read it, write to it.

The trap is fencing. :func:`claim` raises ``runs.attempt`` and names a holder;
whoever writes afterwards begins its transaction with :func:`hold`, which locks
the run's row and answers ``None`` when the claim is no longer the caller's.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.run import (
    ExecutionPlan,
    ItemView,
    RunStatus,
    StepStatus,
    StepView,
)
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.runs import UNFINISHED
from xyn_reconciler.store.tables import (
    ApprovalRow,
    ArtifactRow,
    AttemptRow,
    GateRow,
    PlanRow,
    RunRow,
    StepRow,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A run as its new holder finds it; ``attempt`` is the fencing token of this claim."""

    run_id: uuid.UUID
    blueprint_id: str
    revision: str
    plan_digest: str
    status: RunStatus
    wait_reason: str | None
    priority: int
    started_at: dt.datetime | None
    deadline_at: dt.datetime | None
    waiting_since: dt.datetime | None
    actor: str
    correlation_id: str
    event_id: uuid.UUID | None
    inputs: dict[str, Any]
    error: dict[str, Any] | None
    warnings: int
    hops: int
    attempt: int
    cancel_requested_at: dt.datetime | None
    cancelled_by: str | None
    lapsed_at: dt.datetime | None
    """When the lease of a holder before, who never gave it back, ran out."""


@dataclass(frozen=True, slots=True)
class Held:
    """What people may have changed of a run while a worker holds it."""

    cancel_requested_at: dt.datetime | None
    cancelled_by: str | None


# ── holding ──────────────────────────────────────────────────────────────────────────────────────


def claim(
    connection: Connection,
    run_id: uuid.UUID,
    *,
    worker: str,
    now: dt.datetime,
    lease: dt.timedelta,
) -> Claimed | None:
    """Take an unfinished run that nobody holds, or whose holder's lease has lapsed.

    ``None`` where another holds it, is just taking it, or nothing is left to
    do. The status stays as it was: whoever only looks leaves no trace.
    """
    free = (
        select(RunRow.run_id, RunRow.leased_until)
        .where(
            RunRow.run_id == run_id,
            RunRow.status.in_(UNFINISHED),
            or_(RunRow.leased_until.is_(None), RunRow.leased_until < now),
        )
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    row = connection.execute(
        update(RunRow)
        .where(RunRow.run_id == free.c.run_id)
        .values(attempt=RunRow.attempt + 1, leased_by=worker, leased_until=now + lease)
        .returning(
            *(RunRow.__table__.c[name] for name in _CLAIMED_COLUMNS),
            free.c.leased_until.label("lapsed_at"),
        )
    ).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    return Claimed(**values | {"status": RunStatus(values["status"])})


_CLAIMED_COLUMNS: Final = tuple(
    name for name in Claimed.__dataclass_fields__ if name != "lapsed_at"
)


def hold(connection: Connection, run_id: uuid.UUID, *, worker: str, attempt: int) -> Held | None:
    """Lock the row of a run that the caller still holds; ``None`` where it no longer does.

    The first statement of every transaction that writes for a claim: from
    here to the commit nobody else claims the run, decides its gates or
    cancels it.
    """
    row = connection.execute(
        select(RunRow.cancel_requested_at, RunRow.cancelled_by)
        .where(RunRow.run_id == run_id, RunRow.leased_by == worker, RunRow.attempt == attempt)
        .with_for_update()
    ).one_or_none()
    return None if row is None else Held(*row)


def release(connection: Connection, run_id: uuid.UUID, *, worker: str) -> None:
    """Give up a claim that this worker still has, without another change."""
    connection.execute(
        update(RunRow)
        .where(RunRow.run_id == run_id, RunRow.leased_by == worker)
        .values(leased_by=None, leased_until=None)
    )


def renew(
    connection: Connection,
    held: Sequence[tuple[uuid.UUID, int]],
    *,
    worker: str,
    now: dt.datetime,
    lease: dt.timedelta,
) -> set[tuple[uuid.UUID, int]]:
    """Prolong leases, given as (run_id, attempt); those that are still held."""
    if not held:
        return set()
    rows = connection.execute(
        update(RunRow)
        .where(RunRow.leased_by == worker, tuple_(RunRow.run_id, RunRow.attempt).in_(held))
        .values(leased_until=now + lease)
        .returning(RunRow.run_id, RunRow.attempt)
    )
    return {(row.run_id, row.attempt) for row in rows}


def news(
    connection: Connection, held: Sequence[tuple[uuid.UUID, int]], *, worker: str
) -> dict[tuple[uuid.UUID, int], tuple[bool, int]]:
    """For claims still held: whether a cancel was asked for, and how many gates were decided."""
    if not held:
        return {}
    decided = (
        select(func.count())
        .where(GateRow.run_id == RunRow.run_id, GateRow.decision.is_not(None))
        .correlate(RunRow)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            RunRow.run_id, RunRow.attempt, RunRow.cancel_requested_at.is_not(None), decided
        ).where(RunRow.leased_by == worker, tuple_(RunRow.run_id, RunRow.attempt).in_(held))
    )
    return {(run_id, attempt): (cancel, gates) for run_id, attempt, cancel, gates in rows}


def save_run(connection: Connection, run_id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """Write columns of a run that the caller holds (see :func:`hold`)."""
    connection.execute(update(RunRow).where(RunRow.run_id == run_id).values(**values))


SAVED_STEP_COLUMNS: Final = (
    "status",
    "wait_reason",
    "attempt",
    "interruptions",
    "available_at",
    "started_at",
    "completed_at",
    "logs_artifact_id",
    "inputs",
    "outputs",
    "error",
)


def save_steps(connection: Connection, steps: Sequence[Mapping[str, Any]]) -> None:
    """Write the state of steps: each a mapping of ``step_id`` and :data:`SAVED_STEP_COLUMNS`."""
    if steps:
        connection.execute(
            _SAVE_STEP, [{f"new_{name}": value for name, value in step.items()} for step in steps]
        )


_SAVE_STEP: Final = (
    update(StepRow.__table__)  # type: ignore[arg-type] # a mapped class has a Table
    .where(StepRow.__table__.c.step_id == bindparam("new_step_id"))
    .values(
        {
            name: bindparam(f"new_{name}", type_=StepRow.__table__.c[name].type)
            for name in SAVED_STEP_COLUMNS
        }
    )
)


def insert_attempts(connection: Connection, attempts: Sequence[Mapping[str, Any]]) -> None:
    """Write intents, one a try; the effect comes after their commit."""
    if attempts:
        connection.execute(insert(AttemptRow), list(attempts))


def finish_attempts(connection: Connection, attempts: Sequence[Mapping[str, Any]]) -> None:
    """End tries: mappings of ``attempt_id, status, completed_at, outputs, error``."""
    if attempts:
        connection.execute(
            _FINISH_ATTEMPT,
            [{f"new_{name}": value for name, value in attempt.items()} for attempt in attempts],
        )


_FINISH_ATTEMPT: Final = (
    update(AttemptRow.__table__)  # type: ignore[arg-type] # a mapped class has a Table
    .where(
        AttemptRow.__table__.c.attempt_id == bindparam("new_attempt_id"),
        AttemptRow.__table__.c.status == "running",
    )
    .values(
        {
            name: bindparam(f"new_{name}", type_=AttemptRow.__table__.c[name].type)
            for name in ("status", "completed_at", "outputs", "error")
        }
    )
)


def interrupt_attempts(connection: Connection, run_id: uuid.UUID, now: dt.datetime) -> None:
    """Mark the tries that a dead worker left under way."""
    steps = select(StepRow.step_id).where(StepRow.run_id == run_id)
    connection.execute(
        update(AttemptRow)
        .where(AttemptRow.step_id.in_(steps), AttemptRow.status == "running")
        .values(status="interrupted", completed_at=now)
    )


def save_log(connection: Connection, artifact: Artifact) -> bool:
    """Write the row of a run's log, or its newer content; whether it is new."""
    values = {
        ArtifactRow.__table__.c[name]: getattr(artifact, name)
        for name in Artifact.__dataclass_fields__
    }
    wanted = postgresql_insert(ArtifactRow).values(values)
    new: bool = connection.execute(
        wanted.on_conflict_do_update(
            index_elements=[ArtifactRow.artifact_id],
            set_={"sha256": artifact.sha256, "byte_length": artifact.byte_length},
        ).returning(literal_column("xmax = 0", Boolean))
    ).scalar_one()
    return new


def log_content(connection: Connection, artifact_id: uuid.UUID) -> str | None:
    """Give the sha256 of a run's log so far."""
    return connection.execute(
        select(ArtifactRow.sha256).where(ArtifactRow.artifact_id == artifact_id)
    ).scalar_one_or_none()


# ── reading for a worker ─────────────────────────────────────────────────────────────────────────


def load_plan(connection: Connection, digest: str) -> ExecutionPlan:
    """Read a compiled plan; raises ``NoResultFound`` for an unknown digest, which no run has."""
    row = connection.execute(select(PlanRow.plan).where(PlanRow.digest == digest)).one()
    return ExecutionPlan.model_validate(row.plan)


@dataclass(frozen=True, slots=True)
class StepRest:
    """What stands in a step's row beside its view: written back as it was."""

    wait_reason: str | None
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    logs_artifact_id: uuid.UUID | None
    inputs: Any


def load_steps(
    connection: Connection, run_id: uuid.UUID
) -> tuple[dict[str, StepView], dict[str, StepRest]]:
    """Read the steps of a run by key, in the plan's order; a decided gate with its decision."""
    rows = connection.execute(
        select(*(StepRow.__table__.c[name] for name in ("step_id", "key", *SAVED_STEP_COLUMNS)))
        .where(StepRow.run_id == run_id)
        .order_by(StepRow.position)
    ).all()
    tries: dict[uuid.UUID, list[Any]] = {}
    if any(row.attempt for row in rows):
        for row in _load_attempts(connection, run_id):
            tries.setdefault(row.step_id, []).append(row)
    views = {
        row.key: StepView(
            key=row.key,
            status=StepStatus(row.status),
            attempt=row.attempt,
            available_at=row.available_at,
            outputs=row.outputs,
            error=row.error,
            interruptions=row.interruptions,
            failures=sum(one.status == "failed" for one in tries.get(row.step_id, ())),
            items=_items(tries.get(row.step_id, ())),
        )
        for row in rows
    }
    if any(row.wait_reason == "gate" for row in rows):
        for key, changes in load_gates(connection, run_id).items():
            views[key] = views[key].model_copy(update=changes)
    rest = {
        row.key: StepRest(
            row.wait_reason, row.started_at, row.completed_at, row.logs_artifact_id, row.inputs
        )
        for row in rows
    }
    return views, rest


def _load_attempts(connection: Connection, run_id: uuid.UUID) -> Sequence[Any]:
    return connection.execute(
        select(
            AttemptRow.step_id,
            AttemptRow.item_index,
            AttemptRow.number,
            AttemptRow.status,
            AttemptRow.outputs,
            AttemptRow.error,
        )
        .join(StepRow, StepRow.step_id == AttemptRow.step_id)
        .where(StepRow.run_id == run_id)
        .order_by(AttemptRow.step_id, AttemptRow.item_index, AttemptRow.number)
    ).all()


def _items(tries: Sequence[Any]) -> tuple[ItemView, ...] | None:
    """Fold the tries of a ``foreach`` step into items; the last try of each tells its status."""
    items: dict[int, ItemView] = {}
    for one in tries:
        if one.item_index is None:
            continue
        before = items.get(one.item_index)
        again = (one.error or {}).get("retry_at")
        items[one.item_index] = ItemView(
            index=one.item_index,
            status=StepStatus.WAITING if again else StepStatus(one.status),
            attempt=one.number,
            failures=(before.failures if before else 0) + (one.status == "failed"),
            available_at=dt.datetime.fromisoformat(again) if again else None,
            outputs=one.outputs,
            error=one.error,
        )
    return tuple(items[index] for index in sorted(items)) or None


def load_gates(connection: Connection, run_id: uuid.UUID) -> dict[str, dict[str, Any]]:
    """By step key, for gates that were opened: the fields of a view that their rows hold."""
    gates = connection.execute(
        select(
            StepRow.key,
            StepRow.status,
            GateRow.step_id,
            GateRow.decision,
            GateRow.decided_because,
            GateRow.expires_at,
        )
        .join(StepRow, StepRow.step_id == GateRow.step_id)
        .where(GateRow.run_id == run_id, StepRow.status == StepStatus.WAITING)
    ).all()
    decided = [gate.step_id for gate in gates if gate.decision is not None]
    people: dict[uuid.UUID, list[Any]] = {}
    if decided:
        approvals = connection.execute(
            select(
                ApprovalRow.step_id,
                ApprovalRow.principal,
                ApprovalRow.decision,
                ApprovalRow.comment,
                ApprovalRow.form,
            )
            .where(ApprovalRow.step_id.in_(decided))
            .order_by(ApprovalRow.created_at, ApprovalRow.principal)
        )
        for approval in approvals:
            people.setdefault(approval.step_id, []).append(approval)
    return {
        gate.key: {
            "expires_at": gate.expires_at,
            "decision": gate.decision,
            "decided_because": gate.decided_because,
        }
        | (
            {}
            if gate.decision is None
            else {"outputs": _gate_outputs(gate.decision, people.get(gate.step_id, []))}
        )
        for gate in gates
    }


def _gate_outputs(decision: str, people: Sequence[Any]) -> dict[str, Any]:
    agreed = [one for one in people if one.decision == decision]
    last = agreed[-1] if agreed else None
    return {
        "decision": decision,
        "approvers": [one.principal for one in agreed] if decision == "approved" else [],
        "comment": last.comment if last else None,
        "form": last.form if last else None,
    }
