"""May a run start? What the rules say of it, and what follows for its plan.

Pure. Whoever starts a run in anybody's name asks here: events, schedules, people
by :mod:`xyn_reconciler.service.runs`, and steps that run another blueprint. Where
people have to agree, the run is made with a gate in front (:data:`START_GATE`).
"""

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from typing import Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.run import GateApprovals, with_start_gate
from xyn_reconciler.policy.change import Asked, told
from xyn_reconciler.policy.requirements import unmet
from xyn_reconciler.policy.rules import Rules
from xyn_reconciler.store.runs import NewRun

ACTION: Final = "run.start"
EXECUTION: Final = "action.execute"
"""A single action, by hand, outside of any blueprint."""

TRY: Final = "xyn.try"
"""The blueprint of its run, which stands in no file."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What the rules say of one start."""

    asked: Asked
    grant_id: uuid.UUID | None = None
    """The break-glass grant that allows it all the same."""

    @property
    def refusal(self) -> str | None:
        """Why it may not start now, whoever agrees; None where it may, if need be at a gate."""
        decision = self.asked.decision
        if self.grant_id is not None:
            return None
        if decision.effect == "deny":
            return decision.sentence
        others = replace(decision.requirements, approvals=None)
        missing = unmet(others, self.asked.request)
        return f"{decision.sentence}: {'; '.join(map(str, missing))}" if missing else None

    def applied(self, run: NewRun) -> NewRun:
        """Give a run as it may start: behind a gate where people have to agree."""
        approvals = self.asked.decision.requirements.approvals
        if approvals is None or self.grant_id is not None:
            return run
        plan = with_start_gate(run.plan, GateApprovals.model_validate(approvals.model_dump()))
        return replace(run, plan=plan, plan_digest=plan.digest())

    def entries(self, now: dt.datetime, *, by_a_person: bool) -> list[AuditEntry]:
        """What the audit keeps of it.

        On prod everything. Elsewhere what a rule says of a person's start, and of
        any start that it does not simply let through: what nobody speaks of is
        no privileged decision.
        """
        decision = self.asked.decision
        simple = self.asked.outcome == "allowed"
        ruled = decision.decided_by == "policy" and by_a_person
        if simple and not ruled and self.asked.request.stage != "prod":
            return []
        return [told(self.asked, now, grant_id=self.grant_id)]


def ask_to_start(rules: Rules, actor: Principal, blueprint_id: str, now: dt.datetime) -> Permission:
    """Ask whether somebody may start a run of a blueprint."""
    asked = rules.ask(actor, ACTION, now, resource_type="blueprint", resource_id=blueprint_id)
    return Permission(asked)


def ask_to_execute(rules: Rules, actor: Principal, action: str, now: dt.datetime) -> Permission:
    """Ask whether somebody may run one action by itself."""
    asked = rules.ask(actor, EXECUTION, now, resource_type="action", resource_id=action)
    return Permission(asked)
