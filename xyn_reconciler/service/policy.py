"""Policy in force: whether somebody may do this, here and now.

Every door asks :func:`authorize` in the transaction of what it is about to do.
The trap: what is refused is told in a transaction of its own, for the caller's
is rolled back.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Collection
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.errors import (
    DeniedError,
    NeedsApprovalError,
    NotFoundError,
    PermanentError,
)
from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.policy import Risk
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.model.secret import SecretUse
from xyn_reconciler.policy import secret_use
from xyn_reconciler.policy.change import Asked, ask, refused, told
from xyn_reconciler.policy.evaluate import Verdict
from xyn_reconciler.policy.request import Evidence, Request
from xyn_reconciler.policy.rules import Rules
from xyn_reconciler.service.context import Context, Ruled
from xyn_reconciler.service.identity import rules
from xyn_reconciler.store import audit, grants
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.together import AuditTogether
from xyn_reconciler.trigger.permission import TRY, Permission, ask_to_execute, ask_to_start

OPERATOR_ROLE: Final = "Operator"


# ── may it be done? ──────────────────────────────────────────────────────────────────────────────


def authorize(  # noqa: PLR0913 - the fields of a request
    context: Ruled,
    connection: Connection,
    actor: Principal,
    action: str,
    *,
    resource_type: str | None = None,
    resource_id: str | None = None,
    risk: Risk | None = None,
    artifacts: frozenset[Evidence] = frozenset(),
    authors: frozenset[str] = frozenset(),
    approvers: Collection[Principal] = (),
    **about: str,
) -> Asked:
    """Give what was decided, if it may be done; else raise, with every unmet condition.

    ``DeniedError`` where nobody's approval would help, ``NeedsApprovalError``
    where something is missing yet. ``approvers`` have said yes to exactly this;
    ``about`` goes into the audit: ``run_id``, ``draft_id``.
    """
    now = context.clock()
    ruling = context.intake.view(connection).rules
    request = Request(
        actor=actor,
        action=action,
        stage=ruling.stage,
        env_id=ruling.env_id,
        now=now,
        resource_type=resource_type,
        resource_id=resource_id,
        risk=risk,
        artifacts=artifacts,
        authors=authors,
    )
    asked = ask([request], ruling.policies, approvers)[0]
    grant_id = _grant(connection, asked, now)
    if asked.outcome == "allowed" or grant_id is not None:
        if _is_privileged(asked):
            audit.put(connection, [told(asked, now, grant_id=grant_id, **about)])
        return asked
    with context.database.begin() as own:
        audit.put(own, [told(asked, now, grant_id=None, **about)])
    raise _refusal(asked)


def permission_to_start(
    context: Context, connection: Connection, actor: Principal, blueprint_id: str
) -> Permission:
    """Give what a start by hand is allowed, if need be behind a gate; else ``DeniedError``."""
    if blueprint_id == TRY:
        return permission_to_execute(context, connection, actor, "an action")
    ruling = context.intake.view(connection).rules
    now = context.clock()
    return _permission(context, connection, ask_to_start(ruling, actor, blueprint_id, now), now)


def refuse_going_on(
    context: Context, connection: Connection, actor: Principal, blueprint_id: str, *, agreed: bool
) -> None:
    """Raise for who may not have a run go on that stopped; it may where it might start anew.

    ``agreed``: people let this run start. Where that is asked and they did not, there is no
    gate any more at which they could.
    """
    permission = permission_to_start(context, connection, actor, blueprint_id)
    if permission.asked.outcome == "needs_approval" and permission.grant_id is None and not agreed:
        with context.database.begin() as own:
            audit.put(own, permission.entries(context.clock(), by_a_person=True))
        raise _refusal(permission.asked)


def permission_to_execute(
    context: Context, connection: Connection, actor: Principal, action: str
) -> Permission:
    """As :func:`permission_to_start`, for one action by itself: for Operators alone."""
    if OPERATOR_ROLE not in actor.roles or actor.kind == "agent":
        # What an agent wants done goes through steps, policies and gates.
        why = f"Operators run {action} by itself: {actor.id} is none"
        raise denied(context, actor, "action.execute", why)
    ruling = context.intake.view(connection).rules
    now = context.clock()
    return _permission(context, connection, ask_to_execute(ruling, actor, action, now), now)


def denied(context: Ruled, actor: Principal, action: str, why: str) -> DeniedError:
    """Tell the audit what no policy could allow; give what to raise."""
    with context.database.begin() as own:
        audit.put(own, [refused(actor, action, why, context.clock())])
    return DeniedError(why)


def _permission(
    context: Context, connection: Connection, permission: Permission, now: dt.datetime
) -> Permission:
    grant_id = _grant(connection, permission.asked, now)
    permission = Permission(permission.asked, grant_id)
    if permission.refusal is not None:
        with context.database.begin() as own:
            audit.put(own, permission.entries(now, by_a_person=True))
        raise DeniedError(permission.refusal)
    return permission


def refuse_reading(
    context: Context, actor: Principal, action: Literal["state.read", "records.read"]
) -> None:
    """Raise where the rules keep somebody from reading; no GET changes anything, the audit too."""
    asked = rules(context).ask(actor, action, context.clock())
    if asked.outcome != "allowed":
        with context.database.read() as connection:
            if _grant(connection, asked, context.clock()) is None:
                raise _refusal(asked)


def may_read(
    context: Context, actor: Principal, action: Literal["state.read", "records.read"]
) -> bool:
    """Whether :func:`refuse_reading` lets somebody read."""
    try:
        refuse_reading(context, actor, action)
    except (DeniedError, NeedsApprovalError):
        return False
    return True


def use_secret(context: Ruled) -> Callable[[SecretUse], None]:
    """Give what a worker calls before a step has a secret for the first time in an attempt.

    Each use is in the audit, committed, before it returns; uses at one moment share a
    transaction. Who starts a run by hand has to be one whose the secret is; of a run that
    an event started, those were asked who promoted the blueprint
    (``policy.secret_use``). Raises ``PermanentError`` with code ``denied``.
    """
    together = AuditTogether(context.database)

    def use(this: SecretUse) -> None:
        now, ruling = context.clock(), rules(context)
        actor = ruling.principal(this.actor)
        known = actor.kind == "person" or this.actor in ruling.principals
        request = Request(
            actor=actor,
            action=secret_use.ACTION,
            stage=ruling.stage,
            env_id=ruling.env_id,
            now=now,
            resource_type="secret",
            resource_id=this.reference,
        )
        asked = secret_use.ask_use(request, ruling.policies, scoped=this.by_hand and known)
        grant_id = None
        if asked.outcome != "allowed":
            with context.database.read() as connection:
                grant_id = _grant(connection, asked, now)
        allowed = asked.outcome == "allowed" or grant_id is not None
        entries = [_used(this, now, granted=allowed)]
        if not allowed or ruling.stage == "prod":
            entries.append(told(asked, now, grant_id=grant_id, run_id=str(this.run_id)))
        together.put(entries)
        if not allowed:
            raise PermanentError("denied", _refusal(asked).message)

    return use


def _used(this: SecretUse, now: dt.datetime, *, granted: bool) -> AuditEntry:
    entry = {
        "run_id": str(this.run_id),
        "step": this.step,
        "action": this.action,
        "attempt": this.attempt,
        "outcome": "granted" if granted else "refused",
    }
    return AuditEntry(
        kind="secret.used", actor=this.actor, at=now, subject=this.reference, entry=entry
    )


def _grant(connection: Connection, asked: Asked, now: dt.datetime) -> uuid.UUID | None:
    """The open break-glass grant that allows what was not; the kernel is behind no glass."""
    if asked.outcome == "allowed" or asked.decision.decided_by == "kernel":
        return None
    return grants.open_grant(connection, asked.request.actor, now)


def _is_privileged(asked: Asked) -> bool:
    """Whether an allowed thing is worth an entry: on prod, and wherever a rule speaks of it."""
    return asked.request.stage == "prod" or asked.decision.decided_by == "policy"


def _refusal(asked: Asked) -> DeniedError | NeedsApprovalError:
    details = {"policy": asked.to_json()}
    if asked.outcome == "refused":
        return DeniedError(asked.decision.sentence, details=details)
    return NeedsApprovalError(
        f"{asked.decision.sentence}; still missing: {'; '.join(asked.unmet)}", details=details
    )


# ── what would be decided? ───────────────────────────────────────────────────────────────────────


class PolicyQuestion(BaseModel):
    """Who wants to do what, where; what is left out is as on this node."""

    model_config = ConfigDict(extra="forbid")

    actor: str = Field(min_length=1, max_length=200)
    """An id of ``principals.yaml``, ``operator``, or ``source:<id>``."""
    action: str = Field(min_length=1, max_length=200)
    stage: Stage | None = None
    resource_type: str | None = Field(default=None, max_length=200)
    risk: Risk | None = None


class ConsideredDto(BaseModel):
    """A rule that was looked at."""

    model_config = ConfigDict(extra="forbid")

    rule_id: str
    effect: str
    fits: bool
    why: str
    """Of one that does not fit, the first thing that differs."""


class VerdictDto(BaseModel):
    """What one policy says."""

    model_config = ConfigDict(extra="forbid")

    policy_id: str
    name: str
    version: str
    effect: str | None
    """None where no rule of it fits."""
    rule_id: str | None
    rules: list[ConsideredDto]


class PolicyAnswer(BaseModel):
    """A decision, the rule that decided, and why the others did not."""

    model_config = ConfigDict(extra="forbid")

    actor: str
    action: str
    stage: Stage
    outcome: Literal["allowed", "refused", "needs_approval"]
    effect: Literal["allow", "deny", "require_approval"]
    decided_by: Literal["kernel", "policy", "default"]
    sentence: str
    unmet: list[str]
    policy_id: str | None
    version: str | None
    rule_id: str | None
    requirements: dict[str, Any]
    policies: list[VerdictDto]


def evaluate(context: Context, question: PolicyQuestion) -> PolicyAnswer:
    """Say what would be decided; nothing is done and nothing is noted.

    ``NotFoundError`` for an actor whom nobody knows.
    """
    with context.database.read() as connection:
        ruling = context.intake.view(connection).rules
    request = Request(
        actor=_known(ruling, question.actor),
        action=question.action,
        stage=question.stage or ruling.stage,
        env_id=ruling.env_id,
        now=context.clock(),
        resource_type=question.resource_type,
        risk=question.risk,
    )
    asked = ask([request], ruling.policies)[0]
    decision = asked.decision
    return PolicyAnswer(
        actor=question.actor,
        action=question.action,
        stage=request.stage,
        outcome=asked.outcome,
        effect=decision.effect,
        decided_by=decision.decided_by,
        sentence=decision.sentence,
        unmet=list(asked.unmet),
        policy_id=decision.policy_id,
        version=decision.version,
        rule_id=decision.rule_id,
        requirements=decision.requirements.to_json(),
        policies=[_verdict(verdict) for verdict in decision.verdicts],
    )


def _known(ruling: Rules, actor: str) -> Principal:
    known = actor in ruling.principals or actor == OPERATOR.id or actor.startswith("source:")
    if not known:
        everybody = ", ".join(sorted(ruling.principals)) or "nobody"
        raise NotFoundError(f"no principal {actor!r} is active here; there is {everybody}")
    return ruling.principal(actor)


def _verdict(verdict: Verdict) -> VerdictDto:
    return VerdictDto(
        policy_id=verdict.policy_id,
        name=verdict.name,
        version=verdict.version,
        effect=verdict.effect,
        rule_id=verdict.rule_id,
        rules=[
            ConsideredDto(
                rule_id=rule.rule_id,
                effect=rule.effect,
                fits=rule.misfit is None,
                why="it fits" if rule.misfit is None else str(rule.misfit),
            )
            for rule in verdict.rules
        ],
    )
