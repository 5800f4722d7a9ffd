"""Random plans, results, crashes, cancels and approvals: what always holds of a run."""

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from xyn_reconciler.model.run import (
    ExecutionPlan,
    ItemView,
    PlannedStep,
    PlanNode,
    RetryPolicy,
    RunStatus,
    StepStatus,
    StepView,
)
from xyn_reconciler.run import decisions as decided
from xyn_reconciler.run.decide import decide
from xyn_reconciler.run.retry import Failure, retry_at
from xyn_reconciler.run.scope import RunView

NODE = PlanNode(id="seed", env_id="local", stage="dev")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KINDS: st.SearchStrategy[Literal["transform", "action_task", "gate"]] = st.sampled_from(
    ["transform", "action_task", "gate"]
)
WHENS = st.sampled_from([None, None, None, "true", "false", "inputs.missing"])
EACHES = st.sampled_from([None, None, None, [], [1], [1, 2, 3], "no list"])


@st.composite
def phases(draw: st.DrawFn, prefix: str, most: int) -> tuple[PlannedStep, ...]:
    steps: list[PlannedStep] = []
    for index in range(draw(st.integers(0 if prefix == "f" else 1, most))):
        kind: Literal["transform", "action_task", "gate"] = draw(KINDS)
        above = [step.key for step in steps]
        needs = draw(st.lists(st.sampled_from(above), unique=True, max_size=3)) if above else []
        steps.append(
            PlannedStep(
                key=f"{prefix}{index}",
                kind=kind,
                name=f"{prefix}{index}",
                needs=tuple(needs),
                when=draw(WHENS),
                foreach=None if kind == "gate" else draw(EACHES),
                max_parallel=draw(st.integers(1, 2)),
                retry=RetryPolicy(max_attempts=draw(st.integers(1, 3))),
                timeout=draw(st.sampled_from([None, 30.0])) if kind == "gate" else None,
                on_timeout=draw(st.sampled_from(["reject", "approve"])),
                continue_on_error=draw(st.booleans()),
                idempotency_key=draw(st.sampled_from([None, "k"])),
                action="demo",
            )
        )
    return tuple(steps)


class World:
    """Everything outside of ``decide``, as simple as it can be."""

    def __init__(self, plan: ExecutionPlan) -> None:
        self.plan = plan
        self.now = START
        self.run = RunView(
            run_id=uuid.UUID(int=1),
            revision="r",
            actor="a",
            inputs={},
            deadline_at=START + dt.timedelta(hours=1),
        )
        self.steps = {s.key: StepView(key=s.key) for s in (*plan.steps, *plan.on_failure)}
        self.hand: set[tuple[str, int | None]] = set()
        self.ended: decided.Finish | None = None
        self.waits: decided.Wait | None = None

    def change(self, key: str, **changes: Any) -> None:  # noqa: ANN401 - fields of a view
        before = self.steps[key]
        after = before.model_copy(update=changes)
        assert not before.status.ended or after.status is before.status, "an end is an end"
        self.steps[key] = after

    def settle(self) -> None:
        """Ask and apply until there is nothing to do but wait."""
        self.waits = None
        for _ in range(1000):
            if self.ended is not None:
                return
            keys = {key for key, _ in self.hand}
            found = decide(self.plan, self.run, self.steps, self.now, in_hand=keys)
            changes = [d for d in found if not isinstance(d, decided.Signal)]
            for decision in changes:
                self.apply(decision)
            if self.waits is not None:
                assert len(found) == 1
                return
            if not changes:
                assert self.hand, "a run that has not ended has something under way, or waits"
                return
        raise AssertionError("it never comes to rest")

    def apply(self, decision: decided.Decision) -> None:  # noqa: C901 - one case a decision
        match decision:
            case decided.Start(key, items):
                self.start(key, items)
            case decided.Skip(key):
                assert self.steps[key].status is StepStatus.CREATED
                self.change(key, status=StepStatus.SKIPPED)
            case decided.Complete(key, outputs):
                self.change(key, status=StepStatus.COMPLETED, outputs=outputs)
            case decided.Fail(key, error):
                self.change(key, status=StepStatus.FAILED, error=error)
            case decided.OpenGate(key):
                self.begin_is_right(key)
                timeout = self.planned(key).timeout
                until = None if timeout is None else self.now + dt.timedelta(seconds=timeout)
                self.change(key, status=StepStatus.WAITING, expires_at=until)
            case decided.ExpireGate(key, verdict):
                self.change(key, decision=verdict, outputs={"decision": verdict})
            case decided.Interrupt(key, again, times):
                stopped = tuple(
                    one.model_copy(update={"status": StepStatus.INTERRUPTED})
                    if one.status is StepStatus.RUNNING
                    else one
                    for one in self.steps[key].items or ()
                )
                status = StepStatus.CREATED if again else StepStatus.INTERRUPTED
                self.change(key, status=status, interruptions=times, items=stopped or None)
            case decided.Cancel(key):
                assert key not in {k for k, _ in self.hand}
                self.change(key, status=StepStatus.CANCELLED)
            case decided.BeginFailure(error):
                assert self.run.error is None
                self.run = replace(self.run, error=error, deadline_at=None)
            case decided.Wait():
                assert not self.hand
                self.waits = decision
            case decided.Finish():
                self.finish_is_right(decision)
                self.ended = decision

    def planned(self, key: str) -> PlannedStep:
        step = self.plan.step(key)
        assert step is not None
        return step

    def begin_is_right(self, key: str) -> None:
        assert not self.run.cancel_requested, "no step after a cancel"
        step = self.planned(key)
        for need in step.needs:
            status = self.steps[need].status
            assert status.ended, "no step before its needs"
            allowed = self.planned(need).continue_on_error
            assert status is not StepStatus.FAILED or allowed, "no step after a failed need"
        assert (step in self.plan.on_failure) == (self.run.error is not None)

    def start(self, key: str, items: tuple[int, ...] | None) -> None:
        self.begin_is_right(key)
        view = self.steps[key]
        assert not view.status.ended, "nothing runs twice after finishing"
        attempt = view.attempt + (view.status is not StepStatus.RUNNING)
        if items is None:
            assert (key, None) not in self.hand
            self.hand.add((key, None))
            self.change(key, status=StepStatus.RUNNING, attempt=attempt)
            return
        known = {item.index: item for item in view.items or ()}
        for index in items:
            assert (key, index) not in self.hand
            item = known.get(index, ItemView(index=index))
            assert not item.status.ended, "no item runs twice after finishing"
            running = {"status": StepStatus.RUNNING, "attempt": item.attempt + 1}
            known[index] = item.model_copy(update=running)
            self.hand.add((key, index))
        assert sum(k == key for k, _ in self.hand) <= self.planned(key).max_parallel
        self.change(key, status=StepStatus.RUNNING, attempt=attempt, items=tuple(known.values()))

    def result(self, key: str, index: int | None, *, good: bool, temporary: bool) -> None:
        self.hand.remove((key, index))
        step, view = self.planned(key), self.steps[key]
        failure = Failure("boom", "boom", temporary=temporary)
        one: StepView | ItemView = view
        if index is not None:
            one = next(item for item in view.items or () if item.index == index)
        again = retry_at(step.retry, failure, one.failures + 1, self.now, 0.0)
        stopped = self.run.cancel_requested
        if good:
            changes: dict[str, Any] = {"status": StepStatus.COMPLETED, "outputs": {}}
        elif again is None or stopped:
            changes = {"status": StepStatus.FAILED, "error": failure.to_json()}
        else:
            changes = {"status": StepStatus.WAITING, "available_at": again}
            changes["failures"] = one.failures + 1
        if stopped and not good and index is None:
            changes["status"] = StepStatus.CANCELLED
        if index is None:
            self.change(key, **changes)
            return
        items = tuple(
            item.model_copy(update=changes) if item.index == index else item
            for item in view.items or ()
        )
        left = any(k == key for k, _ in self.hand)
        status = StepStatus.RUNNING if left else StepStatus.WAITING
        retries = [i.available_at for i in items if i.available_at and not i.status.ended]
        soonest = min(retries, default=None)
        self.change(key, items=items, status=status, available_at=soonest)

    def finish_is_right(self, finish: decided.Finish) -> None:
        assert not self.hand
        assert all(view.status.ended for view in self.steps.values()), "every step reaches an end"
        failed = [
            step
            for step in self.plan.steps
            if self.steps[step.key].status is StepStatus.FAILED and not step.continue_on_error
        ]
        if finish.status is RunStatus.COMPLETED:
            assert not failed
        if finish.status is RunStatus.FAILED:
            assert finish.error == self.run.error is not None


@settings(max_examples=300, deadline=None)
@given(main=phases("s", 6), rescue=phases("f", 2), data=st.data())
def test_whatever_happens_every_run_ends_or_waits_for_a_named_reason(
    main: tuple[PlannedStep, ...], rescue: tuple[PlannedStep, ...], data: st.DataObject
) -> None:
    plan = ExecutionPlan(
        blueprint_id="b",
        blueprint_name="b",
        path="p",
        blob_id="x",
        node=NODE,
        steps=main,
        on_failure=rescue,
        timeout=3600.0,
    )
    world = World(plan)
    crashes = data.draw(st.integers(0, 4))
    for _ in range(200):
        world.settle()
        if world.ended is not None:
            break
        happening = data.draw(st.sampled_from(["go", "go", "go", "go", "crash", "cancel", "later"]))
        if happening == "cancel":
            world.run = replace(world.run, cancel_requested=True)
        elif happening == "crash" and world.hand and crashes:
            crashes -= 1
            world.hand.clear()
        elif happening == "later":
            world.now += dt.timedelta(seconds=data.draw(st.sampled_from([1, 40, 4000])))
        elif world.hand:
            key, index = data.draw(st.sampled_from(sorted(world.hand, key=str)))
            good, temporary = data.draw(st.booleans()), data.draw(st.booleans())
            world.result(key, index, good=good, temporary=temporary)
        else:
            _help(world, data)
    else:
        raise AssertionError("200 happenings are enough for seven steps")
    assert decide(plan, world.run, world.steps, world.now)[0] == world.ended


def _help(world: World, data: st.DataObject) -> None:
    """Do what the run says it waits for."""
    waits = world.waits
    assert waits is not None
    view = world.steps[waits.step]
    match waits.reason:
        case "retry":
            assert waits.until is not None
            world.now = max(world.now, waits.until)
        case "gate":
            decision = data.draw(st.sampled_from(["approved", "rejected"]))
            world.change(waits.step, decision=decision, outputs={"decision": decision})
        case "interrupted" | "poison":
            assert view.status is StepStatus.INTERRUPTED
            assert world.planned(waits.step).idempotency_key is None or view.interruptions >= 3
            world.change(waits.step, status=StepStatus.FAILED, error={"code": "resolved"})
