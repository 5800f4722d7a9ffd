"""JSON values as expressions see them: types, text, equality, size, and the errors about them.

The evaluator and its filters rely on these few. Three traps of Python are closed
here: ``True == 1`` (a JSON boolean is no number), recursion over deep data (every
walk keeps its own stack), and results that grow without an end (:func:`size`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeGuard

from xyn_reconciler.model.errors import PermanentError

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None
"""What a file, an event or a step's output can hold."""

MAX_INTEGER: Final = 2**64 - 1
"""Integers reach from -this to this: every 64-bit id fits, no number eats the memory."""

_PRINTABLE_BITS = 14_000
_PER_ITEM = 10
"""Characters that an item counts beside its own: looking at it costs as much."""

MAX_SIZE: Final = 4_000_000
"""Characters of one result, roughly as its JSON text; more belongs into an artifact."""

MAX_WORK: Final = 20_000_000
"""Characters that the evaluation of one value may touch, over all its operators and filters."""


class ExpressionError(PermanentError):
    """An expression that cannot be read, or whose value cannot be had.

    ``failure_code`` is what a step that meets it fails with; ``offset`` counts characters from the
    start of the text the expression stands in, and is None where only the data is at fault.
    """

    code = "expression_error"

    def __init__(self, failure_code: str, message: str, *, offset: int | None = None) -> None:
        super().__init__(failure_code, message)
        self.offset = offset


class UndefinedValueError(ExpressionError):
    """A lookup found nothing, and neither ``default`` nor ``is defined`` stood by."""

    def __init__(self, path: str, *, offset: int | None = None) -> None:
        super().__init__(
            "undefined_value",
            f"{path} has no value; add | default(…) to say what to take instead",
            offset=offset,
        )
        self.path = path


@dataclass(frozen=True, slots=True)
class Undefined:
    """What a lookup gives that finds nothing. Never leaves the evaluator."""

    path: str
    offset: int | None = None


class Budget:
    """How much work is left for one evaluation; running out of it is an error, not a wait."""

    def __init__(self, work: int = MAX_WORK) -> None:
        self.left = work

    def spend(self, work: int) -> None:
        self.left -= work
        if self.left < 0:
            raise ExpressionError("too_much_work", "this expression does too much; split it up")


def kind(value: JSON) -> str:
    """The name of a value's type, as messages print it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"


def is_number(value: JSON) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked_number(value: float) -> int | float:
    """The number itself if JSON and every reader of it can hold it."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError("not_finite", "the result is no finite number")
    elif abs(value) > MAX_INTEGER:
        raise ExpressionError("too_large", "the result does not fit into 64 bits")
    return value


def text(value: JSON) -> str:
    """A string as it is, everything else as its JSON text: ``true``, ``null``, ``[1, 2]``."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def size(value: JSON) -> int:
    """Roughly the characters of the value's JSON text.

    Raises ``too_large`` as soon as it passes :data:`MAX_SIZE`, so its own cost is bounded.
    """
    total = 0
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as string:
                total += len(string) + 2
            case list() as items:
                total += _PER_ITEM * len(items) + 2
                if total <= MAX_SIZE:
                    waiting.extend(items)
            case dict() as items:
                total += sum(map(len, items)) + _PER_ITEM * len(items) + 2
                if total <= MAX_SIZE:
                    waiting.extend(items.values())
            case float() as number if not math.isfinite(number):
                raise ExpressionError("not_finite", "a number here is not finite")
            case int() as number:
                # Python refuses to print one of more than 4,300 digits.
                total += MAX_SIZE + 1 if number.bit_length() > _PRINTABLE_BITS else 21
            case _:
                total += 8
        if total > MAX_SIZE:
            raise ExpressionError(
                "too_large", f"a value here is larger than {MAX_SIZE:,} characters"
            )
    return total


def equal(left: JSON, right: JSON) -> bool:
    """Equality of JSON: ``1 == 1.0``, but ``true != 1``; other mixed types differ."""
    waiting = [(left, right)]
    while waiting:
        one, other = waiting.pop()
        match one, other:
            case (bool(), _) | (_, bool()):
                if one is not other:
                    return False
            case list(), list():
                if len(one) != len(other):
                    return False
                waiting.extend(zip(one, other, strict=True))
            case dict(), dict():
                if one.keys() != other.keys():
                    return False
                waiting.extend((item, other[key]) for key, item in one.items())
            case _:
                if one != other:
                    return False
    return True


def less(left: JSON, right: JSON) -> bool:
    """``<`` of two numbers or of two strings (by code point); anything else has no order."""
    if is_number(left) and is_number(right):
        return left < right
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    raise ExpressionError(
        "type_mismatch", f"{kind(left)} and {kind(right)} have no order; convert one of them"
    )


def step_into(value: JSON, key: JSON) -> JSON | Undefined:
    """One lookup, ``value.key`` or ``value[key]``: a key of an object or a position in a list."""
    match value, key:
        case dict(), str() if key in value:
            return value[key]
        case list(), int() if not isinstance(key, bool) and -len(value) <= key < len(value):
            return value[key]
    return Undefined(text(key))


def look_up(value: JSON, path: Sequence[str | int]) -> JSON | Undefined:
    """Several lookups, one after the other."""
    found: JSON | Undefined = value
    for key in path:
        if isinstance(found, Undefined):
            return found
        found = step_into(found, key)
    return found


Scope: TypeAlias = Mapping[str, JSON]
"""The roots an expression can name here, with their values."""
