"""Steps that are another blueprint's run."""

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench
from xyn_reconciler.run import limits
from xyn_reconciler.store import runs

GATE = {"id": "ok", "kind": "gate", "mode": "manual"}
CHILD = {
    "id": "bp.child",
    "inputs": {"n": {"type": "integer", "default": 1}},
    "plan": [GATE, {"id": "double", "kind": "transform", "set": {"n": "{{ inputs.n * 2 }}"}}],
    "outputs": {"n": "{{ steps.double.outputs.n }}"},
}


def call(key: str = "sub", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    given = {"blueprint": "bp.child", **more.pop("given", {})}
    return {"id": key, "kind": "action_task", "action": "blueprints.run", "with": given, **more}


@pytest.fixture(autouse=True)
def child(bench: Bench) -> None:
    bench.blueprints["bp.child"] = CHILD


def children(bench: Bench, run_id: uuid.UUID, key: str = "sub") -> list[uuid.UUID]:
    step_id = bench.steps(run_id)[key].step_id
    with bench.database.begin() as connection:
        rows = connection.execute(
            text("SELECT run_id FROM runs WHERE parent_step_id = :step ORDER BY created_at"),
            {"step": step_id},
        )
        return list(rows.scalars())


def finish(bench: Bench, run_id: uuid.UUID, decision: str = "approved") -> None:
    bench.worker().advance(run_id)
    bench.decide(run_id, "ok", decision)
    bench.worker().advance(run_id)


def test_a_step_waits_for_the_run_it_starts_and_has_its_outputs(bench: Bench) -> None:
    document = {"plan": [call(given={"inputs": {"n": 21}})], "outputs": {"outputs": None}}

    waiting = bench.run(document)
    (child_id,) = children(bench, waiting.run_id)
    finish(bench, child_id)
    bench.worker().advance(waiting.run_id)

    run = bench.shown(waiting.run_id)
    assert (waiting.status, waiting.wait_reason) == ("waiting", "run")
    assert (run.status, run.outputs) == ("completed", {"outputs": {"n": 42}})
    assert bench.steps(run.run_id)["sub"].outputs["run_id"] == str(child_id)


def test_a_run_and_the_run_it_started_name_each_other(bench: Bench) -> None:
    waiting = bench.run({"plan": [call()]})
    other = bench.run({"plan": [call()]})

    with bench.database.begin() as connection:
        (child,) = runs.list_runs(connection, limit=9, parent_run_id=waiting.run_id)

    assert [child.run_id] == children(bench, waiting.run_id)
    assert child.parent_run_id == waiting.run_id
    assert child.parent_step_id == bench.steps(waiting.run_id)["sub"].step_id
    assert (waiting.parent_run_id, other.parent_run_id) == (None, None)


def test_the_end_of_a_run_wakes_the_one_that_waits_for_it(bench: Bench) -> None:
    waiting = bench.run({"plan": [call()]})
    (child_id,) = children(bench, waiting.run_id)

    with bench.database.begin() as connection:
        before = runs.due(connection, now=bench.now(), limit=10)
    finish(bench, child_id)
    with bench.database.begin() as connection:
        after = runs.due(connection, now=bench.now(), limit=10)

    assert waiting.run_id not in before
    assert after == [waiting.run_id]


def test_a_step_that_does_not_wait_is_done_when_the_run_is_started(bench: Bench) -> None:
    run = bench.run({"plan": [call(given={"wait": False})]})

    (child_id,) = children(bench, run.run_id)
    assert run.status == "completed"
    assert bench.steps(run.run_id)["sub"].outputs == {"run_id": str(child_id)}


def test_a_run_that_fails_fails_the_step_that_waits_for_it(bench: Bench) -> None:
    waiting = bench.run({"plan": [call()]})
    (child_id,) = children(bench, waiting.run_id)
    finish(bench, child_id, "rejected")
    bench.worker().advance(waiting.run_id)

    run = bench.shown(waiting.run_id)
    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "sub_run_failed")
    assert run.error["details"]["error"]["code"] == "rejected"


def test_a_run_that_takes_longer_than_its_step_may_is_cancelled_and_tried_again(
    bench: Bench,
) -> None:
    retry = {"max_attempts": 2, "delay": "1m"}
    waiting = bench.run({"plan": [call(timeout="10m", retry=retry)]})
    (first,) = children(bench, waiting.run_id)
    bench.worker().advance(first)

    bench.late = dt.timedelta(minutes=9)
    bench.worker().advance(waiting.run_id)
    early = bench.shown(waiting.run_id)
    bench.late = dt.timedelta(minutes=10, seconds=5)
    with bench.database.begin() as connection:
        due = runs.due(connection, now=bench.now(), limit=10)
    bench.worker().advance(waiting.run_id)
    bench.worker().advance(first)
    retried = bench.shown(waiting.run_id)
    bench.late = dt.timedelta(minutes=12)
    bench.worker().advance(waiting.run_id)
    second = next(one for one in children(bench, waiting.run_id) if one != first)
    finish(bench, second)
    bench.worker().advance(waiting.run_id)

    assert due == [waiting.run_id]
    assert (early.wait_reason, retried.wait_reason) == ("run", "retry")
    assert bench.shown(first).status == "cancelled"
    assert bench.shown(waiting.run_id).status == "completed"


def test_a_failure_within_runs_within_runs_is_told_once(bench: Bench) -> None:
    broken = {"id": "a", "kind": "transform", "set": {"x": "{{ inputs.n.nope }}"}}
    bench.blueprints["bp.child"] = {**CHILD, "plan": [broken]}
    bench.blueprints["bp.middle"] = {"id": "bp.middle", "plan": [call()]}
    outer = bench.run({"plan": [call(given={"blueprint": "bp.middle"})]})
    (middle,) = children(bench, outer.run_id)
    bench.worker().advance(middle)
    (inner,) = children(bench, middle)

    for run_id in (inner, middle, outer.run_id):
        bench.worker().advance(run_id)

    error = bench.shown(outer.run_id).error
    assert error is not None
    assert error["message"].startswith(f"run {middle} ended failed: ")
    assert str(inner) not in error["message"]
    assert error["details"]["error"]["code"] == "undefined_value"


def test_every_item_of_a_foreach_waits_for_a_run_of_its_own(bench: Bench) -> None:
    step = call(foreach=[1, 2, 3], max_parallel=2, given={"inputs": {"n": "{{ item }}"}})

    waiting = bench.run({"plan": [step]})
    first = children(bench, waiting.run_id)
    for child_id in first:
        finish(bench, child_id)
    bench.worker().advance(waiting.run_id)
    second = [one for one in children(bench, waiting.run_id) if one not in first]
    for child_id in second:
        finish(bench, child_id)
    bench.worker().advance(waiting.run_id)

    found = bench.steps(waiting.run_id)["sub"]
    assert (waiting.wait_reason, len(first), len(second)) == ("run", 2, 1)
    assert bench.shown(waiting.run_id).status == "completed"
    assert [item["outputs"]["outputs"]["n"] for item in found.outputs] == [2, 4, 6]


def test_an_item_whose_run_takes_longer_than_it_may_fails_alone(bench: Bench) -> None:
    step = call(
        foreach=[1, 2], max_parallel=2, timeout="10m", given={"inputs": {"n": "{{ item }}"}}
    )
    waiting = bench.run({"plan": [step]})
    quick, slow = children(bench, waiting.run_id)
    bench.worker().advance(slow)
    bench.late = dt.timedelta(minutes=9)
    finish(bench, quick)
    bench.worker().advance(waiting.run_id)
    early = bench.shown(waiting.run_id)

    bench.late = dt.timedelta(minutes=10, seconds=5)
    with bench.database.begin() as connection:
        due = runs.due(connection, now=bench.now(), limit=10)
    bench.worker().advance(waiting.run_id)
    bench.worker().advance(slow)

    run = bench.shown(waiting.run_id)
    error = bench.steps(waiting.run_id)["sub"].error
    assert (early.status, early.wait_reason, due) == ("waiting", "run", [waiting.run_id])
    assert (run.status, bench.shown(slow).status) == ("failed", "cancelled")
    assert error is not None
    assert (error["details"]["items"], error["details"]["first"]["code"]) == ([1], "timeout")
    assert bench.shown(quick).status == "completed"


def test_a_blueprint_that_is_not_there_fails_the_step(bench: Bench) -> None:
    run = bench.run({"plan": [call(given={"blueprint": "bp.other"})]})

    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "not_found")


def test_runs_within_runs_end_at_a_depth(bench: Bench) -> None:
    deep = bench.start({"plan": [call()]}, hops=limits.MAX_DEPTH)
    less_deep = bench.start({"plan": [call()]}, hops=limits.MAX_DEPTH - 1)

    bench.worker().advance(deep)
    bench.worker().advance(less_deep)

    error = bench.shown(deep).error
    assert error is not None
    assert error["code"] == "too_deep"
    assert bench.shown(less_deep).wait_reason == "run"


def test_who_is_cancelled_cancels_the_run_it_waits_for(bench: Bench) -> None:
    waiting = bench.run({"plan": [call()]})
    (child_id,) = children(bench, waiting.run_id)
    bench.worker().advance(child_id)

    with bench.database.begin() as connection:
        runs.request_cancel(connection, waiting.run_id, by="ada", now=bench.now())
    bench.worker().advance(waiting.run_id)
    bench.worker().advance(child_id)

    assert bench.shown(waiting.run_id).status == "cancelled"
    assert bench.shown(child_id).status == "cancelled"
