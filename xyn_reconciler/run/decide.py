"""Decide what a run does next; do nothing.

Pure: the same plan, rows and moment always give the same decisions, so the
semantics of the language are tested without Postgres, clock or threads.
:mod:`xyn_reconciler.run.worker` applies what is decided and asks again; it
never thinks for itself. Decisions of one answer belong together: the worker
applies all of them before it asks again.

The trap: a step that is ``running`` and not in the asking worker's hand was
left by a worker that is gone. It is interrupted before anything else.
"""

import datetime as dt
import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from xyn_reconciler.desired.expression import (
    ExpressionError,
    parse_expression,
    references,
    render_value,
)
from xyn_reconciler.model.run import (
    START_GATE,
    ExecutionPlan,
    ItemView,
    PlannedStep,
    RunStatus,
    StepStatus,
    StepView,
)
from xyn_reconciler.run import limits
from xyn_reconciler.run.decisions import (
    BeginFailure,
    Cancel,
    Complete,
    Decision,
    Error,
    ExpireGate,
    Fail,
    Finish,
    Interrupt,
    OpenGate,
    Resolve,
    Return,
    Signal,
    Skip,
    Start,
    Wait,
)
from xyn_reconciler.run.scope import RunView, scope

_PENDING: Final = frozenset({StepStatus.CREATED, StepStatus.WAITING, StepStatus.INTERRUPTED})
_ENDED: Final = frozenset(status for status in StepStatus if status.ended)
"""In a set of its own: a long plan is looked over at every step."""


def decide(
    plan: ExecutionPlan,
    run: RunView,
    steps: Mapping[str, StepView],
    now: dt.datetime,
    *,
    in_hand: Collection[str] = (),
    idempotent: Collection[str] = (),
    died: bool = True,
) -> tuple[Decision, ...]:
    """Say what to do now; ``()`` means: wait for the steps that are in hand.

    ``in_hand`` are the keys of steps that the asking worker executes itself,
    ``idempotent`` the names of actions that may run again by their nature.
    ``died``: whether it says something against a step that its worker is gone; the
    one who was told to stop, or went down with the whole node, says nothing.
    """
    # Asked first: a long plan is looked over at every step.
    statuses = {view.status for view in steps.values()}
    left = {
        key
        for key, view in (steps.items() if StepStatus.RUNNING in statuses else ())
        if view.status is StepStatus.RUNNING and key not in in_hand
    }
    if left:
        return tuple(
            _interrupted(step, steps[step.key], run, idempotent, counts=died)
            for step in _all(plan)
            if step.key in left
        )
    if run.cancel_requested:
        return _stopping(plan, steps, in_hand) or (
            Finish(RunStatus.CANCELLED, None, None, warnings(plan, steps)),
        )
    if run.error is None:
        failed = StepStatus.FAILED in statuses
        error = (_failure(plan, steps) if failed else None) or _timed_out(plan, run, now)
        if error is None:
            return _next(plan.steps, _Moment(plan, run, steps, now), in_hand, _completed)
        return _end_of_main(plan, steps, in_hand, error)
    return _after_failure(plan, run, steps, now, in_hand)


def may_run_again(step: PlannedStep, idempotent: Collection[str]) -> bool:
    """Whether a step that was under way in a crash is simply taken up again (promise P2)."""
    if step.kind == "action_task":
        return step.idempotency_key is not None or step.action in idempotent or _only_reads(step)
    return True


def _only_reads(step: PlannedStep) -> bool:
    """Whether it is a request that changes nothing by its method (RFC 9110, 9.2.1)."""
    return step.action == "http.call" and step.with_.get("method", "GET") in {"GET", "HEAD"}


def warnings(plan: ExecutionPlan, steps: Mapping[str, StepView]) -> int:
    """Count the steps that failed and were allowed to."""
    return sum(
        steps[step.key].status is StepStatus.FAILED and step.continue_on_error
        for step in _all(plan)
    )


def _all(plan: ExecutionPlan) -> Iterator[PlannedStep]:
    yield from plan.steps
    yield from plan.on_failure


def _interrupted(
    step: PlannedStep,
    view: StepView,
    run: RunView,
    idempotent: Collection[str],
    *,
    counts: bool,
) -> Decision:
    if run.cancel_requested:
        return Cancel(step.key)
    times = view.interruptions + counts
    if times >= limits.POISONED_AFTER:
        return Interrupt(step.key, again=False, interruptions=times, reason="poison")
    return Interrupt(step.key, may_run_again(step, idempotent), times)


# ── ending early ─────────────────────────────────────────────────────────────────────────────────


def _stopping(
    plan: ExecutionPlan, steps: Mapping[str, StepView], in_hand: Collection[str]
) -> tuple[Decision, ...]:
    """No new step, and a signal to those under way."""
    cancels = [Cancel(s.key) for s in _all(plan) if steps[s.key].status in _PENDING]
    return (*cancels, *(Signal(s.key) for s in _all(plan) if s.key in in_hand))


def _failure(plan: ExecutionPlan, steps: Mapping[str, StepView]) -> Error | None:
    for step in plan.steps:
        if _has_failed(step, steps):
            return {**(steps[step.key].error or {}), "step": step.key}
    return None


def _timed_out(plan: ExecutionPlan, run: RunView, now: dt.datetime) -> Error | None:
    if run.deadline_at is None or now < run.deadline_at:
        return None
    return {
        "code": "run_timeout",
        "message": f"the run took longer than {plan.timeout:g} s",
        "step": None,
    }


def _end_of_main(
    plan: ExecutionPlan, steps: Mapping[str, StepView], in_hand: Collection[str], error: Error
) -> tuple[Decision, ...]:
    """Let what is under way end (at the run's timeout: make it), skip the rest, then fail."""
    ends = _ends(plan.steps, steps)
    if in_hand:
        signals = [Signal(key) for key in in_hand] if error["code"] == "run_timeout" else []
        return (*ends, *signals)
    return (*ends, BeginFailure(error))


def _after_failure(
    plan: ExecutionPlan,
    run: RunView,
    steps: Mapping[str, StepView],
    now: dt.datetime,
    in_hand: Collection[str],
) -> tuple[Decision, ...]:
    """Run ``on_failure``; a failure there ends it, and the run keeps its first error.

    A run that was not let begin has nothing to tidy up.
    """
    moment = _Moment(plan, run, steps, now)
    never_began = (run.error or {}).get("step") == START_GATE
    if not never_began and not any(_has_failed(step, steps) for step in plan.on_failure):
        return _next(plan.on_failure, moment, in_hand, _failed)
    ends = _ends(plan.on_failure, steps)
    return ends or (() if in_hand else _failed(moment))


def _has_failed(step: PlannedStep, steps: Mapping[str, StepView]) -> bool:
    return steps[step.key].status is StepStatus.FAILED and not step.continue_on_error


def _ends(phase: Sequence[PlannedStep], steps: Mapping[str, StepView]) -> tuple[Decision, ...]:
    """End what has not begun, and what waits."""
    return tuple(
        Skip(step.key, "run_failed")
        if steps[step.key].status is StepStatus.CREATED
        else Cancel(step.key)
        for step in phase
        if steps[step.key].status in _PENDING
    )


# ── going on ─────────────────────────────────────────────────────────────────────────────────────


class _Moment:
    """All that a decision may look at; the roots of expressions only where one is evaluated."""

    def __init__(
        self,
        plan: ExecutionPlan,
        run: RunView,
        steps: Mapping[str, StepView],
        now: dt.datetime,
    ) -> None:
        self.plan = plan
        self.run = run
        self.steps = steps
        self.now = now

    @functools.cached_property
    def roots(self) -> dict[str, Any]:
        return scope(self.plan, self.run, self.steps)


def _next(
    phase: Sequence[PlannedStep],
    moment: _Moment,
    in_hand: Collection[str],
    at_the_end: Callable[[_Moment], tuple[Decision, ...]],
) -> tuple[Decision, ...]:
    """Give what can happen now in one phase of the plan, and what follows when it has ended."""
    steps = moment.steps
    going = [step for step in phase if steps[step.key].status not in _ENDED]
    found = [d for step in going if (d := _of_step(step, moment)) is not None]
    if found or in_hand:
        return tuple(found)
    return (_wait(going, moment),) if going else at_the_end(moment)


def _of_step(step: PlannedStep, moment: _Moment) -> Decision | None:  # noqa: PLR0911 - one a state
    view = moment.steps[step.key]
    match view.status:
        case StepStatus.CREATED if _may_begin(step, moment):
            # A failure that is not allowed has ended the phase before it comes to this.
            return _begin(step, view, moment)
        case StepStatus.INTERRUPTED if view.resolution is not None:
            return Resolve(step.key, view.resolution)
        case StepStatus.WAITING if step.kind == "gate":
            return _at_gate(step, view, moment)
        case StepStatus.WAITING if view.awaited is not None:
            return Return(step.key) if _is_back(view, moment.now) else None
        case StepStatus.WAITING | StepStatus.RUNNING if step.foreach is not None:
            return _go_on_with_items(step, view, moment)
        case StepStatus.WAITING if view.available_at is None or view.available_at <= moment.now:
            return Start(step.key)
    return None


def _may_begin(step: PlannedStep, moment: _Moment) -> bool:
    """Whether all that it needs has ended; in a re-run every gate before it as well.

    There a step may have its end from the first run while the gate before it is asked anew.
    """
    steps = moment.steps
    for key in step.needs:
        if steps[key].status not in _ENDED:
            return False
    return not moment.run.repeats or all(
        steps[gate].status in _ENDED for gate in gates_before(moment.plan, step.key)
    )


def gates_before(plan: ExecutionPlan, key: str) -> frozenset[str]:
    """The gates that a step comes after, however far behind them."""
    needs = {step.key: step.needs for step in (*plan.steps, *plan.on_failure)}
    kinds = {step.key: step.kind for step in (*plan.steps, *plan.on_failure)}
    found, waiting = set[str](), list(needs[key])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += needs[one]
    return frozenset(one for one in found if kinds[one] == "gate")


def _is_back(view: StepView | ItemView, now: dt.datetime) -> bool:
    """Whether the run that a step or an item waits for has ended, or took too long."""
    if view.awaited is None:
        return False
    over = view.available_at is not None and view.available_at <= now
    return over or has_ended(view.awaited)


def has_ended(awaited: Mapping[str, Any]) -> bool:
    """Whether a run that a step waits for has ended."""
    return RunStatus(awaited["status"]).ended


def _begin(step: PlannedStep, view: StepView, moment: _Moment) -> Decision | None:
    if view.attempt:  # Interrupted: it had passed its `when` before.
        return Start(step.key) if step.foreach is None else _go_on_with_items(step, view, moment)
    try:
        if step.when is not None and not parse_expression(step.when).holds(moment.roots):
            return Skip(step.key, "when")
        return OpenGate(step.key) if step.kind == "gate" else _first_start(step, moment)
    except ExpressionError as error:
        return Fail(step.key, expression_failure(error))


def _first_start(step: PlannedStep, moment: _Moment) -> Decision:
    if step.foreach is None:
        return Start(step.key)
    items = foreach_items(step, moment.roots)
    if not items:
        return Skip(step.key, "empty")
    return Start(step.key, tuple(range(min(_at_a_time(step), len(items)))))


def expression_failure(error: ExpressionError) -> Error:
    """Give the error of a step whose expression has no value."""
    return {"code": error.failure_code, "message": error.message}


def foreach_items(step: PlannedStep, roots: Mapping[str, Any]) -> list[Any]:
    """Evaluate ``foreach``; raises ``ExpressionError`` where it is no list, or too long a one."""
    items = render_value(step.foreach, roots)
    if not isinstance(items, list):
        raise ExpressionError("invalid_foreach", f"foreach of {step.key} is not a list")
    if len(items) > limits.MAX_ITEMS:
        raise ExpressionError(
            "too_many_items",
            f"foreach of {step.key} has {len(items)} items; at most {limits.MAX_ITEMS} are run",
        )
    return items


def _go_on_with_items(step: PlannedStep, view: StepView, moment: _Moment) -> Decision | None:
    try:
        count = len(foreach_items(step, moment.roots))
    except ExpressionError as error:
        return Fail(step.key, expression_failure(error))
    known = {item.index: item for item in view.items or ()}
    items = [known.get(index, ItemView(index=index)) for index in range(count)]
    if all(item.status.ended for item in items):
        return _items_ended(step, items)
    returned = [item.index for item in items if _is_back(item, moment.now)]
    if returned:
        return Return(step.key, returned[0])
    under_way = sum(item.status is StepStatus.RUNNING or bool(item.awaited) for item in items)
    ready = [item.index for item in items if _is_ready(item, moment.now)]
    chosen = tuple(ready[: max(0, _at_a_time(step) - under_way)])
    return Start(step.key, chosen) if chosen else None


def _at_a_time(step: PlannedStep) -> int:
    return min(step.max_parallel, limits.MAX_PARALLEL)


def _is_ready(item: ItemView, now: dt.datetime) -> bool:
    if item.awaited is not None:
        return False
    if item.status is StepStatus.WAITING:
        return item.available_at is None or item.available_at <= now
    return item.status in {StepStatus.CREATED, StepStatus.INTERRUPTED}


def _items_ended(step: PlannedStep, items: Sequence[ItemView]) -> Decision:
    outputs = [
        {"status": str(item.status), "outputs": item.outputs, "error": item.error} for item in items
    ]
    failed = [item for item in items if item.status is not StepStatus.COMPLETED]
    if not failed:
        return Complete(step.key, outputs)
    first = failed[0].error or {}
    message = f"{len(failed)} of {len(items)} items failed; the first: {first.get('message')}"
    details = {"items": [item.index for item in failed], "first": first}
    return Fail(step.key, {"code": "items_failed", "message": message, "details": details}, outputs)


# ── gates ────────────────────────────────────────────────────────────────────────────────────────


def _at_gate(step: PlannedStep, view: StepView, moment: _Moment) -> Decision | None:
    if view.decision is None:
        if view.expires_at is None or moment.now < view.expires_at:
            return None
        return ExpireGate(step.key, "approved" if step.on_timeout == "approve" else "rejected")
    if view.decision == "approved" or asks_for_decision(moment.plan, step.key):
        return Complete(step.key, view.outputs)
    outputs = view.outputs or {}
    why = "nobody decided in time" if view.decided_because == "timeout" else "a person said no"
    comment = f": {outputs['comment']}" if outputs.get("comment") else ""
    error = {"code": "rejected", "message": f"gate {step.key} was rejected, {why}{comment}"}
    return Fail(step.key, error, view.outputs)


def asks_for_decision(plan: ExecutionPlan, gate: str) -> bool:
    """Whether some step's ``when`` looks at what was decided at a gate: then no is an answer."""
    return any(gate in _gates_asked(step.when) for step in plan.steps if step.when is not None)


@functools.lru_cache(maxsize=1024)
def _gates_asked(when: str) -> frozenset[str]:
    try:
        found = references(parse_expression(when))
    except ExpressionError:
        return frozenset()
    return frozenset(
        str(reference.path[0])
        for reference in found
        if reference.root == "steps" and reference.path[1:] == ("outputs", "decision")
    )


# ── waiting and ending ───────────────────────────────────────────────────────────────────────────


def _wait(waiting: Sequence[PlannedStep], moment: _Moment) -> Wait:
    """Name what a run waits for: a moment first, for then people are not what holds it up."""
    steps, now = moment.steps, moment.now
    views = [(step, steps[step.key]) for step in waiting]
    until = [v.expires_at for s, v in views if s.kind == "gate" and v.expires_at is not None]
    alone = [view for _, view in views if _waits_for_runs_alone(view)]
    until += [view.available_at for view in alone if view.available_at is not None]
    retries = [v for s, v in views if s.kind != "gate" and v.status is StepStatus.WAITING]
    retries = [view for view in retries if view not in alone]
    if retries:
        until += [view.available_at or now for view in retries]
        until += [moment.run.deadline_at] if moment.run.deadline_at is not None else []
        first = min(retries, key=lambda view: view.available_at or now)
        return Wait("retry", first.key, min(until))
    soonest = min(until, default=None)
    for step, view in views:
        if view.status is StepStatus.INTERRUPTED:
            poisoned = view.interruptions >= limits.POISONED_AFTER
            return Wait("poison" if poisoned else "interrupted", step.key, soonest)
    waits = [step for step, view in views if view.status is StepStatus.WAITING]
    gate = next((step for step in waits if step.kind == "gate"), None)
    return Wait("run", waits[0].key, soonest) if gate is None else Wait("gate", gate.key, soonest)


def _waits_for_runs_alone(view: StepView) -> bool:
    if view.awaited is not None:
        return True
    items = [item for item in view.items or () if item.status is StepStatus.WAITING]
    return bool(items) and all(item.awaited for item in items)


def _completed(moment: _Moment) -> tuple[Decision, ...]:
    spare = [s for s in moment.plan.on_failure if not moment.steps[s.key].status.ended]
    if spare:
        return tuple(Skip(step.key, "not_needed") for step in spare)
    try:
        outputs = _outputs(moment)
    except ExpressionError as error:
        return (BeginFailure({**expression_failure(error), "step": None}),)
    count = warnings(moment.plan, moment.steps)
    return (Finish(RunStatus.COMPLETED, outputs, None, count),)


def _failed(moment: _Moment) -> tuple[Decision, ...]:
    count = warnings(moment.plan, moment.steps)
    return (Finish(RunStatus.FAILED, None, moment.run.error, count),)


def _outputs(moment: _Moment) -> dict[str, Any]:
    """Render the run's outputs; one without a template is the last step's output of that name."""
    return {
        name: _by_name(name, moment) if template is None else render_value(template, moment.roots)
        for name, template in moment.plan.outputs.items()
    }


def _by_name(name: str, moment: _Moment) -> Any:  # noqa: ANN401 - any JSON value
    for step in reversed(moment.plan.steps):
        outputs = moment.steps[step.key].outputs
        if isinstance(outputs, dict) and name in outputs:
            return outputs[name]
    return None
