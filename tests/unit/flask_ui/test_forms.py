from typing import Any

import pytest

from flask_ui import forms

SCHEMAS: dict[str, dict[str, Any]] = {
    "host": {"type": "string", "from": "{{ event.data.host }}"},
    "times": {"type": "integer", "default": 3},
    "share": {"type": "number", "default": 0.5},
    "deep": {"type": "object", "default": {}},
    "loud": {"type": "boolean", "default": False},
    "tone": {"enum": ["kind", 7], "default": "kind"},
}


def test_what_was_typed_becomes_values_of_the_schemas_types() -> None:
    given = {
        "input.host": "web-1",
        "input.times": "4",
        "input.share": "0.25",
        "input.deep": '{"a": [1]}',
        "input.loud": "true",
        "input.tone": "7",
    }

    values, errors = forms.read(SCHEMAS, given)

    assert values == {
        "host": "web-1",
        "times": 4,
        "share": 0.25,
        "deep": {"a": [1]},
        "loud": True,
        "tone": 7,
    }
    assert errors == {}


def test_an_empty_field_with_a_default_is_left_to_the_default() -> None:
    values, errors = forms.read(SCHEMAS, {"input.host": "web-1", "input.times": ""})

    assert values == {"host": "web-1"}
    assert errors == {}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("host", "", "fill this in"),
        ("times", "four", "a number"),
        ("times", "4.5", "a whole number"),
        ("times", "true", "a number"),
        ("share", "NaN", "a number"),
        ("share", "1e999", "a number"),
        ("deep", "{", "JSON"),
        ("deep", "[" * 100_000, "nest"),
        ("tone", "loud", "one of the values"),
        ("loud", "maybe", "yes or no"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(name: str, text: str, says: str) -> None:
    _, errors = forms.read(SCHEMAS, {"input.host": "web-1", f"input.{name}": text})

    assert list(errors) == [name]
    assert says in errors[name]


@pytest.mark.parametrize(("text", "value"), [("", None), ("null", None), ("4", 4)])
def test_an_input_that_may_be_null_is_null_when_left_empty(text: str, value: int | None) -> None:
    schemas = {"n": {"type": ["integer", "null"]}}

    assert forms.read(schemas, {"input.n": text}) == ({"n": value}, {})
    assert not forms.is_required(schemas["n"])


def test_fields_show_again_what_was_typed_and_what_was_wrong() -> None:
    found = forms.fields(SCHEMAS, {"input.times": "four"}, {"times": "write a number"})

    times = next(field for field in found if field.name == "times")
    assert (times.kind, times.value, times.error) == ("number", "four", "write a number")
    assert (times.required, times.placeholder) == (False, "3")
    assert next(field for field in found if field.name == "host").required


def test_no_input_can_pass_for_a_field_of_ours() -> None:
    (field,) = forms.fields({"effect_digest": {"type": "string"}})

    assert field.form_name == "input.effect_digest"
