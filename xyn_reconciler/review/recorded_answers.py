"""Let the record of a run answer in its replay: what was asked before gets the same answer.

Pure. A step is asked the same if its kind, its action and its rendered inputs are the
same, whatever it is called; a gate, if an approval of it lets the same things through.
The trap: what is recorded has no secrets in it, so inputs are compared without theirs.
"""

import functools
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from xyn_reconciler.desired.expression import ExpressionError
from xyn_reconciler.desired.packs import specs_of_plan
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.run import ExecutionPlan, PlannedStep, StepView, canonical, digest
from xyn_reconciler.review.history import RunRecord, event_of
from xyn_reconciler.review.replay import Answer, Done, Failed, Unanswered, Waiting
from xyn_reconciler.run.decide import foreach_items
from xyn_reconciler.run.given import given
from xyn_reconciler.run.scope import RunView, item_scope, scope

Redact = Callable[[Any], Any]

NOTHING = Unanswered("no run of it is recorded that could answer")
_OTHER = Unanswered("it was never asked this: no recorded output belongs to these inputs")


class Unrecorded:
    """Answers nothing: no run was recorded."""

    def of_step(self, planned: PlannedStep, index: int | None, inputs: Mapping[str, Any]) -> Answer:
        del planned, index, inputs
        return NOTHING

    def of_gate(self, planned: PlannedStep, shown: Mapping[str, Any]) -> Answer:
        del planned, shown
        return Unanswered("it would ask people")


class RecordedAnswers:
    """The answers of one recorded run."""

    def __init__(
        self, record: RunRecord, actions: Mapping[str, ActionSpec], redact: Redact
    ) -> None:
        self._line = record.line
        self._plan = plan_of(record)
        self._actions = specs_of_plan(self._plan, actions)
        self._redact = redact
        self._planned = {step.key: step for step in (*self._plan.steps, *self._plan.on_failure)}
        self._rows = {row["key"]: row for row in record.line["steps"]}

    def of_step(self, planned: PlannedStep, index: int | None, inputs: Mapping[str, Any]) -> Answer:
        """Answer as the step did that was given the same; one of the same name comes first."""
        asked = _asked(planned, inputs)
        found = self._answer(planned.key, index, asked)
        if found is None:
            clean = self._redact(dict(inputs))
            if clean != inputs:
                found = self._answer(planned.key, index, _asked(planned, clean))
        return _OTHER if found is None else found

    def of_gate(self, planned: PlannedStep, shown: Mapping[str, Any]) -> Answer:
        """Answer as people did, where they were asked for the same."""
        row = self._rows.get(planned.key)
        gates = {gate["step_id"]: gate for gate in self._line["gates"]}
        gate = None if row is None else gates.get(row["step_id"])
        approvals = None if planned.approvals is None else planned.approvals.model_dump(mode="json")
        if (
            row is None
            or gate is None
            or gate["approvals"] != approvals
            or _let_through(gate["effect"]) != _let_through(self._redact(dict(shown)))
        ):
            return Unanswered("it would ask people: nobody was asked for exactly this")
        if gate.get("decision") is None:
            return Waiting()
        outputs = {"decision": gate["decision"], "approvers": [], "comment": None, "form": None}
        return Done(outputs | (row.get("outputs") or {}))

    def _answer(self, key: str, index: int | None, asked: str) -> Answer | None:
        if index is not None:
            return self._of_items.get(asked)
        own = self._of_steps.get(key)
        if own is not None and own[0] == asked:
            return own[1]
        return next((answer for it, answer in self._of_steps.values() if it == asked), None)

    @functools.cached_property
    def _of_steps(self) -> dict[str, tuple[str, Answer]]:
        return {
            key: (_asked(planned, row["inputs"]), answer)
            for key, planned in self._planned.items()
            if (row := self._rows.get(key)) is not None
            and planned.foreach is None
            and row.get("inputs") is not None
            and (answer := _end(row)) is not None
        }

    @functools.cached_property
    def _of_items(self) -> dict[str, Answer]:
        """What was asked in items; a record does not say that, its plan and outputs do."""
        run = view_of(self._line)
        views = {
            key: StepView(
                key=key,
                status=row["status"],
                outputs=row.get("outputs"),
                error=row.get("error"),
            )
            for key, row in self._rows.items()
        }
        roots = scope(self._plan, run, views)
        last: dict[tuple[str, int], Mapping[str, Any]] = {}
        for row in self._line["attempts"]:
            if row.get("item_index") is not None:
                last[row["step_id"], row["item_index"]] = row
        found: dict[str, Answer] = {}
        for key, planned in self._planned.items():
            if planned.foreach is None or planned.kind in ("gate", "transform"):
                continue
            spec = self._actions.get(planned.action or planned.kind)
            quoted: Collection[str] = () if spec is None else spec.shell_inputs
            try:
                items = foreach_items(planned, roots)
                for index, item in enumerate(items):
                    attempt = last.get((self._rows[key]["step_id"], index))
                    answer = None if attempt is None else _end(attempt)
                    if answer is not None:
                        inputs = given(planned, quoted, item_scope(roots, item, index))
                        found.setdefault(_asked(planned, inputs), answer)
            except ExpressionError:
                continue  # it failed there in the recorded run as well
        return found


def plan_of(record: RunRecord) -> ExecutionPlan:
    """Give the plan that a recorded run had."""
    return _plan(canonical(record.plan))


@functools.lru_cache(maxsize=256)
def _plan(text: bytes) -> ExecutionPlan:
    return ExecutionPlan.model_validate_json(text)


def view_of(line: Mapping[str, Any]) -> RunView:
    """Give a recorded run as decisions see it."""
    run, event = line["run"], line.get("event")
    return RunView(
        run_id=uuid.UUID(run["run_id"]),
        revision=run["revision"],
        actor=run["actor"],
        inputs=run.get("inputs") or {},
        event=None if event is None else event_of(event).envelope(),
        error=run.get("error"),
    )


def _asked(planned: PlannedStep, inputs: Any) -> str:  # noqa: ANN401 - any JSON value
    return digest([planned.kind, planned.action, inputs])


def _end(row: Mapping[str, Any]) -> Answer | None:
    match row["status"]:
        case "completed":
            return Done(row.get("outputs"))
        case "failed":
            error = row.get("error") or {}
            return Failed({key: value for key, value in error.items() if key != "retry_at"})
    return None


def _let_through(effect: Mapping[str, Any]) -> bytes:
    """An effect but for its file: every edit of that names another blob."""
    return canonical(
        {key: value for key, value in effect.items() if key not in ("path", "blob_id")}
    )
