"""Values against JSON Schemas that people pushed.

Everybody who validates against a schema from a document takes
:data:`SafeValidator`. The trap it closes: jsonschema matches ``pattern`` with
``re``, where ``(a+)+$`` and forty letters hold up a worker for an hour; RE2
takes time linear in the text, always.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import re2  # type: ignore[import-untyped]  # google-re2 brings no types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

MAX_PATTERN: Final = 1000
"""Characters of a pattern."""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:  # noqa: ANN401 - re2 has no public name for its patterns
    """Compile a pattern of RE2. Raises ``ValueError`` that says why it is none."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    options = re2.Options()
    options.max_mem = 1 << 16
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0] if error.args else ""
        words = why.decode(errors="replace") if isinstance(why, bytes) else "it is not UTF-8"
        raise ValueError(f"this is no regular expression of RE2: {words}") from error


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
