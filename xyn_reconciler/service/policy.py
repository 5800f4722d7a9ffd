"""Policy in force: may somebody do this, here and now? And the glass that its owner may break.

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
from xyn_reconciler.model.dto import Timestamp
from xyn_reconciler.model.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NeedsApprovalError,
    NotFoundError,
    PermanentError,
)
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.policy import Risk
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.policy.change import Asked, ask, told
from xyn_reconciler.policy.evaluate import Verdict
from xyn_reconciler.policy.kernel import may_approve
from xyn_reconciler.policy.request import Evidence, Request
from xyn_reconciler.policy.rules import ANONYMOUS, Rules
from xyn_reconciler.service.context import Context, Ruled
from xyn_reconciler.service.identity import ROLE_OF_A_GRANT, refuse_all_but_the_owner, rules
from xyn_reconciler.store import audit, grants
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.grants import Grant
from xyn_reconciler.trigger.permission import Permission, ask_to_start

BREAK_GLASS_LASTS: Final = dt.timedelta(minutes=15)

REASON_MAX: Final = 1000


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
    now = context.clock()
    permission = ask_to_start(context.intake.view(connection).rules, actor, blueprint_id, now)
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


def use_secret(context: Ruled) -> Callable[[str, uuid.UUID, str], None]:
    """Give what a worker calls before it resolves a secret: (who caused the run, run, secret).

    On stage prod alone; raises ``PermanentError`` with code ``denied``.
    """

    def use(actor: str, run_id: uuid.UUID, reference: str) -> None:
        ruling = rules(context)
        if ruling.stage != "prod":
            return
        try:
            with context.database.begin() as connection:
                authorize(
                    context,
                    connection,
                    ruling.principal(actor),
                    "secret.use",
                    resource_type="secret",
                    resource_id=reference,
                    run_id=str(run_id),
                )
        except (DeniedError, NeedsApprovalError) as error:
            raise PermanentError("denied", error.message) from error

    return use


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


# ── break-glass ──────────────────────────────────────────────────────────────────────────────────


class GrantDto(BaseModel):
    """A role that the owner took without being asked."""

    model_config = ConfigDict(extra="forbid")

    grant_id: uuid.UUID
    principal: str
    role: str
    reason: str
    created_at: Timestamp
    expires_at: Timestamp
    signed_off_by: str | None = None
    signed_off_at: Timestamp | None = None


def break_glass(context: Context, actor: Principal, reason: str) -> GrantDto:
    """Give the owner the role Operator for :data:`BREAK_GLASS_LASTS`, and everybody the news."""
    refuse_all_but_the_owner(actor, "breaks the glass")
    said = context.redactor.text(reason.strip())
    if not said or len(said) > REASON_MAX:
        raise InvalidError(f"say why, in at most {REASON_MAX} characters: --reason TEXT")
    now = context.clock()
    grant = Grant(
        grant_id=new_id(),
        principal=actor.id,
        role=ROLE_OF_A_GRANT,
        reason=said,
        created_at=now,
        expires_at=now + BREAK_GLASS_LASTS,
    )
    entry = {
        "principal": grant.principal,
        "role": grant.role,
        "reason": grant.reason,
        "expires_at": isoformat(grant.expires_at),
    }
    with context.database.begin() as connection:
        grants.insert_grant(connection, grant)
        audit.put(connection, [_told(grants.OPENED, actor, now, grant.grant_id, entry)])
    return _dto(grant)


def unsigned_grants(context: Context) -> list[GrantDto]:
    """Those that every page shows until a second person has signed them off."""
    with context.database.read() as connection:
        return [_dto(grant) for grant in grants.unsigned(connection)]


def sign_off(context: Context, actor: Principal, grant_id: uuid.UUID) -> GrantDto:
    """Say as a second person that one knows of it; no service or agent can.

    ``ConflictError`` where somebody has already.
    """
    with context.database.begin() as connection:
        grant = grants.get_grant(connection, grant_id, lock=True)
        if grant is None:
            raise NotFoundError(f"no break-glass {grant_id}")
        if not may_approve(actor) or actor.id == ANONYMOUS.id:
            raise DeniedError(f"a person signs off, and {actor.id} is of kind {actor.kind}")
        if actor.id == grant.principal:
            raise DeniedError(f"a second person signs off, not {actor.id}, who broke the glass")
        if grant.signed_off_by is not None:
            raise ConflictError(f"{grant.signed_off_by} has signed it off already")
        now = context.clock()
        grants.sign_off(connection, grant_id, by=actor.id, now=now)
        audit.put(connection, [_told(grants.SIGNED_OFF, actor, now, grant_id, {})])
        signed = grants.get_grant(connection, grant_id) or grant
    return _dto(signed)


def _told(
    kind: str, actor: Principal, at: dt.datetime, grant_id: uuid.UUID, entry: dict[str, Any]
) -> AuditEntry:
    return AuditEntry(kind=kind, actor=actor.id, at=at, subject=str(grant_id), entry=entry)


def _dto(grant: Grant) -> GrantDto:
    return GrantDto(**{name: getattr(grant, name) for name in Grant.__slots__})
