"""Ask people at the gates of a run: open them, ask anew, decide for people who do not.

What people answer comes in by :mod:`.gate`, which the worker hears of as news.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from xyn_reconciler.action.context import Action
from xyn_reconciler.model.internal_events import GateApproved, GateRejected, GateRequested
from xyn_reconciler.model.run import GateApprovals, StepStatus, digest
from xyn_reconciler.run.effect import effect
from xyn_reconciler.run.journal import Journal


class Asking:
    """The gates of one run in one turn."""

    def __init__(self, journal: Journal, now: dt.datetime, actions: Mapping[str, Action]) -> None:
        self.journal = journal
        self.now = now
        self._actions = actions

    def open(self, key: str) -> None:
        planned, journal = self.journal.planned[key], self.journal
        shown = self._effect(key)
        effect_digest = journal.effect_digests[key] = digest(shown)
        approvals = planned.approvals or GateApprovals()
        expires_at = (
            None if planned.timeout is None else self.now + dt.timedelta(seconds=planned.timeout)
        )
        journal.changes.opened.append(
            {
                "step_id": journal.step_id(key),
                "run_id": journal.run_id,
                "requested_at": self.now,
                "effect_digest": effect_digest,
                "effect": shown,
                "approvals": approvals.model_dump(mode="json"),
                "form": planned.form,
                "expires_at": expires_at,
                "on_timeout": planned.on_timeout,
            }
        )
        journal.change(
            key,
            status=StepStatus.WAITING,
            expires_at=expires_at,
            rest={"wait_reason": "gate", "started_at": self.now},
        )
        asked = GateRequested(
            key=key,
            blueprint_id=journal.plan.blueprint_id,
            effect_digest=effect_digest,
            min=approvals.min,
            from_any_of=list(approvals.from_any_of),
        )
        journal.tell(asked, self.now, key=key)
        journal.log(
            self.now, f"waits for {approvals.min} of {list(approvals.from_any_of)}", step=key
        )

    def refresh(self) -> None:
        """Ask anew at gates that wait, where what they let through is not what it was.

        Steps beside a gate may end while it waits; an approval of before dies with that.
        """
        journal = self.journal
        waiting = [
            key
            for key, view in journal.steps.items()
            if view.status is StepStatus.WAITING and journal.planned[key].kind == "gate"
        ]
        for key in waiting:
            shown = self._effect(key)
            effect_digest = digest(shown)
            if effect_digest == journal.effect_digests[key]:
                continue
            journal.effect_digests[key] = effect_digest
            seen = {"effect_digest": effect_digest, "effect": shown}
            step_id = journal.step_id(key)
            opened = [row for row in journal.changes.opened if row["step_id"] == step_id]
            if opened:
                opened[0].update(seen)
                continue
            undecided = {"decision": None, "decided_at": None, "decided_because": None}
            journal.changes.changed.append({"step_id": step_id, **seen, **undecided})
            journal.change(key, decision=None, decided_because=None, outputs=None)
            journal.log(self.now, "lets something else through now: asked anew", step=key)

    def expire(self, key: str, decision: str) -> None:
        journal = self.journal
        journal.changes.decided.append(
            {
                "step_id": journal.step_id(key),
                "decision": decision,
                "decided_at": self.now,
                "decided_because": "timeout",
            }
        )
        outputs: dict[str, Any] = {
            "decision": decision,
            "approvers": [],
            "comment": None,
            "form": None,
        }
        journal.change(key, decision=decision, decided_because="timeout", outputs=outputs)
        common = {
            "key": key,
            "blueprint_id": journal.plan.blueprint_id,
            "effect_digest": journal.effect_digests[key],
        }
        if decision == "approved":
            journal.tell(GateApproved(**common, approvers=[]), self.now, key=key)
        else:
            journal.tell(GateRejected(**common, by=None), self.now, key=key)
        journal.log(self.now, f"nobody decided in time: {decision}", step=key)

    def _effect(self, gate: str) -> dict[str, Any]:
        """What a gate lets through, as people see it and as its digest covers it."""
        journal = self.journal
        found = effect(journal.plan, journal.run, journal.steps, gate, self._shell_inputs)
        shown: dict[str, Any] = journal.redactor.value(found)
        return shown

    def _shell_inputs(self, action: str | None) -> frozenset[str]:
        found = None if action is None else self._actions.get(action)
        return frozenset() if found is None else found.spec.shell_inputs
