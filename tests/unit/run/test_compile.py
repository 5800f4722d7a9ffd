"""From a normalised document to a plan with every default filled in."""

import uuid
from dataclasses import replace
from datetime import timedelta as delta
from typing import Any

import pytest

from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import ExecutionPlan, PlanNode, RetryPolicy
from xyn_reconciler.run.compile import compile_inputs, compile_plan, compile_run
from xyn_reconciler.run.retry import Failure, retry_at
from xyn_reconciler.run.worker import utc_now

NODE = PlanNode(id="seed", env_id="local", stage="dev")


def event(**data: Any) -> Event:  # noqa: ANN401 - JSON
    return Event(
        event_id=uuid.uuid4(),
        event_name="disk.full",
        occurred_at=utc_now(),
        env_id="local",
        actor="ada",
        correlation_id="c",
        data=data,
    )


def compiled(node: PlanNode = NODE, **document: Any) -> ExecutionPlan:  # noqa: ANN401 - keys of a blueprint
    whole = {"id": "bp.a", "plan": [{"id": "a", "kind": "transform"}], **document}
    files = {"prompts/fix.md": "fix {{ inputs.host }}"}
    return compile_plan(whole, path="blueprints/a.yaml", blob_id="1", files=files, node=node)


def test_needs_is_the_step_before_where_nothing_is_said() -> None:
    steps = [
        {"id": "a", "kind": "transform"},
        {"id": "b", "kind": "transform"},
        {"id": "c", "kind": "transform", "needs": []},
        {"id": "d", "kind": "transform", "needs": ["a", "c"]},
    ]

    plan = compiled(plan=steps)

    assert [step.needs for step in plan.steps] == [(), ("a",), (), ("a", "c")]


def test_defaults_are_taken_key_by_key_and_never_by_gates() -> None:
    steps = [
        {"id": "a", "kind": "action_task", "action": "x", "with": {}, "retry": {"delay": "1s"}},
        {"id": "g", "kind": "gate", "mode": "manual"},
    ]

    plan = compiled(plan=steps, defaults={"retry": {"max_attempts": 3}, "timeout": "2m"})

    assert plan.steps[0].retry.max_attempts == 3
    assert plan.steps[0].retry.delay == 1.0
    assert plan.steps[0].timeout == 120.0
    assert plan.steps[1].timeout is None


def test_a_prompt_file_is_read_into_the_plan() -> None:
    step = {
        "id": "ask",
        "kind": "agent_task",
        "provider": "openai",
        "model": "m",
        "prompt_file": "prompts/fix.md",
    }

    assert compiled(plan=[step]).steps[0].prompt == "fix {{ inputs.host }}"


@pytest.mark.parametrize(
    ("retry", "attempts"), [(None, 2), ({"delay": "3s"}, 2), ({"max_attempts": 1}, 1)]
)
def test_whom_to_ask_next_gives_attempts_where_the_step_counts_none(
    retry: dict[str, Any] | None, attempts: int
) -> None:
    both = {name: {"enabled": True} for name in ("openai", "anthropic")}
    models = {
        "aliases": {"fast": {"provider": "openai", "model": "small"}},
        "fallback": [
            {"provider": "anthropic", "model": "c"},
            {"provider": "local", "model": "off"},
        ],
    }
    node = NODE.model_copy(update={"providers": both, "models": models})
    step = {"id": "ask", "kind": "agent_task", "model": "fast", "prompt_template": "hello"}

    plan = compiled(node, plan=[step | ({} if retry is None else {"retry": retry})])

    assert plan.steps[0].retry.max_attempts == attempts


def test_a_run_may_not_take_longer_than_the_node_allows() -> None:
    node = NODE.model_copy(update={"limits": {"run_timeout": 60.0}})

    assert compiled(node, timeout="10s").timeout == 10.0
    assert compiled(node, timeout="2h").timeout == 60.0
    assert compiled().timeout == 3600.0


def test_an_input_comes_from_hand_then_from_the_event_then_from_its_default() -> None:
    plan = compiled(
        inputs={
            "host": {"type": "string", "from": "{{ event.data.host }}"},
            "port": {"type": "integer", "from": "{{ event.data.port }}", "default": 22},
        }
    )

    assert compile_inputs(plan, event(host="web1"), None) == ({"host": "web1", "port": 22}, None)
    assert compile_inputs(plan, None, {"host": "web2"}) == ({"host": "web2", "port": 22}, None)


@pytest.mark.parametrize(
    ("data", "given", "name", "words"),
    [
        ({}, None, "host", "event.data.host has no value"),
        ({"host": 1}, None, "host", "1 is not of type 'string'"),
        (None, {}, "host", "it has no value"),
        (None, {"host": "a", "hots": "b"}, "hots", "there is no such input"),
    ],
)
def test_inputs_that_do_not_fit_are_named_with_the_reason(
    data: dict[str, Any] | None, given: dict[str, Any] | None, name: str, words: str
) -> None:
    plan = compiled(inputs={"host": {"type": "string", "from": "{{ event.data.host }}"}})

    _, error = compile_inputs(plan, None if data is None else event(**data), given)

    assert error is not None
    assert error["code"] == "invalid_inputs"
    assert words in error["details"]["inputs"][name]


def test_a_plan_with_too_many_steps_is_an_error_of_the_run() -> None:
    node = NODE.model_copy(update={"limits": {"max_steps": 1}})
    steps = [{"id": key, "kind": "transform"} for key in ("a", "b")]

    run = compile_run(
        {"id": "bp.long", "plan": steps},
        path="p",
        blob_id="2",
        files={},
        node=node,
        event=None,
        given=None,
    )

    assert run.error is not None
    assert run.error["code"] == "too_many_steps"


def test_an_unchanged_blueprint_gives_the_same_plan_and_digest() -> None:
    def once(node: PlanNode) -> str:
        return compile_run(
            {"id": "bp.a", "plan": [{"id": "a", "kind": "transform"}]},
            path="p",
            blob_id="3",
            files={},
            node=node,
            event=None,
            given=None,
        ).digest

    assert once(NODE) == once(NODE.model_copy())
    assert once(NODE) != once(NODE.model_copy(update={"stage": "prod"}))


def test_a_retrys_delay_doubles_up_to_its_cap_and_never_undercuts_retry_after() -> None:
    policy = RetryPolicy(max_attempts=9, delay=2.0, max_delay=10.0)
    failure, now = Failure("connection", "", temporary=True), utc_now()
    asked = replace(failure, delay=delta(seconds=30))

    waits = [retry_at(policy, failure, count, now, 0.0) for count in range(1, 5)]

    assert waits == [now + delta(seconds=seconds) for seconds in (2, 4, 8, 10)]
    assert retry_at(policy, failure, 1, now, 1.0) == now + delta(seconds=2.5)
    assert retry_at(policy, asked, 1, now, 0.0) == now + delta(seconds=30)
    assert retry_at(policy, failure, 9, now, 0.0) is None
