"""Whether a value that an author wrote fits a JSON Schema, templates aside.

Used for an input's default and for what a step gives to its action. A text with
``{{ }}`` becomes a value only in a run, so nothing is said of it, nor of what
contains it where only the whole could tell. The trap: jsonschema's own messages
repeat the value, which may be a secret; these do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from jsonschema.exceptions import ValidationError

from xyn_reconciler.desired.source import JSON
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.schema_check import SafeValidator


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something that does not fit; ``message`` continues "the value ..."."""

    place: tuple[str | int, ...]
    code: str
    message: str

    @property
    def names_value(self) -> bool:
        """Whether it is about the value at its place, and not about a key of it."""
        return bool(self.place) and self.code in ("wrong_type", "bad_value")


_KEYS: Final = frozenset({"required", "additionalProperties", "unevaluatedProperties"})
"""Rules about an object's keys, which are plain text always."""


def misfits(schema: Mapping[str, Any], value: JSON) -> list[Misfit]:
    """Give all that is wrong, in the value's order; ``schema`` is one that its model took."""
    errors = sorted(SafeValidator(schema).iter_errors(value), key=lambda e: str(e.absolute_path))
    return list(dict.fromkeys(misfit for error in errors for misfit in _misfits(error)))


def _misfits(error: ValidationError) -> Iterator[Misfit]:
    place = tuple(error.absolute_path)
    rule = str(error.validator)
    if rule in _KEYS:
        yield from _keys(error, place, rule)
    elif rule in ("oneOf", "anyOf") and (names := _one_key_each(error.validator_value)):
        yield _choice(error, place, names)
    elif not has_template(cast("JSON", error.instance)):
        yield Misfit(place, *_words(rule, error.validator_value))


def _keys(error: ValidationError, place: tuple[str | int, ...], rule: str) -> Iterator[Misfit]:
    given = error.instance if isinstance(error.instance, dict) else {}
    rules: Any = error.validator_value
    known = tuple(error.schema.get("properties", {})) if isinstance(error.schema, dict) else ()
    if rule == "required":
        # One error of jsonschema's is about one name, and does not say which: tell all of them.
        for name in rules:
            if name not in given:
                yield Misfit(place, "missing_key", f"needs {quoted(name)}")
        return
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there is {', '.join(known) or 'none'}"
            yield Misfit((*place, name), "unknown_key", f"has no key {quoted(name)}{hint}")


def _one_key_each(branches: Any) -> list[str]:  # noqa: ANN401 - whatever the keyword holds
    """Give the names of a choice among single keys, such as ``argv`` or ``cmd``; [] for another."""
    required = [each.get("required") for each in branches if isinstance(each, dict)]
    alone = [keys[0] for keys in required if isinstance(keys, list) and len(keys) == 1]
    only = all(isinstance(each, dict) and set(each) == {"required"} for each in branches)
    return alone if only and len(alone) == len(branches) else []


def _choice(error: ValidationError, place: tuple[str | int, ...], names: list[str]) -> Misfit:
    given = [name for name in names if name in cast("Mapping[str, Any]", error.instance)]
    if not given:
        return Misfit(place, "missing_key", f"needs {' or '.join(map(quoted, names))}")
    message = f"takes only one of {', '.join(map(quoted, given))}"
    return Misfit((*place, given[-1]), "unknown_key", message)


_TYPES: Final[Mapping[str, str]] = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}


def _words(rule: str, wanted: Any) -> tuple[str, str]:  # noqa: ANN401 - whatever the keyword holds
    match rule:
        case "type":
            names = wanted if isinstance(wanted, list) else [wanted]
            return (
                "wrong_type",
                f"has to be {' or '.join(_TYPES.get(name, str(name)) for name in names)}",
            )
        case "enum":
            return "bad_value", f"has to be one of {', '.join(map(str, wanted))}"
        case "minimum" | "minLength" | "minItems" | "minProperties" | "exclusiveMinimum":
            return "bad_value", f"is below the schema's {rule} of {wanted}"
        case "maximum" | "maxLength" | "maxItems" | "maxProperties" | "exclusiveMaximum":
            return "bad_value", f"is above the schema's {rule} of {wanted}"
    return "bad_value", f"does not fit the schema's {rule}"


def has_template(value: JSON) -> bool:
    """Whether a run still has to tell what stands there, wholly or in part."""
    match value:
        case str():
            return "{{" in value
        case list():
            return any(map(has_template, value))
        case dict():
            return any(map(has_template, value.values()))
    return False
