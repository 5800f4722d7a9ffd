"""What an action says is never to be kept of its outputs (``ActionSpec.redact``). Pure.

Beside the redactor, which knows values: this knows places, whatever stands there.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from xyn_reconciler.model.redaction import REDACTED

_ANY: Final = "*"


def without(value: Any, paths: Iterable[str]) -> Any:  # noqa: ANN401 - any JSON value
    """Give a JSON value with ``[redacted]`` at dotted paths, as ``headers.set-cookie``.

    ``*`` is every key; a list is passed through to each of its items. What is
    not there is passed over, and ``null`` tells nothing: it stays.
    """
    for path in paths:
        value = _without(value, path.split("."))
    return value


def _without(value: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - any JSON value
    if not path:
        return None if value is None else REDACTED
    match value:
        case list():
            return [_without(item, path) for item in value]
        case dict():
            first, rest = path[0], path[1:]
            return {
                key: _without(item, rest) if first in (_ANY, key) else item
                for key, item in value.items()
            }
    return value
