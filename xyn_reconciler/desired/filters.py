"""The filters of the expression language: every one it has, and nothing else.

A filter is a plain function of the value on its left; its parameters' names are part of
the language, and its arity is checked against its signature before anything runs. A filter
refuses what it does not understand (``type_mismatch``) where Jinja would guess.
"""

import base64
import binascii
import hashlib
import json
import math
import re
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from xyn_reconciler.desired.values import (
    JSON,
    MAX_SIZE,
    ExpressionError,
    Undefined,
    UndefinedValueError,
    checked_number,
    equal,
    is_number,
    kind,
    less,
    look_up,
    text,
)
from xyn_reconciler.model import strict_json

_MAX_INDENT = 8
_MAX_PATTERN = 500
_MAX_TRIMMED = 100
_MAX_MATCHED_TEXT = 100_000
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MISSING: Final = Undefined("")


def default(value: JSON, default_value: JSON, boolean: JSON = False) -> JSON:  # noqa: FBT002 - Jinja's own signature
    """The value, or another where it is undefined; with `true` also where it is empty or false."""
    return default_value if boolean and not value else value


def length(value: JSON) -> JSON:
    """Characters of a string, items of a list, keys of an object."""
    if isinstance(value, str | list | dict):
        return len(value)
    raise _mismatch("length", "a string, a list or an object", value)


def lower(value: JSON) -> JSON:
    """The string in lower case."""
    return _string("lower", value).lower()


def upper(value: JSON) -> JSON:
    """The string in upper case."""
    return _string("upper", value).upper()


def trim(value: JSON, chars: JSON = None) -> JSON:
    """The string without white space (or without those characters) at its ends."""
    if chars is None:
        return _string("trim", value).strip()
    # Each character of the text is looked for in all of these.
    if len(_string("trim", chars)) > _MAX_TRIMMED:
        raise ExpressionError("too_large", f"trim takes at most {_MAX_TRIMMED} characters")
    return _string("trim", value).strip(_string("trim", chars))


def replace(value: JSON, old: JSON, new: JSON, count: JSON = -1) -> JSON:
    """The string with every `old` (or the first `count`) made `new`."""
    whole, old, new = (_string("replace", part) for part in (value, old, new))
    if not old:
        raise ExpressionError("invalid_argument", "replace needs a text to look for")
    limit = _integer("replace", count)
    times = whole.count(old) if limit < 0 else min(whole.count(old), limit)
    _allow(len(whole) + times * (len(new) - len(old)))
    return whole.replace(old, new, times)


def split(value: JSON, separator: JSON = None) -> JSON:
    """The parts of the string between separators; without one, between white space."""
    if separator == "":
        raise ExpressionError("invalid_argument", "split needs a separator of at least 1 character")
    return list(
        _string("split", value).split(None if separator is None else _string("split", separator))
    )


def join(value: JSON, separator: JSON = "") -> JSON:
    """The items' texts in one string."""
    parts, between = [text(item) for item in _list("join", value)], _string("join", separator)
    _allow(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


def first(value: JSON) -> JSON | Undefined:
    """The first item; undefined when there is none."""
    items = _list("first", value)
    return items[0] if items else Undefined("the first item of an empty list")


def last(value: JSON) -> JSON | Undefined:
    """The last item; undefined when there is none."""
    items = _list("last", value)
    return items[-1] if items else Undefined("the last item of an empty list")


def unique(value: JSON) -> JSON:
    """The items, each once, where it stood first."""
    found: dict[object, JSON] = {}
    for item in _list("unique", value):
        found.setdefault(_hashable(item), item)
    return list(found.values())


def sort(value: JSON, reverse: JSON = False, attribute: JSON = None) -> JSON:  # noqa: FBT002 - Jinja's own signature
    """The items in order: all numbers or all strings, or by such an attribute of theirs."""
    items = _list("sort", value)
    keys = items if attribute is None else _attributes(items, attribute)
    for key in keys:
        less(key, keys[0])
    # All numbers or all strings, as was just seen.
    comparable = cast("list[float]", keys)
    order = sorted(range(len(items)), key=comparable.__getitem__, reverse=bool(reverse))
    return [items[position] for position in order]


def map_(value: JSON, *, attribute: JSON, default: JSON | Undefined = _MISSING) -> JSON:
    """One attribute of every item (`a.b` reaches inside); `default` where an item lacks it."""
    return _attributes(_list("map", value), attribute, default)


def selectattr(value: JSON, attribute: JSON, test: JSON = None, other: JSON = None) -> JSON:
    """The items whose attribute passes a test (without one: is true); none that lacks it."""
    compare = (
        _TESTS.get(_string("selectattr", test)) if test is not None else (lambda own, _: bool(own))
    )
    if compare is None:
        raise ExpressionError("invalid_argument", f"selectattr knows the tests {', '.join(_TESTS)}")
    path = _path(attribute)
    found = ((item, look_up(item, path)) for item in _list("selectattr", value))
    return [item for item, own in found if not isinstance(own, Undefined) and compare(own, other)]


def tojson(value: JSON, indent: JSON = None) -> JSON:
    """The value's JSON text."""
    spaces = None if indent is None else _integer("tojson", indent)
    if spaces is not None and not 0 <= spaces <= _MAX_INDENT:
        raise ExpressionError("invalid_argument", f"tojson indents by 0 to {_MAX_INDENT}")
    return json.dumps(value, ensure_ascii=False, indent=spaces)


def fromjson(value: JSON) -> JSON:
    """The value that a JSON text holds."""
    try:
        found: JSON = strict_json.loads(_string("fromjson", value))
        text(found).encode()
    except ValueError as error:
        raise ExpressionError("invalid_json", f"fromjson: {error}") from error
    return found


def int_(value: JSON, default: JSON | Undefined = _MISSING) -> JSON:
    """A whole number of a number (cut off) or of its digits; else the default, else an error."""
    match value:
        case str() if _INTEGER.fullmatch(value.strip()):
            return checked_number(int(value))
        case int() | float() if is_number(value):
            return int(checked_number(value))
    return _or_default(default, "a whole number", value)


def float_(value: JSON, default: JSON | Undefined = _MISSING) -> JSON:
    """A number of a number or of its text; else the default, else an error."""
    match value:
        case str() if _FLOAT.fullmatch(value.strip()) and math.isfinite(float(value)):
            return float(value)
        case int() | float() if is_number(value):
            return float(checked_number(value))
    return _or_default(default, "a number", value)


def string(value: JSON) -> JSON:
    """The text that `{{ }}` inside a longer string would give."""
    return text(value)


def bool_(value: JSON, default: JSON | Undefined = _MISSING) -> JSON:
    """A boolean of `true yes on 1` or `false no off 0`; else the default, else an error."""
    word = text(value).strip().lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    return _or_default(default, "a boolean", value)


def b64encode(value: JSON) -> JSON:
    """The string's UTF-8 bytes as Base64."""
    return base64.b64encode(_string("b64encode", value).encode()).decode()


def b64decode(value: JSON) -> JSON:
    """The string whose UTF-8 bytes this Base64 holds."""
    try:
        return base64.b64decode(_string("b64decode", value), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ExpressionError("invalid_base64", f"b64decode: {error}") from error


def sha256(value: JSON) -> JSON:
    """The SHA-256 of the string's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(_string("sha256", value).encode()).hexdigest()


def regex_match(value: JSON, pattern: JSON) -> JSON:
    """Whether the string begins with a match of the pattern (RE2 syntax: no backtracking)."""
    subject = _string("regex_match", value)
    if len(subject) > _MAX_MATCHED_TEXT:
        raise ExpressionError(
            "too_large", f"regex_match reads at most {_MAX_MATCHED_TEXT:,} characters"
        )
    return compiled(_string("regex_match", pattern)).match(subject) is not None


def quote(value: JSON) -> JSON:
    """The string as one word of a POSIX shell."""
    if isinstance(value, list | dict):
        raise _mismatch("quote", "a string", value)
    return shlex.quote(text(value))


def compiled(pattern: str) -> Any:  # noqa: ANN401 - re2 has no public name for its patterns
    """A pattern of RE2, which matches in time linear in its text.

    Its memory bounds its program as well: ``(a{100}){100}`` is refused, not tried.
    """
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415 - no types; 3 MiB that few need

    options = re2.Options()
    options.max_mem = 1 << 16
    options.log_errors = False
    options.never_capture = True
    try:
        if len(pattern) > _MAX_PATTERN:
            raise ExpressionError(
                "invalid_pattern", f"a pattern has at most {_MAX_PATTERN} characters"
            )
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ExpressionError(
            "invalid_pattern", f"not a pattern of RE2: {_words(error)}"
        ) from error


def _words(error: Exception) -> object:
    """RE2 says what is wrong in bytes."""
    words = error.args[0] if error.args else error
    return words.decode(errors="replace") if isinstance(words, bytes) else words


def _mismatch(name: str, wanted: str, value: JSON) -> ExpressionError:
    return ExpressionError("type_mismatch", f"{name} takes {wanted}, and this is {kind(value)}")


def _string(name: str, value: JSON) -> str:
    if isinstance(value, str):
        return value
    raise _mismatch(name, "a string", value)


def _list(name: str, value: JSON) -> list[JSON]:
    if isinstance(value, list):
        return value
    raise _mismatch(name, "a list", value)


def _integer(name: str, value: JSON) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _mismatch(name, "a whole number", value)


def _allow(characters: int) -> None:
    if characters > MAX_SIZE:
        raise ExpressionError("too_large", f"the result is larger than {MAX_SIZE:,} characters")


def _or_default(default: JSON | Undefined, wanted: str, value: JSON) -> JSON:
    if isinstance(default, Undefined):
        raise ExpressionError("conversion_failed", f"{kind(value)} here cannot be read as {wanted}")
    return default


def _path(attribute: JSON) -> list[str | int]:
    if isinstance(attribute, int) and not isinstance(attribute, bool):
        return [attribute]
    parts = _string("attribute", attribute).split(".")
    return [int(part) if _INTEGER.fullmatch(part) else part for part in parts]


def _attributes(
    items: list[JSON], attribute: JSON, default: JSON | Undefined = _MISSING
) -> list[JSON]:
    path = _path(attribute)
    values: list[JSON] = []
    for item in items:
        found = look_up(item, path)
        found = default if isinstance(found, Undefined) else found
        if isinstance(found, Undefined):
            raise UndefinedValueError(f"attribute {text(attribute)} of item {len(values)}")
        values.append(found)
    return values


def _hashable(value: JSON) -> object:
    """Equal for values that :func:`equal` calls equal, and only for those."""
    match value:
        case bool():
            return (bool, value)
        case list():
            return (list, *map(_hashable, value))
        case dict():
            return (dict, frozenset((key, _hashable(item)) for key, item in value.items()))
        case int():
            # Python's hash of an integer is a remainder: longer ones could be made to collide.
            return checked_number(value)
    return value


_TESTS: Final[Mapping[str, Callable[[JSON, JSON], bool]]] = MappingProxyType(
    {
        "==": equal,
        "eq": equal,
        "equalto": equal,
        "!=": lambda own, other: not equal(own, other),
        "ne": lambda own, other: not equal(own, other),
        "<": less,
        "lt": less,
        "<=": lambda own, other: not less(other, own),
        "le": lambda own, other: not less(other, own),
        ">": lambda own, other: less(other, own),
        "gt": lambda own, other: less(other, own),
        ">=": lambda own, other: not less(own, other),
        "ge": lambda own, other: not less(own, other),
        "defined": lambda _own, _other: True,
    }
)

FILTERS: Final[Mapping[str, Callable[..., JSON | Undefined]]] = MappingProxyType(
    {
        function.__name__.rstrip("_"): function
        for function in (
            default,
            length,
            lower,
            upper,
            trim,
            replace,
            split,
            join,
            first,
            last,
            unique,
            sort,
            map_,
            selectattr,
            tojson,
            fromjson,
            int_,
            float_,
            string,
            bool_,
            b64encode,
            b64decode,
            sha256,
            regex_match,
            quote,
        )
    }
)
"""Name to function, in the order in which the reference lists them."""
