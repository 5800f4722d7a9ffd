"""What an approval is bound to: each part of it, and nothing else."""

import re
import uuid
from dataclasses import replace
from typing import Any

import pytest

from xyn_reconciler.model.run import ExecutionPlan, PlanNode, StepStatus, StepView, digest
from xyn_reconciler.run.compile import compile_plan
from xyn_reconciler.run.effect import effect
from xyn_reconciler.run.scope import RunView

NODE = PlanNode(id="seed", env_id="local", stage="dev")
RUN = RunView(
    run_id=uuid.UUID(int=1),
    revision="r1",
    actor="ada",
    inputs={"service": "a; id $(id)", "ref": "team/noc/ssh", "hosts": ["a", "b"]},
)
FIX: dict[str, Any] = {
    "id": "fix",
    "kind": "action_task",
    "action": "ssh.run",
    "when": "inputs.service != ''",
    "idempotency_key": "{{ inputs.service }}",
    "with": {
        "host": "web1",
        "cmd": "systemctl restart {{ inputs.service }}",
        "key_ref": "{{ inputs.ref }}",
    },
}


def planned(*behind: dict[str, Any], blob_id: str = "b1", prompt: str = "") -> ExecutionPlan:
    gate = {"id": "ok", "kind": "gate", "mode": "manual"}
    return compile_plan(
        {"id": "bp.a", "plan": [gate, *behind]},
        path="blueprints/a.yaml",
        blob_id=blob_id,
        files={"prompts/a.md": prompt},
        node=NODE,
    )


def shown(plan: ExecutionPlan, run: RunView = RUN) -> dict[str, Any]:
    views = {step.key: StepView(key=step.key, status=StepStatus.CREATED) for step in plan.steps}
    return effect(plan, run, views, "ok", lambda action: {"cmd"} if action == "ssh.run" else ())


def test_a_command_line_is_shown_exactly_as_it_will_run() -> None:
    (fix,) = shown(planned(FIX))["steps"]

    assert fix["with"]["cmd"] == "systemctl restart 'a; id $(id)'"
    assert fix["secrets"] == ["team/noc/ssh"]


def test_what_cannot_be_rendered_yet_is_shown_as_it_is_written() -> None:
    after = {**FIX, "id": "after", "with": {"host": "b", "cmd": "echo {{ steps.fix.outputs.x }}"}}

    found = shown(planned(FIX, after))["steps"][1]

    assert found["with"] == {"host": "b", "cmd": "echo {{ steps.fix.outputs.x }}"}


@pytest.mark.parametrize(
    "later",
    [
        "{{ steps.fix.outputs.x | default('safe') }}",
        "{{ steps.fix.status }}",
        "{{ 'safe' if steps.fix.outputs is not defined else 'rm' }}",
        "{{ (steps | tojson) }}",
        "{{ item | default('safe') }}",
    ],
)
def test_what_would_be_something_else_later_is_not_shown_as_it_is_now(later: str) -> None:
    after = {**FIX, "id": "after", "with": {"host": "b", "cmd": later}}

    assert shown(planned(FIX, after))["steps"][1]["with"]["cmd"] == later


def test_a_prompt_is_shown_as_the_model_will_read_it() -> None:
    ask = {
        "id": "ask",
        "kind": "agent_task",
        "provider": "openai",
        "model": "m",
        "prompt_file": "prompts/a.md",
    }
    prompt = "{% for host in inputs.hosts %}- {{ host }}\n{% endfor %}"

    (found,) = shown(planned(ask, prompt=prompt))["steps"]

    assert re.sub("data-[0-9a-f]{32}", "data", found["prompt"]) == (
        "- <data>a</data>\n- <data>b</data>\n"
    )


@pytest.mark.parametrize(
    "changed",
    [
        planned(FIX, blob_id="b2"),
        planned({**FIX, "action": "container.exec"}),
        planned({**FIX, "when": "true"}),
        planned({**FIX, "idempotency_key": "k"}),
        planned({**FIX, "foreach": [1]}),
        planned({**FIX, "with": {**FIX["with"], "host": "web2"}}),
        planned({**FIX, "with": {**FIX["with"], "key_ref": "team/other/ssh"}}),
        planned(FIX, {**FIX, "id": "more"}),
        planned(),
    ],
)
def test_any_part_of_what_is_let_through_changes_the_digest(changed: ExecutionPlan) -> None:
    assert digest(shown(changed)) != digest(shown(planned(FIX)))


def test_an_input_that_reaches_a_step_changes_the_digest() -> None:
    other = replace(RUN, inputs={**RUN.inputs, "service": "nginx"})

    assert digest(shown(planned(FIX), other)) != digest(shown(planned(FIX)))


def test_a_merge_of_something_else_changes_no_digest() -> None:
    assert digest(shown(planned(FIX), replace(RUN, revision="r2"))) == digest(shown(planned(FIX)))


def test_what_stands_behind_the_next_gate_is_that_gates_matter() -> None:
    gate = {"id": "again", "kind": "gate", "mode": "manual"}

    keys = [step["key"] for step in shown(planned(FIX, gate, {**FIX, "id": "late"}))["steps"]]

    assert keys == ["fix"]
