"""Read JSON that somebody else wrote, into values that everything here can hold.

RFC 8259 to the letter: no NaN, no infinities, and bytes are UTF-8 (section 8.1; a byte order
mark is passed over). Where the RFC leaves a choice: of a repeated key the last value counts;
nesting ends at :data:`MAX_DEPTH`; a number that neither a Python integer (4,300 digits) nor a
double can hold is kept as the text that was sent, so that it is not silently another number or
infinity. U+0000 and lone surrogates (as escapes) are kept.

The trap: ``json`` recurses in C, and what it could just about read nobody could write again,
a few calls further down. Depth is therefore counted before it is asked.
"""

import json
import math
import re
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 200
"""Levels of arrays and objects. Far above what people send, far below what a stack bears."""

_BOM: Final = "\ufeff"
# The closing quote is optional, so that an unterminated string is one match and not a new
# attempt at every quote in it (quadratic).
_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN: Final = re.compile(rf"{_STRING}?|[\[{{]|[\]}}]", re.DOTALL)


def loads(given: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Give the value; ``json.JSONDecodeError`` with its place, or ``UnicodeDecodeError``.

    Both are ``ValueError``; nothing else is raised, whatever is given.
    """
    text = given.decode("utf-8") if isinstance(given, bytes) else given
    text = text.removeprefix(_BOM)
    _refuse_deep(text)
    try:
        return _DECODER.decode(text)
    except _ConstantError as error:
        message = f"{error} is not a number that JSON knows"
        place = _position_outside_strings(text, str(error))
        raise json.JSONDecodeError(message, text, place) from error


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
                message = f"it is nested deeper than {MAX_DEPTH} levels"
                raise json.JSONDecodeError(message, text, token.start())
        elif token[0] in "]}":
            depth -= 1


def _position_outside_strings(text: str, word: str) -> int:
    """Where ``word`` stands as a token of its own; the decoder says only that it does."""
    blanked = re.sub(_STRING, lambda match: " " * len(match[0]), text, flags=re.DOTALL)
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
