"""Read JSON that strangers send, and never fail but with :class:`InvalidJsonError`.

RFC 8259 to the letter: UTF-8 only (section 8.1; a byte order mark is passed
over), no NaN, no infinities. Where the RFC leaves a choice: of a repeated key
the last value counts; nesting ends at :data:`MAX_DEPTH`; a number that neither
a Python integer (4,300 digits) nor a double can hold is kept as the text that
was sent, so that it is not silently another number or infinity.

The trap: ``json.loads`` recurses in C and answers a deep body with
``RecursionError``, or not at all. Depth is therefore counted before it is asked.
"""

import json
import math
import re
from typing import Any, Final, NoReturn

from xyn_reconciler.model.errors import InvalidError

MAX_DEPTH: Final = 200
"""Levels of arrays and objects. Far above what people send, far below what a stack bears."""

_BOM: Final = "\ufeff"
# The closing quote is optional, so that an unterminated string is one match and not a new
# attempt at every quote in it (quadratic).
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


class InvalidJsonError(InvalidError):
    """A body is not JSON; the message ends with line and column, from 1."""

    code = "invalid_json"
    http_status = 422


def read(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Give the value of a body. U+0000 and lone surrogates (as escapes) are kept."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        before = body[: error.start].decode("utf-8")
        raise _invalid("the body is not UTF-8", before, len(before)) from error
    text = text.removeprefix(_BOM)
    _refuse_deep(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(f"the body is not JSON: {error.msg}", text, error.pos) from error
    except _ConstantError as error:
        raise _invalid(
            f"the body is not JSON: {error} is not a number that JSON knows",
            text,
            _position_outside_strings(text, str(error)),
        ) from error


def read_object(body: bytes) -> dict[str, Any]:
    """Give the value where an object is needed: any other one becomes ``{"value": …}``."""
    value = read(body)
    return value if isinstance(value, dict) else {"value": value}


class _ConstantError(Exception):
    """NaN or an infinity, which the standard library would let through."""


def _refuse_deep(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                message = f"the body is nested deeper than {MAX_DEPTH} levels"
                raise _invalid(message, text, token.start())
        elif token[0] in "]}":
            depth -= 1


def _invalid(message: str, text: str, position: int) -> InvalidJsonError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return InvalidJsonError(
        f"{message} (line {line}, column {column})", details={"line": line, "column": column}
    )


def _position_outside_strings(text: str, word: str) -> int:
    """Where ``word`` stands as a token of its own; the decoder says only that it does."""
    blanked = re.sub(
        r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', lambda match: " " * len(match[0]), text, flags=re.DOTALL
    )
    return max(blanked.find(word), 0)


def _integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts (sys.set_int_max_str_digits)
        return text


def _real(text: str) -> float | str:
    value = float(text)
    vanished = value == 0 and any(digit in "123456789" for digit in re.split("[eE]", text)[0])
    return text if math.isinf(value) or vanished else value


def _constant(word: str) -> NoReturn:
    raise _ConstantError(word)


_DECODER: Final = json.JSONDecoder(
    parse_int=_integer, parse_float=_real, parse_constant=_constant, strict=True
)
