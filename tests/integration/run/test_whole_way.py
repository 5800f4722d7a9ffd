"""A run from its insertion to its end, on a real database."""

import datetime as dt
import json

import pytest

from tests.integration.run.engine_bench import SECRET, Bench, Tool
from xyn_reconciler.model.dto import StepDto
from xyn_reconciler.model.errors import TemporaryError
from xyn_reconciler.store import gates


def transform(key: str, **more: object) -> dict[str, object]:
    return {"id": key, "kind": "transform", **more}


def test_a_run_of_transforms_computes_its_outputs_from_its_inputs(bench: Bench) -> None:
    run = bench.run(
        {
            "inputs": {"host": {"type": "string"}},
            "plan": [
                transform("name", set={"fqdn": "{{ inputs.host }}.example.net"}),
                transform("greet", set={"text": "hello {{ steps.name.outputs.fqdn }}"}),
            ],
            "outputs": {"text": "{{ steps.greet.outputs.text }}", "fqdn": None},
        },
        {"host": "web1"},
    )

    assert run.status == "completed"
    assert run.outputs == {"text": "hello web1.example.net", "fqdn": "web1.example.net"}
    assert bench.told(run.run_id) == [
        "run.completed",
        "run.started",
        "step.completed",
        "step.completed",
        "step.started",
        "step.started",
    ]


def test_an_action_runs_between_transforms_and_a_gate_waits_for_a_person(bench: Bench) -> None:
    call = Tool("demo.call", lambda inputs, _: {"answer": inputs["ask"].upper()})
    bench.actions["demo.call"] = call
    document = {
        "plan": [
            transform("ask", set={"text": "ready?"}),
            {
                "id": "call",
                "kind": "action_task",
                "action": "demo.call",
                "with": {"ask": "{{ steps.ask.outputs.text }}"},
            },
            {"id": "approve", "kind": "gate", "mode": "manual"},
            transform("end", set={"by": "{{ steps.approve.outputs.approvers }}"}),
        ],
        "outputs": {"by": None, "answer": None},
    }

    waiting = bench.run(document)
    asked = bench.steps(waiting.run_id)["approve"]
    bench.decide(waiting.run_id, "approve", "approved", comment="go on")
    bench.worker("w2").advance(waiting.run_id)
    ended = bench.shown(waiting.run_id)

    assert (waiting.status, waiting.wait_reason, asked.status) == ("waiting", "gate", "waiting")
    assert ended.status == "completed"
    assert ended.outputs == {"by": ["operator"], "answer": "READY?"}
    assert call.calls == [{"ask": "ready?"}]
    assert bench.steps(ended.run_id)["approve"].outputs == {
        "decision": "approved",
        "approvers": ["operator"],
        "comment": "go on",
        "form": None,
    }
    assert "run.waiting" in bench.told(ended.run_id)


def test_one_log_of_a_run_grows_over_its_waits_and_every_step_points_to_it(bench: Bench) -> None:
    gate = {"id": "approve", "kind": "gate", "mode": "manual"}
    waiting = bench.run({"plan": [transform("one"), gate, transform("two")]})
    first = bench.log(waiting.run_id)

    bench.decide(waiting.run_id, "approve", "approved")
    bench.worker().advance(waiting.run_id)
    second = bench.log(waiting.run_id)

    lines = [json.loads(line) for line in second.splitlines()]
    assert second.startswith(first)
    assert [line["step"] for line in lines if line["message"] == "completed"] == [
        "one",
        "approve",
        "two",
    ]
    assert len({step.logs_artifact_id for step in bench.steps(waiting.run_id).values()}) == 1


def test_secrets_reach_the_action_and_nothing_that_is_kept(bench: Bench) -> None:
    def leak(inputs: dict[str, str], context: object) -> dict[str, str]:
        context.log(f"using {inputs['token']}")  # type: ignore[attr-defined]  # an ActionContext
        return {"echo": inputs["token"]}

    tool = Tool("demo.leak", leak)
    bench.actions["demo.leak"] = tool
    run = bench.run(
        {
            "plan": [
                {
                    "id": "leak",
                    "kind": "action_task",
                    "action": "demo.leak",
                    "with": {"token": SECRET},
                }
            ],
            "outputs": {"echo": None},
        }
    )

    step: StepDto = bench.steps(run.run_id)["leak"]
    assert tool.calls == [{"token": SECRET}]
    assert step.inputs == {"token": "[redacted]"}
    assert run.outputs == {"echo": "[redacted]"}
    assert SECRET not in bench.log(run.run_id)


def test_a_retry_waits_its_delay_and_then_runs_again(bench: Bench) -> None:
    answers = iter([TemporaryError("connection", "no route"), None])

    def flaky(_inputs: object, _context: object) -> dict[str, bool]:
        error = next(answers)
        if error is not None:
            raise error
        return {"ok": True}

    bench.actions["demo.flaky"] = Tool("demo.flaky", flaky)
    step = {
        "id": "call",
        "kind": "action_task",
        "action": "demo.flaky",
        "with": {},
        "retry": {"max_attempts": 2, "delay": "30s"},
    }

    waiting = bench.run({"plan": [step]})
    bench.worker().advance(waiting.run_id)
    still = bench.shown(waiting.run_id)
    bench.late += dt.timedelta(seconds=31)
    bench.worker().advance(waiting.run_id)
    ended = bench.shown(waiting.run_id)

    assert (waiting.status, waiting.wait_reason) == ("waiting", "retry")
    assert still.status == "waiting"
    assert ended.status == "completed"
    assert bench.steps(ended.run_id)["call"].attempt == 2


def test_a_gate_shows_what_it_lets_through(bench: Bench) -> None:
    run = bench.run(
        {
            "vars": {"host": "web1"},
            "plan": [
                {"id": "approve", "kind": "gate", "mode": "manual"},
                {
                    "id": "fix",
                    "kind": "action_task",
                    "action": "ssh.run",
                    "with": {
                        "host": "{{ vars.host }}",
                        "who": "{{ steps.approve.outputs.approvers }}",
                        "key_ref": "team/noc/ssh",
                    },
                },
            ],
        }
    )

    with bench.database.begin() as connection:
        gate = gates.list_gates(connection, limit=10)[0]
    assert gate.run_id == run.run_id
    assert gate.effect["steps"] == [
        {
            "key": "fix",
            "kind": "action_task",
            "action": "ssh.run",
            "secrets": ["team/noc/ssh"],
            "with": {
                "host": "web1",
                "who": "{{ steps.approve.outputs.approvers }}",
                "key_ref": "team/noc/ssh",
            },
        }
    ]


def test_an_action_that_is_not_installed_fails_its_step_with_a_clear_sentence(
    bench: Bench,
) -> None:
    run = bench.run(
        {"plan": [{"id": "fix", "kind": "action_task", "action": "demo.gone", "with": {}}]}
    )

    assert run.status == "failed"
    assert run.error == {
        "code": "not_installed",
        "message": "the action demo.gone cannot be run on this node",
        "step": "fix",
    }


@pytest.mark.parametrize("count", [0, 3])
def test_foreach_gives_one_output_an_item_in_their_order(bench: Bench, count: int) -> None:
    bench.actions["demo.echo"] = Tool("demo.echo", lambda inputs, _: dict(inputs))
    run = bench.run(
        {
            "vars": {"names": [f"n{i}" for i in range(count)]},
            "plan": [
                {
                    "id": "each",
                    "kind": "action_task",
                    "action": "demo.echo",
                    "foreach": "{{ vars.names }}",
                    "max_parallel": 2,
                    "with": {"name": "{{ item }}", "at": "{{ item_index }}"},
                }
            ],
        }
    )

    step = bench.steps(run.run_id)["each"]
    assert run.status == "completed"
    if count == 0:
        assert step.status == "skipped"
        return
    assert [item["outputs"] for item in step.outputs] == [
        {"name": f"n{i}", "at": i} for i in range(count)
    ]
    assert {item["status"] for item in step.outputs} == {"completed"}
