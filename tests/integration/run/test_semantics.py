"""The rules of the language's Semantics, one sentence each."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.dto import RunDto
from xyn_reconciler.model.errors import PermanentError, TemporaryError
from xyn_reconciler.run import limits


def transform(key: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    return {"id": key, "kind": "transform", **more}


def act(key: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    return {"id": key, "kind": "action_task", "action": "demo.act", "with": {}, **more}


def statuses(bench: Bench, run: RunDto) -> dict[str, str]:
    return {key: str(step.status) for key, step in bench.steps(run.run_id).items()}


@pytest.fixture
def broken(bench: Bench) -> Tool:
    def fail(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        raise PermanentError("broken", "it is broken")

    bench.actions["demo.act"] = tool = Tool("demo.act", fail)
    return tool


def test_a_step_whose_when_is_not_true_is_skipped_and_what_needs_it_runs(bench: Bench) -> None:
    run = bench.run({"plan": [transform("a", when="1 > 2"), transform("b")]})

    assert statuses(bench, run) == {"a": "skipped", "b": "completed"}


def test_a_when_may_ask_for_the_status_of_a_step(bench: Bench) -> None:
    plan = [transform("a", when="false"), transform("b", when="steps.a.status == 'skipped'")]

    assert statuses(bench, bench.run({"plan": plan}))["b"] == "completed"


def test_a_skipped_step_has_no_outputs_so_asking_for_them_fails_the_step(bench: Bench) -> None:
    plan = [
        transform("a", when="false", set={"x": 1}),
        transform("b", set={"x": "{{ steps.a.outputs.x | default(7) }}"}),
        transform("c", set={"x": "{{ steps.a.outputs.x }}"}),
    ]

    run = bench.run({"plan": plan})

    assert run.error is not None
    assert (run.status, run.error["code"], run.error["step"]) == ("failed", "undefined_value", "c")
    assert bench.steps(run.run_id)["b"].outputs == {"x": 7}


def test_a_failed_step_ends_the_run_and_the_rest_is_skipped(bench: Bench, broken: Tool) -> None:
    run = bench.run({"plan": [act("a"), transform("b")]})

    assert len(broken.calls) == 1
    assert statuses(bench, run) == {"a": "failed", "b": "skipped"}
    assert run.error == {"code": "broken", "message": "it is broken", "step": "a"}


def test_continue_on_error_lets_the_run_end_completed_with_a_warning(
    bench: Bench, broken: Tool
) -> None:
    plan = [
        act("a", continue_on_error=True),
        transform("b", set={"why": "{{ steps.a.error.code }}"}),
    ]

    run = bench.run({"plan": plan, "outputs": {"why": None}})

    assert (run.status, run.warnings, run.outputs) == ("completed", 1, {"why": "broken"})


def test_on_failure_runs_after_a_failure_and_knows_the_error(bench: Bench, broken: Tool) -> None:
    rescue = [transform("tell", set={"text": "{{ run.error.step }}: {{ run.error.message }}"})]

    run = bench.run({"plan": [act("a")], "on_failure": rescue})

    assert run.status == "failed"
    assert bench.steps(run.run_id)["tell"].outputs == {"text": "a: it is broken"}


def test_on_failure_is_skipped_where_nothing_failed(bench: Bench) -> None:
    run = bench.run({"plan": [transform("a")], "on_failure": [transform("tell")]})

    assert statuses(bench, run) == {"a": "completed", "tell": "skipped"}


def test_a_permanent_error_is_tried_again_only_on_any(bench: Bench, broken: Tool) -> None:
    retry = {"max_attempts": 3, "delay": "1ms"}

    bench.run({"plan": [act("a", retry=retry)]})
    once = len(broken.calls)
    run_id = bench.run({"plan": [act("a", retry={**retry, "on": "any"})]}).run_id
    for _ in range(3):
        time.sleep(0.01)
        bench.worker().advance(run_id)

    assert once == 1
    assert len(broken.calls) == 1 + 3
    assert bench.shown(run_id).status == "failed"


def test_defaults_reach_steps_and_not_gates(bench: Bench) -> None:
    gate = {"id": "ok", "kind": "gate", "mode": "manual"}
    run = bench.run({"defaults": {"timeout": "1s"}, "plan": [gate]})

    bench.late = dt.timedelta(hours=1)
    bench.worker().advance(run.run_id)

    assert bench.shown(run.run_id).status == "waiting"


def test_an_attempt_over_its_timeout_has_failed_with_that_code(bench: Bench) -> None:
    def wait(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        time.sleep(max(0.0, context.seconds_left()))
        raise TemporaryError("timeout", "too slow")

    bench.actions["demo.act"] = Tool("demo.act", wait)

    run = bench.run({"plan": [act("a", timeout="50ms")]})

    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "timeout")


def test_an_action_that_ignores_its_timeout_is_abandoned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ignore(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        time.sleep(3)
        return {}

    monkeypatch.setattr(limits, "CANCEL_GRACE", dt.timedelta(milliseconds=50))
    bench.actions["demo.act"] = Tool("demo.act", ignore)

    run = bench.run({"plan": [act("a", timeout="50ms")]})

    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "timeout")


def test_a_run_over_its_timeout_stops_what_is_under_way_and_fails(bench: Bench) -> None:
    def wait(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        while not context.cancelled():
            time.sleep(0.01)
        raise PermanentError("cancelled", "told to stop")

    bench.actions["demo.act"] = Tool("demo.act", wait)

    run = bench.run({"timeout": "200ms", "plan": [act("a"), transform("b")]})

    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "run_timeout")
    assert statuses(bench, run) == {"a": "cancelled", "b": "skipped"}


def test_every_item_of_a_foreach_reaches_an_end_also_beside_one_that_fails(bench: Bench) -> None:
    def odd(inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        if inputs["n"] == 2:
            raise PermanentError("even", "two is even")
        return {"n": inputs["n"]}

    bench.actions["demo.act"] = Tool("demo.act", odd)
    step = act("a", foreach=[1, 2, 3], continue_on_error=True, **{"with": {"n": "{{ item }}"}})

    run = bench.run({"plan": [step]})

    found = bench.steps(run.run_id)["a"]
    assert (run.status, run.warnings) == ("completed", 1)
    assert [item["status"] for item in found.outputs] == ["completed", "failed", "completed"]
    assert found.error is not None
    assert (found.error["code"], found.error["details"]["items"]) == ("items_failed", [1])


def test_an_item_is_tried_again_by_itself(bench: Bench) -> None:
    seen: list[int] = []

    def flaky(inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        seen.append(inputs["n"])
        if inputs["n"] == 2 and seen.count(2) == 1:
            raise TemporaryError("connection", "no route")
        return {}

    bench.actions["demo.act"] = Tool("demo.act", flaky)
    retry = {"max_attempts": 2, "delay": "20s"}
    step = act("a", foreach=[1, 2, 3], retry=retry, **{"with": {"n": "{{ item }}"}})

    run = bench.run({"plan": [step]})
    waiting = run.wait_reason
    bench.late = dt.timedelta(seconds=30)
    bench.worker().advance(run.run_id)

    assert waiting == "retry"
    assert seen == [1, 2, 3, 2]
    assert bench.shown(run.run_id).status == "completed"


def test_no_more_items_run_at_a_time_than_max_parallel(bench: Bench) -> None:
    now, most = [0], [0]

    def count(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        now[0] += 1
        most[0] = max(most[0], now[0])
        time.sleep(0.02)
        now[0] -= 1
        return {}

    bench.actions["demo.act"] = Tool("demo.act", count)

    bench.run({"plan": [act("a", foreach=list(range(6)), max_parallel=2)]})

    assert most[0] == 2


def test_data_is_never_rendered_again(bench: Bench) -> None:
    document = {
        "inputs": {"text": {"type": "string"}},
        "plan": [transform("a", set={"x": "{{ inputs.text }}"})],
        "outputs": {"x": "{{ steps.a.outputs.x }}"},
    }

    run = bench.run(document, {"text": "{{ node.id }}"})

    assert run.outputs == {"x": "{{ node.id }}"}


def test_a_run_whose_inputs_do_not_fit_is_born_failed(bench: Bench) -> None:
    document = {"inputs": {"n": {"type": "integer"}}, "plan": [transform("a")]}

    run_id = bench.start(document, {"n": "many"})
    bench.worker().advance(run_id)

    run = bench.shown(run_id)
    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "invalid_inputs")
    assert statuses(bench, run) == {"a": "skipped"}


def test_http_call_reaches_the_outside_only_where_egress_allows(bench: Bench) -> None:
    step = {
        "id": "call",
        "kind": "action_task",
        "action": "http.call",
        "with": {"url": "http://127.0.0.1:9/"},
    }

    run = bench.run({"plan": [step]})

    assert run.error is not None
    assert run.error["code"] == "egress_denied"
    assert 'egress: {allow: ["127.0.0.1:9"]}' in run.error["message"]
