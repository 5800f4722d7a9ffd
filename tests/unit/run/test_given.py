"""What a step's action is given."""

import pytest

from xyn_reconciler.desired.expression import ExpressionError
from xyn_reconciler.model.run import PlannedStep
from xyn_reconciler.run.given import given

ROOTS = {"inputs": {"service": "a; id $(id)", "count": 3}}


def step(**more: object) -> PlannedStep:
    kind = more.pop("kind", "action_task")
    return PlannedStep.model_validate({"key": "a", "kind": kind, "name": "a", **more})


def test_what_goes_into_a_command_line_is_quoted_and_the_rest_keeps_its_type() -> None:
    planned = step(**{"with": {"cmd": "echo {{ inputs.service }}", "n": "{{ inputs.count }}"}})

    assert given(planned, {"cmd"}, ROOTS) == {"cmd": "echo 'a; id $(id)'", "n": 3}
    assert given(planned, (), ROOTS)["cmd"] == "echo a; id $(id)"


def test_a_model_is_given_text_and_only_what_the_step_says() -> None:
    planned = step(kind="agent_task", provider="openai", model="m", prompt="{{ inputs.count }}")

    assert given(planned, (), ROOTS) == {"provider": "openai", "model": "m", "prompt": "3"}


def test_a_prompt_file_may_choose_and_repeat_and_other_prompts_may_not() -> None:
    text = "{% if inputs.count > 2 %}many{% endif %}"
    asked = {"kind": "agent_task", "provider": "openai", "model": "m", "prompt": text}

    assert given(step(**asked, prompt_file="prompts/a.md"), (), ROOTS)["prompt"] == "many"
    with pytest.raises(ExpressionError):
        given(step(**asked), (), ROOTS)
