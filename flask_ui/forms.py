"""Forms made of JSON Schemas: what a blueprint's ``inputs`` or a gate's ``form`` ask for.

Pure: a schema in, fields out; what was typed in, JSON values or what to mend
out. An empty field that need not be filled is left out, so that the schema's
default applies behind us; an input without one that may be ``null`` is ``null``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.trigger import json_body
from xyn_reconciler.trigger.json_body import InvalidJsonError

FieldKind = Literal["text", "number", "choice", "flag", "json", "lines", "secret"]

_KINDS: Final[dict[str, FieldKind]] = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "flag",
}
PREFIX: Final = "input."
"""Field names on the page begin with it, so that no input can pass for a field of ours."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``value`` is the text in it, ``error`` what to mend."""

    name: str
    label: str
    kind: FieldKind
    required: bool
    description: str | None = None
    choices: tuple[str, ...] = ()
    placeholder: str = ""
    value: str = ""
    error: str | None = None

    @property
    def form_name(self) -> str:
        return PREFIX + self.name


def fields(
    schemas: Mapping[str, Mapping[str, Any]],
    given: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> list[Field]:
    """Fields for name -> schema, with what was typed before and what was wrong with it."""
    return [
        _field(name, schema, (given or {}).get(PREFIX + name, ""), (errors or {}).get(name))
        for name, schema in schemas.items()
    ]


def read(
    schemas: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and errors by name; a name is in one of them, or was left empty."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, schema in schemas.items():
        text = given.get(PREFIX + name, "")
        if not text:
            if is_required(schema):
                errors[name] = "fill this in"
            elif "default" not in schema:
                values[name] = None
            continue
        try:
            values[name] = _value(schema, text)
        except ValueError as error:
            errors[name] = str(error)
    return values, errors


def is_required(schema: Mapping[str, Any]) -> bool:
    """An input without a default is needed, unless it says otherwise or ``null`` will do."""
    return "default" not in schema and not _nullable(schema)


def _nullable(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", [])
    return "null" in kinds if isinstance(kinds, list) else kinds == "null"


def _kind(schema: Mapping[str, Any]) -> FieldKind:
    if "enum" in schema:
        return "choice"
    kinds = schema.get("type", "json")
    if isinstance(kinds, list):
        named = [kind for kind in kinds if kind != "null"]
        kinds = named[0] if len(named) == 1 else "json"
    return _KINDS.get(kinds, "json")


def _field(name: str, schema: Mapping[str, Any], value: str, error: str | None) -> Field:
    kind = _kind(schema)
    default = schema.get("default")
    return Field(
        name=name,
        label=schema.get("title") or name,
        kind=kind,
        required=is_required(schema),
        description=schema.get("description"),
        choices=tuple(as_text(choice) for choice in schema.get("enum", ())),
        placeholder="" if default is None else as_text(default),
        value=value,
        error=error,
    )


def _value(schema: Mapping[str, Any], text: str) -> Any:  # noqa: ANN401 - any JSON value
    kind = _kind(schema)
    if kind == "text":
        return text
    if kind == "choice":
        for choice in schema["enum"]:
            if as_text(choice) == text:
                return choice
        raise ValueError("choose one of the values offered")
    if kind == "flag":
        if text not in ("true", "false"):
            raise ValueError("choose yes or no")
        return text == "true"
    return _json(schema, text, number=kind == "number")


def _json(schema: Mapping[str, Any], text: str, *, number: bool) -> Any:  # noqa: ANN401 - any JSON value
    try:
        value = json_body.read(text.encode())
    except InvalidJsonError as error:
        said = error.message.replace("the body is", "this is")
        raise ValueError("write a number" if number else said) from error
    if value is None and _nullable(schema):
        return None
    if number and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError("write a number")
    if schema.get("type") == "integer" and not isinstance(value, int):
        raise ValueError("write a whole number")
    return value


def as_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Give what a person would type for a value."""
    return value if isinstance(value, str) else json.dumps(value)
