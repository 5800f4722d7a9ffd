"""From a model's answer to a step's outputs."""

from typing import Any

import pytest

from xyn_reconciler.agent.answers import outputs_of
from xyn_reconciler.agent.openai_provider import is_strict
from xyn_reconciler.agent.question import Answer
from xyn_reconciler.agent.usage import Usage
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

RISK: dict[str, Any] = {
    "type": "object",
    "required": ["risk"],
    "additionalProperties": False,
    "properties": {"risk": {"enum": ["low", "high"]}},
}


def answer(text: str, stopped: str | None = None) -> Answer:
    return Answer(text=text, raw=b"{}", usage=Usage(), stopped=stopped)


def test_with_a_schema_the_outputs_are_the_object_and_without_one_the_text() -> None:
    assert outputs_of(answer('{"risk": "low"}'), RISK) == {"risk": "low"}
    assert outputs_of(answer('{"risk": "low"}'), None) == {"text": '{"risk": "low"}'}


@pytest.mark.parametrize(
    "text",
    [
        '{"risk": "huge"}',
        "{}",
        '["low"]',
        "sure!",
        '{"risk": "low"',
        '{"risk": NaN}',
        "[" * 100_000,
    ],
)
def test_an_answer_that_does_not_fit_is_a_failed_attempt_and_the_next_may_fit(text: str) -> None:
    with pytest.raises(TemporaryError) as caught:
        outputs_of(answer(text), RISK)

    assert caught.value.failure_code == "invalid_output"
    assert caught.value.details == {"text": text[:2000]}


@pytest.mark.parametrize(
    ("stopped", "code", "kind"),
    [
        ("max_tokens", "max_tokens", PermanentError),
        ("refused", "refused", PermanentError),
        ("pause_turn", "refused", PermanentError),
        ("server_error", "provider_error", TemporaryError),
    ],
)
def test_an_answer_that_stopped_early_is_no_answer_even_if_it_fits(
    stopped: str, code: str, kind: type[StepError]
) -> None:
    with pytest.raises(kind) as caught:
        outputs_of(answer('{"risk": "low"}', stopped), RISK)

    assert caught.value.failure_code == code


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (RISK, True),
        (RISK | {"additionalProperties": True}, False),
        ({key: value for key, value in RISK.items() if key != "additionalProperties"}, False),
        (RISK | {"required": []}, False),
        (RISK | {"properties": {"risk": {"type": "array", "items": {"type": "object"}}}}, False),
        (RISK | {"properties": {"risk": {"oneOf": [{"type": "string"}]}}}, False),
    ],
)
def test_only_a_schema_that_openai_can_hold_to_is_called_strict(
    schema: dict[str, Any], *, strict: bool
) -> None:
    assert is_strict(schema) == strict
