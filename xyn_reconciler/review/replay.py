"""Walk a plan to its end with nothing carried out, to see what a run would do.

Pure: :func:`~xyn_reconciler.run.decide.decide` says what happens next, exactly as it does
for a worker, and what a worker would have carried out is *asked of* an :class:`Answers`:
of recorded outputs (a backtest), or of stubs (a blueprint's tests). No action is within
reach here, only what is known of actions (:class:`ActionSpec`).

The traps: a step without an answer is taken to end well with outputs that nobody knows
(:mod:`xyn_reconciler.desired.unknown`), so that what would come after it can be seen;
:attr:`StepEnd.after` names what an end rests on. And an answer to a failed step is its
last failure: nothing is tried again.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias

from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.desired.packs import specs_of_plan
from xyn_reconciler.desired.unknown import UNKNOWN_VALUE, Unknown, UnknownValueError
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.run import ExecutionPlan, ItemView, PlannedStep, StepStatus, StepView
from xyn_reconciler.run import decisions as decided
from xyn_reconciler.run.compile import mismatch
from xyn_reconciler.run.decide import decide, expression_failure, foreach_items
from xyn_reconciler.run.decisions import Error
from xyn_reconciler.run.effect import effect
from xyn_reconciler.run.given import escape, given
from xyn_reconciler.run.scope import RunView, item_scope, scope

UNKNOWN: Final = "unknown"
"""The status of a step, or of a run, of which nobody knows how it would end."""


@dataclass(frozen=True, slots=True)
class Done:
    """It ended well."""

    outputs: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """It failed, for the last time."""

    error: Error


@dataclass(frozen=True, slots=True)
class Waiting:
    """A gate that nobody has decided: what comes after it does not happen."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody knows; ``why`` in words."""

    why: str


Answer: TypeAlias = Done | Failed | Waiting | Unanswered


class Answers(Protocol):
    """What stands in for the world."""

    def of_step(self, planned: PlannedStep, index: int | None, inputs: Mapping[str, Any]) -> Answer:
        """Say how an action or a model would have answered; ``index`` is a ``foreach`` item's."""
        ...

    def of_gate(self, planned: PlannedStep, shown: Mapping[str, Any]) -> Answer:
        """Say what people would have decided about ``shown``, the effect of an approval."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """How one step would end, or how far it would come."""

    key: str
    kind: str
    status: str
    """A step's status, or ``unknown``."""
    inputs: Any = None
    """As rendered, of each item for a ``foreach``; what is unknown reads ``{unknown: …}``."""
    outputs: Any = None
    error: Error | None = None
    why: str | None = None
    """Why it is unknown."""
    after: tuple[str, ...] = ()
    """The unknown steps that it comes after: it happens only if they end well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a run would come to."""

    status: str
    """``completed``, ``failed``, ``waiting`` or ``cancelled``; ``unknown`` where that rests on an
    unknown step."""
    steps: tuple[StepEnd, ...]
    """In the plan's order."""
    gates: tuple[str, ...]
    """Gates that would ask people: nobody has decided them."""
    outputs: Any = None
    error: Error | None = None

    def step(self, key: str) -> StepEnd | None:
        return next((each for each in self.steps if each.key == key), None)


def replay(
    plan: ExecutionPlan,
    run: RunView,
    answers: Answers,
    actions: Mapping[str, ActionSpec],
    now: dt.datetime,
) -> Replayed:
    """Replay one run from its beginning; ``actions`` is what is known of them, by name."""
    return _Replay(plan, run, answers, actions, now).replayed()


class _Replay:
    def __init__(
        self,
        plan: ExecutionPlan,
        run: RunView,
        answers: Answers,
        actions: Mapping[str, ActionSpec],
        now: dt.datetime,
    ) -> None:
        self.plan = plan
        self.run = run
        self.answers = answers
        self.actions = specs_of_plan(plan, actions)
        self.now = now
        self.planned = {step.key: step for step in (*plan.steps, *plan.on_failure)}
        self.views = {key: StepView(key=key) for key in self.planned}
        self.inputs: dict[str, Any] = {}
        self.unknown: dict[str, str] = {}
        """Step -> why nobody knows how it would end."""
        self.gates: list[str] = []
        self.status: str | None = None
        self.outputs: Any = None

    def replayed(self) -> Replayed:
        while self.status is None:
            for decision in decide(self.plan, self.run, self.views, self.now):
                self._apply(decision)
        if self.unknown and self.status == "completed":
            # What is first in the way says what the run would be found doing.
            first = next(iter(self.unknown))
            self.status = "waiting" if first in self.gates else UNKNOWN
        return Replayed(
            status=self.status,
            steps=tuple(self._ends()),
            gates=tuple(self.gates),
            outputs=known(self.outputs),
            error=self.run.error,
        )

    def _apply(self, decision: decided.Decision) -> None:  # noqa: C901 - one case a decision
        match decision:
            case decided.Start(key, None):
                self._start(self.planned[key])
            case decided.Start(key, items) if items is not None:
                self._start_items(self.planned[key], items)
            case decided.Skip(key):
                self._end(key, StepStatus.SKIPPED)
            case decided.Complete(key, outputs):
                self._end(key, StepStatus.COMPLETED, outputs=outputs)
            case decided.Fail(key, error, outputs):
                self._fail(key, error, outputs)
            case decided.OpenGate(key):
                self._ask(self.planned[key])
            case decided.Cancel(key):
                self._end(key, StepStatus.CANCELLED)
            case decided.BeginFailure(error) if error["code"] == UNKNOWN_VALUE:
                # The run's own outputs: the steps have ended.
                self.status = "completed"
                self.outputs = _rendered(self.plan.outputs, self._roots())
            case decided.BeginFailure(error):
                self.run = replace(self.run, error=error)
            case decided.Finish():
                self.status, self.outputs = str(decision.status), decision.outputs
            case decided.Wait():
                self.status = "waiting"
            case _:  # pragma: no cover - decided only of steps that a worker has under way
                raise AssertionError(decision)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────

    def _roots(self) -> dict[str, Any]:
        return scope(self.plan, self.run, self.views)

    def _start(self, planned: PlannedStep) -> None:
        key = planned.key
        inputs, answer = self._answered(planned, None, self._roots())
        self.inputs[key] = inputs
        match answer:
            case Done(outputs):
                self._end(key, StepStatus.COMPLETED, outputs=outputs)
            case Failed(error):
                self._fail(key, error)
            case Unanswered(why):
                self._end_unknown(key, why)
            case Waiting():  # pragma: no cover - of gates alone
                raise AssertionError(key)

    def _start_items(self, planned: PlannedStep, indexes: tuple[int, ...]) -> None:
        key, roots = planned.key, self._roots()
        values = foreach_items(planned, roots)
        view = self.views[key]
        items = {item.index: item for item in view.items or ()}
        for index in indexes:
            inputs, answer = self._answered(planned, index, item_scope(roots, values[index], index))
            self.inputs.setdefault(key, []).append(inputs)
            status, outputs = StepStatus.COMPLETED, None
            error: dict[str, Any] | None = None
            match answer:
                case Done(outputs):
                    pass
                case Failed(failure):
                    status, error = StepStatus.FAILED, failure
                case _:
                    self.unknown.setdefault(key, getattr(answer, "why", ""))
                    outputs = Unknown(f"steps.{key}")
            items[index] = ItemView(
                index=index, attempt=1, status=status, outputs=outputs, error=error
            )
        # Running would read as left by a worker that is gone.
        changes = {"status": StepStatus.WAITING, "attempt": 1}
        self.views[key] = view.model_copy(
            update=changes | {"items": tuple(items[index] for index in sorted(items))}
        )

    def _answered(
        self, planned: PlannedStep, index: int | None, roots: Mapping[str, Any]
    ) -> tuple[Any, Answer]:
        """Give the rendered inputs, and what comes of them."""
        try:
            if planned.kind == "transform":
                return None, Done(_rendered(planned.set_, roots))
            spec = self.actions.get(planned.action or planned.kind)
            quoted = frozenset[str]() if spec is None else spec.shell_inputs
            inputs = given(planned, quoted, roots)
        except UnknownValueError as error:
            return self._as_far_as_known(planned, roots), Unanswered(f"its input {error.message}")
        except ExpressionError as error:
            return None, Failed(expression_failure(error))
        problem = None if spec is None else mismatch(spec.input_schema, inputs)
        if problem is not None:
            name = planned.action or planned.kind
            message = f"the inputs of {name} do not fit: {problem}"
            return inputs, Failed({"code": "invalid_inputs", "message": message})
        return inputs, self.answers.of_step(planned, index, inputs)

    def _as_far_as_known(self, planned: PlannedStep, roots: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        spec = self.actions.get(planned.action or planned.kind)
        quoted = frozenset[str]() if spec is None else spec.shell_inputs

        def one(name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON value
            try:
                return render_value(value, roots, escape=escape(name, quoted))
            except ExpressionError as error:
                return Unknown(error.message)

        return known({name: one(name, value) for name, value in planned.with_.items()})

    # ── gates ────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, planned: PlannedStep) -> None:
        shown = effect(self.plan, self.run, self.views, planned.key, self._quoted)
        answer = self.answers.of_gate(planned, shown)
        match answer:
            case Done(outputs):
                view = self.views[planned.key]
                decision = outputs.get("decision")
                changes = {"decision": decision, "outputs": outputs}
                # As the worker finds it that takes up what was decided: `decide` ends it.
                self.views[planned.key] = view.model_copy(
                    update=changes | {"status": StepStatus.WAITING}
                )
            case Failed(error):
                self._fail(planned.key, error)
            case Waiting():
                self.gates.append(planned.key)
                self._end(planned.key, StepStatus.WAITING)
            case Unanswered(why):
                self.gates.append(planned.key)
                self._end_unknown(planned.key, why)

    def _quoted(self, action: str | None) -> frozenset[str]:
        spec = None if action is None else self.actions.get(action)
        return frozenset() if spec is None else spec.shell_inputs

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────

    def _fail(self, key: str, error: Error, outputs: Any = None) -> None:  # noqa: ANN401 - JSON
        if error["code"] == UNKNOWN_VALUE:
            self._end_unknown(key, error["message"])
        else:
            self._end(key, StepStatus.FAILED, outputs=outputs, error=error)

    def _end_unknown(self, key: str, why: str) -> None:
        self.unknown[key] = why
        self._end(key, StepStatus.COMPLETED, outputs=Unknown(f"steps.{key}"))

    def _end(self, key: str, status: StepStatus, **values: Any) -> None:  # noqa: ANN401 - fields of a view
        self.views[key] = self.views[key].model_copy(update={"status": status, **values})

    def _ends(self) -> list[StepEnd]:
        behind: dict[str, frozenset[str]] = {}
        found = []
        for key, planned in self.planned.items():
            view = self.views[key]
            after: frozenset[str] = frozenset().union(
                *(behind[need] | ({need} & self.unknown.keys()) for need in planned.needs)
            )
            behind[key] = after
            why = self.unknown.get(key)
            found.append(
                StepEnd(
                    key=key,
                    kind=planned.kind,
                    status=str(view.status) if why is None else UNKNOWN,
                    inputs=self.inputs.get(key),
                    outputs=known(view.outputs) if why is None else None,
                    error=view.error,
                    why=why,
                    after=tuple(one for one in self.unknown if one in after),
                )
            )
        return found


def _rendered(values: Mapping[str, Any], roots: Mapping[str, Any]) -> dict[str, Any]:
    """Render each by itself: one that depends on what is unknown is unknown, the others are not."""
    return {name: _leaf(value, roots) for name, value in values.items()}


def _leaf(value: Any, roots: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return render_value(value, roots)
    except UnknownValueError as error:
        return Unknown(error.source)


def known(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Give a value as JSON that can be written: ``{unknown: source}`` for what nobody knows."""
    match value:
        case Unknown():
            return {UNKNOWN: value.source}
        case dict():
            return {key: known(inner) for key, inner in value.items()}
        case list():
            return [known(inner) for inner in value]
    return value
