"""What policies say of a change of the desired state, request by request.

Pure. A push to ``main``, a review's assessment and a promotion ask here, so that all
three meet the same answer; whoever acts on one puts :func:`told` into the audit.
The trap: the policies and principals are those in force *before* the change, or a
change could allow itself.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.policy import Risk
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.run import digest
from xyn_reconciler.policy.actions import actions_of
from xyn_reconciler.policy.evaluate import Decision, PolicyInForce, evaluate
from xyn_reconciler.policy.request import Evidence, Request
from xyn_reconciler.policy.requirements import unmet

Outcome = Literal["allowed", "refused", "needs_approval"]

_RESOURCE: Final = {
    "blueprint.promote": "blueprint",
    "node.change": "node",
    "pack.promote": "pack",
    "policy.change": "policy",
    "secret.change": "secret",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request with its answer."""

    request: Request
    decision: Decision
    unmet: tuple[str, ...]
    """What does not hold yet, in words; empty where it may be done."""

    @property
    def outcome(self) -> Outcome:
        if not self.unmet:
            return "allowed"
        return "refused" if self.decision.effect == "deny" else "needs_approval"

    def to_json(self) -> dict[str, Any]:
        """As reviews show it."""
        return {
            "action": self.request.action,
            "risk": self.request.risk,
            "outcome": self.outcome,
            "unmet": list(self.unmet),
            **self.decision.to_json(),
        }


def requests_of(  # noqa: PLR0913 - the fields of a request
    kinds: Iterable[str],
    *,
    actor: Principal,
    stage: Stage,
    env_id: str,
    risk: Risk,
    now: dt.datetime,
    resource_id: str | None = None,
    artifacts: frozenset[Evidence] = frozenset(),
    authors: frozenset[str] = frozenset(),
) -> list[Request]:
    """Give what has to be asked before documents of these kinds change, one for each action."""
    return [
        Request(
            actor=actor,
            action=action,
            stage=stage,
            env_id=env_id,
            now=now,
            resource_type=_RESOURCE[action],
            resource_id=resource_id,
            risk=risk,
            artifacts=artifacts,
            authors=authors,
        )
        for action in actions_of(kinds)
    ]


def ask(
    requests: Iterable[Request],
    policies: Sequence[PolicyInForce],
    approvers: Collection[Principal] = (),
) -> list[Asked]:
    """Have each decided; ``approvers`` have said yes to exactly this change."""
    return [_asked(request, policies, approvers) for request in requests]


def _asked(
    request: Request, policies: Sequence[PolicyInForce], approvers: Collection[Principal]
) -> Asked:
    decision = evaluate(request, policies)
    if decision.decided_by == "default" and not policies and request.stage != "prod":
        # Somebody has to be able to bring the first policy.
        decision = replace(decision, effect="allow", sentence="no policy is active here yet")
    if decision.effect == "deny":
        return Asked(request, decision, (decision.sentence,))
    missing = unmet(decision.requirements, request, approvers)
    return Asked(request, decision, tuple(map(str, missing)))


def told(
    asked: Asked, at: dt.datetime, *, grant_id: uuid.UUID | None = None, **about: str
) -> AuditEntry:
    """Give the audit's entry of a decision; ``about`` is a ``ref`` or a ``draft_id``.

    With ``grant_id`` it was allowed by an open break-glass grant whatever was decided.
    """
    request, decision = asked.request, asked.decision
    entry = {
        "action": request.action,
        "stage": request.stage,
        "resource_type": request.resource_type,
        "resource_id": request.resource_id,
        "risk": request.risk,
        **decision.to_json(),
        "unmet": list(asked.unmet),
        "inputs_digest": digest(request.to_json()),
        **about,
        "outcome": "allowed" if grant_id is not None else asked.outcome,
    }
    if grant_id is not None:
        entry["grant_id"] = str(grant_id)
    return AuditEntry(
        kind="policy.decided", actor=request.actor.id, at=at, subject=request.action, entry=entry
    )


def refused(actor: Principal, action: str, why: str, at: dt.datetime, **about: str) -> AuditEntry:
    """Give the audit's entry of what no policy is asked about, since none could allow it."""
    entry = {"action": action, "decided_by": "kernel", "unmet": [why], **about}
    return AuditEntry(
        kind="policy.decided",
        actor=actor.id,
        at=at,
        subject=action,
        entry={**entry, "outcome": "refused"},
    )
