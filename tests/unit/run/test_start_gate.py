"""A gate in front of a plan: nothing begins before people agree, and nothing tidies up after no."""

import datetime as dt
import uuid

from xyn_reconciler.model.run import (
    START_GATE,
    ExecutionPlan,
    GateApprovals,
    PlannedStep,
    PlanNode,
    RunStatus,
    StepStatus,
    StepView,
    with_start_gate,
)
from xyn_reconciler.run.decide import decide
from xyn_reconciler.run.decisions import Finish, Skip
from xyn_reconciler.run.scope import RunView

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
PLAN = ExecutionPlan(
    blueprint_id="bp.x",
    blueprint_name="x",
    path="blueprints/x.yaml",
    blob_id="0" * 40,
    node=PlanNode(id="seed", env_id="local", stage="prod"),
    steps=(
        PlannedStep(key="one", kind="transform", name="one"),
        PlannedStep(key="two", kind="transform", name="two", needs=("one",)),
        PlannedStep(key="three", kind="transform", name="three"),
    ),
    on_failure=(PlannedStep(key="tidy", kind="transform", name="tidy"),),
)
ASKED = GateApprovals(min=2, from_any_of=("role:OwnerAdmin",), allow_self=False)


def test_every_step_waits_for_the_gate_and_it_asks_as_the_policy_does() -> None:
    plan = with_start_gate(PLAN, ASKED)

    assert [step.key for step in plan.steps] == [START_GATE, "one", "two", "three"]
    assert [step.needs for step in plan.steps] == [(), (START_GATE,), ("one",), (START_GATE,)]
    assert plan.steps[0].approvals == ASKED
    assert plan.digest() != PLAN.digest()
    assert with_start_gate(plan, GateApprovals()) == plan


def test_a_run_that_was_not_let_begin_has_nothing_to_tidy_up() -> None:
    plan = with_start_gate(PLAN, ASKED)

    assert decide(plan, failed_at(START_GATE), ended(), NOW) == (Skip("tidy", "run_failed"),)
    tidied = ended() | {"tidy": StepView(key="tidy", status=StepStatus.SKIPPED)}
    (finish,) = decide(plan, failed_at(START_GATE), tidied, NOW)
    assert isinstance(finish, Finish)
    assert finish.status is RunStatus.FAILED


def test_a_run_that_failed_later_is_tidied_up() -> None:
    assert decide(with_start_gate(PLAN, ASKED), failed_at("one"), ended(), NOW) != (
        Skip("tidy", "run_failed"),
    )


def failed_at(step: str) -> RunView:
    return RunView(
        run_id=uuid.UUID(int=1),
        revision="c0",
        actor="ada",
        inputs={},
        error={"code": "rejected", "message": "no", "step": step},
    )


def ended() -> dict[str, StepView]:
    """The main steps are over; ``on_failure`` has not begun."""
    over = {key: StepView(key=key, status=StepStatus.SKIPPED) for key in ("one", "two", "three")}
    gate = StepView(key=START_GATE, status=StepStatus.FAILED)
    return {START_GATE: gate, **over, "tidy": StepView(key="tidy")}
