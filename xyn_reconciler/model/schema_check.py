"""Values against JSON Schemas that people pushed.

Everybody who validates against a schema from a document takes
:data:`SafeValidator`. The trap it closes: jsonschema matches ``pattern`` with
``re``, where ``(a+)+$`` and forty letters hold up a worker for an hour; RE2
takes time linear in the text, always.
"""

from collections.abc import Iterator
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from xyn_reconciler.model.pattern import compile_pattern


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


SafeValidator: Final[type[Draft202012Validator]] = extend(  # type: ignore[no-untyped-call]  # as jsonschema ships it
    Draft202012Validator, {"pattern": _pattern}
)
"""JSON Schema 2020-12 with patterns of RE2; formats are not checked."""
