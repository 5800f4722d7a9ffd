"""People decide: an approval names a run, a step and the digest of what it lets through.

The decision is a row and a wake-up in the caller's transaction. The step and
the run are changed by the worker that then takes the run up, as by every other
worker: nobody else writes a status.
"""

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any, Final, Literal

from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.errors import (
    ConflictError,
    InvalidError,
    NeedsApprovalError,
    NotFoundError,
)
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import (
    EventData,
    GateApproved,
    GateRejected,
    internal_event,
)
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.run import GateApprovals
from xyn_reconciler.run.compile import mismatch
from xyn_reconciler.store import dispatch, gates, outbox, stories
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.gates import OpenGate

Decision = Literal["approved", "rejected"]

SHORT: Final = 12
"""Digits of a digest that a message shows."""


class AlreadyDecidedError(ConflictError):
    """The gate is closed, or this principal has had a say at it."""

    code = "already_decided"


class StaleApprovalError(ConflictError):
    """What the gate lets through is not what was looked at."""

    code = "stale_approval"


class NotAnApproverError(NeedsApprovalError):
    """This gate asks somebody else."""

    code = "not_an_approver"


class InvalidFormError(InvalidError):
    """What was filled in does not fit the gate's form."""

    code = "invalid_form"


def decide_gate(  # noqa: PLR0913 - who decides what, where, when
    connection: Connection,
    *,
    run_id: uuid.UUID,
    step_id: uuid.UUID,
    principal: Principal,
    decision: Decision,
    now: dt.datetime,
    emit: EmitEvents,
    comment: str | None = None,
    form: dict[str, Any] | None = None,
    effect_digest: str | None = None,
) -> bool:
    """Note one principal's yes or no; whether it decided the gate.

    One no rejects; ``approvals.min`` different principals approve. Raises
    ``NotFoundError``, :class:`AlreadyDecidedError`, :class:`StaleApprovalError`
    (``effect_digest`` was given and is not the gate's),
    :class:`NotAnApproverError`, and ``InvalidError`` with code ``invalid_form``
    where the form does not fit; the caller then rolls back.
    """
    gate = gates.lock_gate(connection, run_id, step_id)
    if gate is None:
        raise NotFoundError(f"no gate waits at step {step_id} of run {run_id}")
    _refuse_what_is_over(gate)
    if effect_digest is not None and effect_digest != gate.effect_digest:
        raise StaleApprovalError(
            f"gate {gate.key} lets through {gate.effect_digest[:SHORT]} now,"
            f" and not {effect_digest[:SHORT]}: look at it again",
            details={"effect_digest": gate.effect_digest},
        )
    approvals = GateApprovals.model_validate(gate.approvals)
    _refuse_the_wrong_person(gate, approvals, principal, decision)
    filled = _filled_in(gate, form) if decision == "approved" else form
    if gates.has_decided(connection, step_id, principal.id):
        raise AlreadyDecidedError(f"{principal.id} has already decided at gate {gate.key}")
    gates.insert_approval(
        connection,
        approval_id=uuid.uuid4(),
        step_id=step_id,
        principal=principal.id,
        decision=decision,
        comment=comment,
        form=filled,
        effect_digest=gate.effect_digest,
        created_at=now,
    )
    # What a person has said must not be asked again, should the database be lost (promise P4).
    outbox.put(connection, "run", [run_id], now)
    agreed = gates.approvers(connection, step_id)
    if decision == "approved" and len(agreed) < approvals.min:
        return False
    _close(connection, gate, decision, agreed, principal, now, emit)
    return True


def _close(
    connection: Connection,
    gate: OpenGate,
    decision: Decision,
    agreed: list[str],
    principal: Principal,
    now: dt.datetime,
    emit: EmitEvents,
) -> None:
    gates.set_decision(connection, gate.step_id, decision=decision, because="people", now=now)
    common: dict[str, Any] = {
        "key": gate.key,
        "blueprint_id": gate.blueprint_id,
        "effect_digest": gate.effect_digest,
    }
    told: EventData = (
        GateApproved(**common, approvers=agreed)
        if decision == "approved"
        else GateRejected(**common, by=principal.id)
    )
    emit(connection, [_event(connection, gate, told, principal, now)])
    dispatch.enqueue(connection, gate.run_id, priority=gate.priority)


def _event(
    connection: Connection, gate: OpenGate, data: EventData, principal: Principal, now: dt.datetime
) -> Event:
    return internal_event(
        data,
        resource_id=str(gate.step_id),
        env_id=stories.load_plan(connection, gate.plan_digest).node.env_id,
        now=now,
        correlation_id=gate.correlation_id,
        actor=principal.id,
        run_id=gate.run_id,
        step_id=gate.step_id,
        hops=gate.hops,
    )


def _refuse_what_is_over(gate: OpenGate) -> None:
    if gate.decision is not None:
        raise AlreadyDecidedError(
            f"gate {gate.key} was {gate.decision} already", details={"decision": gate.decision}
        )
    if gate.step_status != "waiting" or gate.cancel_requested_at is not None:
        raise ConflictError(f"gate {gate.key} waits no more: its run is {gate.run_status}")


def _refuse_the_wrong_person(
    gate: OpenGate, approvals: GateApprovals, principal: Principal, decision: Decision
) -> None:
    why = not_asked(
        gate.key,
        approvals.from_any_of,
        None if approvals.allow_self else gate.run_actor,
        principal,
        decision,
    )
    if why is not None:
        raise NotAnApproverError(why, details={"from_any_of": list(approvals.from_any_of)})


def not_asked(
    key: str,
    from_any_of: Collection[str],
    barred: str | None,
    principal: Principal,
    decision: Decision,
) -> str | None:
    """Say why a gate does not ask somebody for this; None where it does.

    ``barred`` is who caused the run, where that one may not approve it. Pure.
    """
    if not principal.subjects().intersection(from_any_of):
        return f"gate {key} asks {', '.join(from_any_of)}, and {principal.id} is none of them"
    if decision == "rejected":
        return None  # whoever caused the run may always stop it
    if principal.kind != "person":
        return (
            f"gate {key} asks people, and {principal.id} is no person but of kind {principal.kind}"
        )
    if principal.id == barred:
        return f"gate {key} asks somebody other than {principal.id}, who caused this run"
    return None


def _filled_in(gate: OpenGate, form: dict[str, Any] | None) -> dict[str, Any] | None:
    """Give the form with its defaults; raises :class:`InvalidFormError` where it does not fit."""
    if gate.form is None:
        if form:
            raise InvalidFormError(f"gate {gate.key} asks for no form")
        return None
    defaults = {name: field["default"] for name, field in gate.form.items() if "default" in field}
    filled = defaults | (form or {})
    schema = {
        "type": "object",
        "properties": gate.form,
        "required": sorted(gate.form),
        "additionalProperties": False,
    }
    problem = mismatch(schema, filled)
    if problem is not None:
        raise InvalidFormError(f"the form of gate {gate.key} does not fit: {problem}")
    return filled
