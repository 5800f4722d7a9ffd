"""Values that nobody knows, in expressions."""

from collections.abc import Mapping
from typing import Any

import pytest

from xyn_reconciler.desired.expression import parse_expression, parse_template, render_value
from xyn_reconciler.desired.unknown import Unknown, UnknownValueError

SCOPE: Mapping[str, Any] = {
    "steps": {
        "ask": Unknown("steps.ask"),
        "mix": {"status": "completed", "outputs": {"a": 1, "b": Unknown("steps.ask")}},
    },
    "inputs": {"x": 2},
}


@pytest.mark.parametrize(
    "expression",
    [
        "steps.ask",
        "steps.ask.status",
        "steps.ask.outputs.body",
        "steps.ask.outputs.body | default(1)",
        "steps.ask.outputs is defined",
        "steps.ask == 1",
        "1 == steps.ask",
        "not steps.ask",
        "'x' in steps.ask",
        "steps.ask in [1]",
        "steps.ask | length",
        "steps.ask | tojson",
        "[steps.ask]",
        "{'a': steps.ask}",
        "steps.mix.outputs",
        "steps.mix.outputs.b",
        "steps.mix.outputs.b | default('', true)",
        "inputs[steps.ask]",
        "1 if steps.ask else 2",
        "steps.ask and true",
        "steps.ask + 1",
        "-steps.ask",
        "'a' ~ steps.ask",
    ],
)
def test_what_needs_an_unknown_value_is_unknown(expression: str) -> None:
    with pytest.raises(UnknownValueError) as found:
        parse_expression(expression).render(SCOPE)

    assert found.value.source == "steps.ask"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("steps.mix.outputs.a", 1),
        ("steps.mix.status", "completed"),
        ("false and steps.ask", False),
        ("true or steps.ask", True),
        ("1 if inputs.x else steps.ask", 1),
        ("inputs.y | default(inputs.x)", 2),
    ],
)
def test_what_only_stands_beside_an_unknown_value_is_known(expression: str, value: object) -> None:
    assert parse_expression(expression).render(SCOPE) == value


def test_a_text_with_an_unknown_value_in_it_is_unknown() -> None:
    with pytest.raises(UnknownValueError, match=r"depends on steps\.ask"):
        parse_template("for {{ steps.ask.outputs.host }}").render(SCOPE)
    with pytest.raises(UnknownValueError):
        render_value({"known": "{{ inputs.x }}", "not": ["{{ steps.ask }}"]}, SCOPE)
