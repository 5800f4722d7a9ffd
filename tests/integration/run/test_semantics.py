"""The rules of the language's Semantics, one sentence each."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.dto import RunDto
from xyn_reconciler.model.errors import PermanentError, TemporaryError
from xyn_reconciler.run import limits
from xyn_reconciler.store import gates, runs


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


def test_a_leap_of_the_clock_takes_neither_step_nor_run_for_overdue(bench: Bench) -> None:
    def leap(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        bench.late += dt.timedelta(hours=2)
        return {}

    def outlast(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        bench.wait_for(lambda: bench.steps(context.run_id)["leap"].status == "completed")
        return {"done": True}

    bench.actions |= {"demo.leap": Tool("demo.leap", leap), "demo.act": Tool("demo.act", outlast)}

    run = bench.run({"plan": [act("slow"), act("leap", needs=[], action="demo.leap")]})

    assert statuses(bench, run) == {"slow": "completed", "leap": "completed"}


def test_a_run_over_its_timeout_stops_what_is_under_way_and_fails(bench: Bench) -> None:
    def wait(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        while not context.cancelled():
            time.sleep(0.01)
        raise PermanentError("cancelled", "told to stop")

    bench.actions["demo.act"] = Tool("demo.act", wait)

    run = bench.run({"timeout": "1s", "plan": [act("a"), transform("b")]})

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


def test_steps_run_from_top_to_bottom_where_they_say_nothing_about_needs(bench: Bench) -> None:
    seen: list[str] = []

    def note(inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        seen.append(inputs["key"])
        return {}

    bench.actions["demo.act"] = Tool("demo.act", note)

    bench.run({"plan": [act(key, **{"with": {"key": key}}) for key in ("c", "a", "b")]})

    assert seen == ["c", "a", "b"]


def test_on_timeout_tries_again_after_a_timeout_alone(bench: Bench) -> None:
    errors = iter([TemporaryError("timeout", "too slow"), TemporaryError("connection", "gone")])

    def fail(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        raise next(errors)

    bench.actions["demo.act"] = tool = Tool("demo.act", fail)
    retry = {"max_attempts": 3, "delay": "1ms", "on": "timeout"}

    run_id = bench.run({"plan": [act("a", retry=retry)]}).run_id
    time.sleep(0.01)
    bench.worker().advance(run_id)

    error = bench.shown(run_id).error
    assert error is not None
    assert (len(tool.calls), error["code"]) == (2, "connection")


def test_a_delay_doubles_up_to_max_delay_where_backoff_is_exponential(bench: Bench) -> None:
    def fail(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        raise TemporaryError("connection", "gone")

    bench.actions["demo.act"] = Tool("demo.act", fail)
    retry = {"max_attempts": 4, "delay": "10s", "backoff": "exponential", "max_delay": "30s"}
    run_id = bench.run({"plan": [act("a", retry=retry)]}).run_id

    delays = []
    for _ in range(3):
        with bench.database.begin() as connection:
            due_at = connection.execute(
                text("SELECT available_at FROM steps WHERE run_id = :run"), {"run": run_id}
            ).scalar_one()
        delays.append(round((due_at - bench.now()).total_seconds()))
        bench.late += due_at - bench.now() + dt.timedelta(milliseconds=1)
        bench.worker().advance(run_id)

    assert delays == [10, 20, 30]
    assert bench.shown(run_id).status == "failed"


def test_an_attempt_is_a_record_of_its_own(bench: Bench) -> None:
    errors = iter([TemporaryError("connection", "gone"), None])

    def flaky(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        error = next(errors)
        if error is not None:
            raise error
        return {"ok": True}

    bench.actions["demo.act"] = Tool("demo.act", flaky)
    step = act("a", retry={"max_attempts": 2, "delay": "1ms"}, idempotency_key="k")
    run_id = bench.run({"plan": [step]}).run_id
    time.sleep(0.01)
    bench.worker().advance(run_id)

    with bench.database.begin() as connection:
        rows = connection.execute(
            text(
                "SELECT number, a.status, idempotency_key, a.error ->> 'code' FROM attempts a"
                " JOIN steps USING (step_id) WHERE run_id = :run ORDER BY number"
            ),
            {"run": run_id},
        ).all()
    assert [tuple(row) for row in rows] == [
        (1, "failed", "k", "connection"),
        (2, "completed", "k", None),
    ]


def test_a_failure_under_continue_on_error_counts_as_an_end_for_a_join(
    bench: Bench, broken: Tool
) -> None:
    del broken
    plan = [
        act("a", needs=[], continue_on_error=True),
        transform("b", needs=[], when="false"),
        transform("c", needs=["a", "b"]),
    ]

    run = bench.run({"plan": plan})

    assert statuses(bench, run) == {"a": "failed", "b": "skipped", "c": "completed"}


def test_on_failure_does_not_run_after_a_cancel(bench: Bench) -> None:
    gate = {"id": "ok", "kind": "gate", "mode": "manual"}
    run = bench.run({"plan": [gate], "on_failure": [transform("tell")]})
    with bench.database.begin() as connection:
        runs.request_cancel(connection, run.run_id, by="ada", now=bench.now())

    bench.worker().advance(run.run_id)

    assert statuses(bench, run) == {"ok": "cancelled", "tell": "cancelled"}


def test_a_run_keeps_the_plan_it_began_with(bench: Bench) -> None:
    gate = {"id": "ok", "kind": "gate", "mode": "manual"}
    old = bench.run({"plan": [gate, transform("end", set={"n": 1})], "outputs": {"n": None}})

    bench.run({"plan": [gate, transform("end", set={"n": 2})]})
    bench.decide(old.run_id, "ok", "approved")
    bench.worker("another").advance(old.run_id)

    assert bench.shown(old.run_id).outputs == {"n": 1}


def test_a_gate_of_vars_and_defaults_takes_vars_and_no_defaults(bench: Bench) -> None:
    document = {
        "vars": {"greeting": "hello"},
        "defaults": {"timeout": "1s", "retry": {"max_attempts": 9}},
        "plan": [
            {"id": "ok", "kind": "gate", "mode": "manual", "when": "vars.greeting == 'hello'"},
        ],
    }

    run = bench.run(document)
    with bench.database.begin() as connection:
        gate = gates.list_gates(connection, limit=1)[0]

    assert run.wait_reason == "gate"
    assert gate.expires_at is None


def test_vars_are_rendered_once_and_one_without_a_value_fails_only_who_asks(bench: Bench) -> None:
    document = {
        "inputs": {"host": {"type": "string"}},
        "vars": {
            "url": "https://{{ inputs.host }}/",
            "list": "{{ [1, 2] }}",
            "none": "{{ event.data.nothing }}",
        },
        "plan": [
            transform("a", set={"url": "{{ vars.url }}", "list": "{{ vars.list }}"}),
            transform("b", set={"x": "{{ vars.none }}"}),
        ],
    }

    run = bench.run(document, {"host": "{{ node.id }}"})

    outputs = {"url": "https://{{ node.id }}/", "list": [1, 2]}
    assert bench.steps(run.run_id)["a"].outputs == outputs
    assert statuses(bench, run) == {"a": "completed", "b": "failed"}


def test_a_value_that_is_one_expression_keeps_its_type(bench: Bench) -> None:
    step = transform("a", set={"whole": "{{ [1, 2] }}", "part": "n {{ [1, 2] }}"})

    run = bench.run({"plan": [step]})

    assert bench.steps(run.run_id)["a"].outputs == {"whole": [1, 2], "part": "n [1, 2]"}
