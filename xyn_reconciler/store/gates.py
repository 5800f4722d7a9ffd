"""Gates and what people said at them.

The caller holds the run's row (``store.claims.hold``, or
:func:`lock_gate` here) while it writes: a decision and a worker that just
gives the run back never miss each other.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from xyn_reconciler.model.dto import ApprovalDto, GateDto
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.tables import ApprovalRow, GateRow, RunRow, StepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGate:
    """A gate as a decision finds it, its run's row locked."""

    run_id: uuid.UUID
    step_id: uuid.UUID
    key: str
    blueprint_id: str
    plan_digest: str
    run_status: str
    step_status: str
    run_actor: str
    priority: int
    correlation_id: str
    hops: int
    effect_digest: str
    approvals: dict[str, Any]
    form: dict[str, Any] | None
    decision: str | None
    cancel_requested_at: dt.datetime | None


def lock_gate(connection: Connection, run_id: uuid.UUID, step_id: uuid.UUID) -> OpenGate | None:
    """Lock the run's row, then read its gate; ``None`` where that step asked nobody."""
    run = connection.execute(
        select(RunRow.run_id).where(RunRow.run_id == run_id).with_for_update()
    ).one_or_none()
    if run is None:
        return None
    row = connection.execute(
        select(
            *(RunRow.__table__.c[name] for name in _OF_RUN),
            *(GateRow.__table__.c[name] for name in _OF_GATE),
            RunRow.status.label("run_status"),
            RunRow.actor.label("run_actor"),
            StepRow.status.label("step_status"),
            StepRow.key,
        )
        .join(GateRow, GateRow.run_id == RunRow.run_id)
        .join(StepRow, StepRow.step_id == GateRow.step_id)
        .where(RunRow.run_id == run_id, GateRow.step_id == step_id)
    ).one_or_none()
    return None if row is None else OpenGate(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


_OF_RUN: Final = (
    "run_id",
    "blueprint_id",
    "plan_digest",
    "priority",
    "correlation_id",
    "hops",
    "cancel_requested_at",
)
_OF_GATE: Final = ("step_id", "effect_digest", "approvals", "form", "decision")


def insert_approval(  # noqa: PLR0913 - a row's columns, by name
    connection: Connection,
    *,
    approval_id: uuid.UUID,
    step_id: uuid.UUID,
    principal: str,
    decision: str,
    comment: str | None,
    form: dict[str, Any] | None,
    effect_digest: str,
    created_at: dt.datetime,
) -> None:
    """Write what a principal said; it takes the place of what they had said to another effect."""
    said = {
        "decision": decision,
        "comment": comment,
        "form": form,
        "effect_digest": effect_digest,
        "created_at": created_at,
    }
    connection.execute(
        insert(ApprovalRow)
        .values(approval_id=approval_id, step_id=step_id, principal=principal, **said)
        .on_conflict_do_update(index_elements=["step_id", "principal"], set_=said)
    )


def approvers(connection: Connection, step_id: uuid.UUID) -> list[str]:
    """Who has said yes to what the gate lets through now, in that order."""
    return list(
        connection.scalars(
            select(ApprovalRow.principal)
            .join(GateRow, GateRow.step_id == ApprovalRow.step_id)
            .where(
                ApprovalRow.step_id == step_id,
                ApprovalRow.decision == "approved",
                ApprovalRow.effect_digest == GateRow.effect_digest,
            )
            .order_by(ApprovalRow.created_at, ApprovalRow.principal)
        )
    )


def has_decided(connection: Connection, step_id: uuid.UUID, principal: str) -> bool:
    """Whether this principal has said yes or no to what the gate lets through now."""
    return (
        connection.execute(
            select(ApprovalRow.approval_id)
            .join(GateRow, GateRow.step_id == ApprovalRow.step_id)
            .where(
                ApprovalRow.step_id == step_id,
                ApprovalRow.principal == principal,
                ApprovalRow.effect_digest == GateRow.effect_digest,
            )
        ).one_or_none()
        is not None
    )


def set_decision(
    connection: Connection,
    step_id: uuid.UUID,
    *,
    decision: str,
    because: str,
    now: dt.datetime,
) -> None:
    """Close a gate, and let its run be looked at now."""
    gate = connection.execute(
        update(GateRow)
        .where(GateRow.step_id == step_id, GateRow.decision.is_(None))
        .values(decision=decision, decided_at=now, decided_because=because)
        .returning(GateRow.run_id)
    ).scalar_one()
    connection.execute(update(RunRow).where(RunRow.run_id == gate).values(available_at=now))


def get_gate(connection: Connection, step_id: uuid.UUID) -> GateDto | None:
    found = _gates(connection, select(*_GATE_COLUMNS).where(GateRow.step_id == step_id))
    return found[0] if found else None


def list_gates(
    connection: Connection,
    *,
    limit: int,
    before: tuple[dt.datetime, uuid.UUID] | None = None,
    waiting_only: bool = True,
    run_id: uuid.UUID | None = None,
) -> list[GateDto]:
    """Newest first by (requested_at, step_id); ``waiting_only`` leaves out whatever is over."""
    wanted = (
        select(*_GATE_COLUMNS)
        .order_by(GateRow.requested_at.desc(), GateRow.step_id.desc())
        .limit(limit)
    )
    if waiting_only:
        wanted = wanted.where(GateRow.decision.is_(None), StepRow.status == "waiting")
    if before is not None:
        wanted = wanted.where(tuple_(GateRow.requested_at, GateRow.step_id) < before)
    if run_id is not None:
        wanted = wanted.where(GateRow.run_id == run_id)
    return _gates(connection, wanted)


def count_waiting(connection: Connection) -> int:
    """How many gates wait for people now."""
    return connection.execute(
        select(func.count())
        .select_from(GateRow)
        .join(StepRow, StepRow.step_id == GateRow.step_id)
        .where(GateRow.decision.is_(None), StepRow.status == "waiting")
    ).scalar_one()


_GATE_COLUMNS: Final = (
    *GateRow.__table__.columns,
    StepRow.key,
    RunRow.blueprint_id,
)


def _gates(connection: Connection, wanted: Any) -> list[GateDto]:  # noqa: ANN401 - a select of _GATE_COLUMNS
    rows = connection.execute(
        wanted.join(StepRow, StepRow.step_id == GateRow.step_id).join(
            RunRow, RunRow.run_id == GateRow.run_id
        )
    ).all()
    people = _approvals(connection, [row.step_id for row in rows])
    return [
        GateDto(
            run_id=row.run_id,
            step_id=row.step_id,
            key=row.key,
            blueprint_id=row.blueprint_id,
            requested_at=row.requested_at,
            expires_at=row.expires_at,
            effect_digest=row.effect_digest,
            effect=row.effect,
            min=row.approvals["min"],
            from_any_of=row.approvals["from_any_of"],
            allow_self=row.approvals["allow_self"],
            form=row.form,
            decision=row.decision,
            decided_at=row.decided_at,
            decided_because=row.decided_because,
            approvals=people.get(row.step_id, []),
        )
        for row in rows
    ]


def _approvals(
    connection: Connection, steps: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[ApprovalDto]]:
    people: dict[uuid.UUID, list[ApprovalDto]] = {}
    if steps:
        rows = connection.execute(
            select(
                ApprovalRow.step_id,
                ApprovalRow.principal,
                ApprovalRow.decision,
                ApprovalRow.comment,
                ApprovalRow.effect_digest,
                ApprovalRow.created_at,
            )
            .where(ApprovalRow.step_id.in_(steps))
            .order_by(ApprovalRow.created_at, ApprovalRow.principal)
        )
        for row in rows:
            values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
            people.setdefault(values.pop("step_id"), []).append(ApprovalDto(**values))
    return people
