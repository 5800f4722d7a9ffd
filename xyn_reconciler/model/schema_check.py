"""Values against JSON Schemas that people pushed.

Everybody who validates against a schema from a document takes
:data:`SafeValidator`. The trap it closes: jsonschema matches ``pattern`` with
``re``, where ``(a+)+$`` and forty letters hold up a worker for an hour; RE2
takes time linear in the text, always.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from xyn_reconciler.model.pattern import compile_pattern
from xyn_reconciler.model.run import canonical


def _pattern(
    validator: Any,  # noqa: ANN401 - jsonschema's protocol
    pattern: str,
    instance: object,
    schema: object,
) -> Iterator[ValidationError]:
    del schema
    if validator.is_type(instance, "string") and not _contains(pattern, str(instance)):
        yield ValidationError(f"does not match {pattern!r}")


def _contains(pattern: str, text: str) -> bool:
    try:
        return compile_pattern(pattern).search(text) is not None
    except UnicodeEncodeError:
        return False  # half a surrogate pair is no character that a pattern could name


def _one_of(
    validator: Any,  # noqa: ANN401 - jsonschema's protocol
    alternatives: list[Any],
    instance: Any,  # noqa: ANN401 - any JSON value
    schema: object,
) -> Iterator[ValidationError]:
    """Say of members that exclude each other which those are, in place of the whole value."""
    usual = Draft202012Validator.VALIDATORS["oneOf"]
    members = [each["required"][0] for each in alternatives if _wants_one_member(each)]
    if len(members) < len(alternatives) or not validator.is_type(instance, "object"):
        yield from usual(validator, alternatives, instance, schema)
        return
    given = [name for name in members if name in instance]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        yield ValidationError(f"needs one of {', '.join(members)}, and has {found}")


def _wants_one_member(schema: object) -> bool:
    match schema:
        case {"required": [_], **rest}:
            return not rest
    return False


SafeValidator: Final[type[Draft202012Validator]] = extend(  # type: ignore[no-untyped-call]  # as jsonschema ships it
    Draft202012Validator, {"pattern": _pattern, "oneOf": _one_of}
)
"""JSON Schema 2020-12 with patterns of RE2; formats are not checked."""


def mismatch(
    schema: Mapping[str, Any], value: object, redact: Callable[[str], str] = str
) -> str | None:
    """Say where and how a value does not fit a JSON Schema; ``None`` where it fits.

    ``redact`` takes secrets out of what is told of a value that may hold some, before it is cut.
    """
    errors = sorted(_validator(canonical(schema)).iter_errors(value), key=lambda e: str(e.path))
    if not errors:
        return None
    where = "".join(f"[{part!r}]" for part in errors[0].absolute_path)
    return f"{where}{': ' if where else ''}{redact(errors[0].message)[:500]}"


@functools.lru_cache(maxsize=512)
def _validator(rules: bytes) -> Draft202012Validator:
    return SafeValidator(json.loads(rules))
