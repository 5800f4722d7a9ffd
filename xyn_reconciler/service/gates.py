"""Gates: who waits for people, and what people decide."""

import uuid
from dataclasses import dataclass
from typing import Literal

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.dto import GateDecisionRequest, GateDto, Page
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.run.gate import decide_gate as decide
from xyn_reconciler.run.gate import not_asked
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.service.identity import rules
from xyn_reconciler.service.policy import authorize
from xyn_reconciler.service.runs import find_step, known_run
from xyn_reconciler.store import audit, gates, grants, runs
from xyn_reconciler.store.database import Connection


def list_gates(
    context: Context, *, waiting_only: bool = True, limit: int = 50, cursor: str | None = None
) -> Page[GateDto]:
    with context.database.connect() as connection:
        return page(
            lambda most, before: gates.list_gates(
                connection, limit=most, before=before, waiting_only=waiting_only
            ),
            limit=limit,
            cursor=cursor,
            position=lambda found: (found.requested_at, found.step_id),
            item=lambda found: found,
        )


def get_gate(context: Context, run_id: uuid.UUID, step: str) -> GateDto:
    """One gate, by the step's id or key; ``NotFoundError`` before the run has come to it."""
    with context.database.connect() as connection:
        return _known(connection, run_id, step)


def decide_gate(
    context: Context,
    actor: Principal,
    run_id: uuid.UUID,
    step: str,
    decision: Literal["approved", "rejected"],
    request: GateDecisionRequest,
) -> GateDto:
    """Approve or reject what a gate lets through; the run goes on when enough have agreed.

    The gate names who may; a policy may ask for more. Whoever may not approve may
    still reject: stopping something needs no permission but the gate's.
    """
    with context.database.begin() as connection:
        found = _known(connection, run_id, step)
        if decision == "approved":
            authorize(
                context,
                connection,
                actor,
                "gate.approve",
                resource_type="gate",
                resource_id=str(found.step_id),
                run_id=str(run_id),
            )
        decide(
            connection,
            run_id=run_id,
            step_id=found.step_id,
            principal=actor,
            decision=decision,
            comment=None if request.comment is None else context.redactor.text(request.comment),
            form=context.redactor.value(request.form),
            effect_digest=request.effect_digest,
            now=context.clock(),
            emit=context.intake.emit,
        )
        entry = AuditEntry(
            kind=f"gate.{decision}",
            actor=actor.id,
            at=context.clock(),
            subject=str(run_id),
            entry={"step": found.key, "effect_digest": found.effect_digest},
        )
        audit.put(connection, [entry])
        return _known(connection, run_id, step)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a gate still waits for, and why somebody may not help it on."""

    unmet: tuple[str, ...]
    approved: str | None
    """Why this person may not approve; None where they may. ``rejected`` likewise."""
    rejected: str | None


def standing(context: Context, actor: Principal, gate: GateDto) -> Standing:
    """Say of an open gate what is missing, and what is in the way of ``actor`` deciding."""
    with context.database.read() as connection:
        run = known_run(connection, gate.run_id)
        granted = grants.open_grant(connection, actor, context.clock()) is not None
    barred = None if gate.allow_self else run.actor
    agreed = sum(each.decision == "approved" for each in gate.approvals)
    asked = rules(context).ask(
        actor,
        "gate.approve",
        context.clock(),
        resource_type="gate",
        resource_id=str(gate.step_id),
    )
    decided = any(each.principal == actor.id for each in gate.approvals)
    already = f"{actor.id} has decided here already" if decided else None
    by_policy = "; ".join(asked.unmet) if asked.unmet and not granted else None
    left = gate.min - agreed
    verb = "has" if left == 1 else "have"
    missing = f"{left} more of {', '.join(gate.from_any_of)} {verb} to approve"
    return Standing(
        unmet=(missing if barred is None else f"{missing}, and not {barred}, who caused the run",),
        approved=already
        or not_asked(gate.key, gate.from_any_of, barred, actor, "approved")
        or by_policy,
        rejected=already or not_asked(gate.key, gate.from_any_of, barred, actor, "rejected"),
    )


def _known(connection: Connection, run_id: uuid.UUID, step: str) -> GateDto:
    run = known_run(connection, run_id)
    found = find_step(runs.list_steps(connection, run_id), run_id, step)
    gate_found = gates.get_gate(connection, found.step_id)
    if gate_found is None:
        kind = "has not been reached yet" if found.kind == "gate" else "is not a gate"
        raise NotFoundError(f"step {found.key!r} of run {run_id} ({run.status}) {kind}")
    return gate_found
