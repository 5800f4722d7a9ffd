"""Credentials written into a document: found here, so that they never reach history.

Two ways to be found: the shape of a well-known token anywhere, and a plain value
under a name such as ``password`` where an action is given its inputs. Wrong
alarms cost trust: ``*_ref`` keys, templates, empty values and placeholders pass.
The trap: no message repeats a value.
"""

import re
from collections.abc import Iterator
from typing import Final

from xyn_reconciler.desired.place import Place
from xyn_reconciler.desired.source import JSON
from xyn_reconciler.model.token_patterns import find_token

SECRET_KEY: Final = re.compile(
    r"(?:^|[_-])(?:password|passwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key"
    r"|private[_-]?key|credentials?|authorization|cookie)$",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(
    r"<.*>|\W*|x{3,}|change[_-]?me|todo|redacted|example|placeholder|your[ _-].*|none|null",
    re.IGNORECASE | re.DOTALL,
)


def find_tokens(value: JSON, place: Place = ()) -> Iterator[tuple[Place, str, int]]:
    """Every text that holds a well-known token: where, what it looks like, at which character."""
    for here, text in texts(value, place):
        if (found := find_token(text)) is not None:
            yield here, *found


def find_named(value: JSON, place: Place = ()) -> Iterator[Place]:
    """Every plain value below a name that means a secret."""
    if isinstance(value, dict):
        for key, item in value.items():
            if SECRET_KEY.search(key) and _is_plain(item):
                yield (*place, key)
            else:
                yield from find_named(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_named(item, (*place, index))


def _is_plain(value: JSON) -> bool:
    if isinstance(value, str):
        return "{{" not in value and _PLACEHOLDER.fullmatch(value.strip()) is None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def texts(value: JSON, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text in a value, and where."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*place, index))
