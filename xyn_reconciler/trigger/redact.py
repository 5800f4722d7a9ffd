"""``redact: [data.user.email, data.commits[*].author]`` of a source: take values out of events.

Pure. What was taken out is given back, because the raw body holds it too and
has to be rid of it: :func:`without` does that wherever the same value stands,
and says when it did not find one, for then nothing may be kept.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from xyn_reconciler.desired.values import JSON
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.redaction import REDACTED

ANY: Final = "*"
_SHORT: Final = 4
"""Shorter texts are taken out only where they are the whole value, not inside words."""

_PART: Final = re.compile(r"[^.\[\]]+|\[\*\]")


def parse_path(path: str) -> tuple[str, ...]:
    """Split ``data.items[*].name``; ``*`` is every item of a list or member of an object."""
    return tuple(ANY if part == "[*]" else part for part in _PART.findall(path))


def take_out(event: Event, paths: Iterable[tuple[str, ...]]) -> tuple[Event, list[JSON]]:
    """Give the event without what the paths name, and the leaves that were there."""
    taken: list[JSON] = []
    found: dict[str, Any] = {"data": event.data, "resource": event.resource}
    for path in paths:
        root, *inner = path
        found[root] = _replaced(found.get(root), inner, taken)
    data, resource = found["data"], found["resource"]
    return (
        replace(
            event,
            data=data if isinstance(data, dict) else {"value": data},
            resource=resource if isinstance(resource, dict) else None,
        ),
        taken,
    )


def without(body: JSON, secrets: Sequence[JSON]) -> tuple[JSON, bool]:
    """Give the body with each secret replaced wherever it stands, and whether each was found."""
    cleaner = _Cleaner(secrets)
    cleaned = cleaner.value(body)
    return cleaned, cleaner.complete


class _Cleaner:
    """Replaces values; texts also inside other texts, in any case."""

    def __init__(self, secrets: Iterable[JSON]) -> None:
        self._secrets = {each for each in secrets if isinstance(each, str | int | float)}
        texts = {each for each in self._secrets if isinstance(each, str)}
        long = sorted((each for each in texts if len(each) >= _SHORT), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, long)), re.IGNORECASE) if long else None
        self._by_lower = {each.lower(): each for each in long}
        self._found: set[JSON] = set()

    @property
    def complete(self) -> bool:
        return self._found >= self._secrets

    def value(self, value: JSON) -> JSON:
        match value:
            case bool() | None:
                return value
            case list():
                return [self.value(item) for item in value]
            case dict():
                return {str(self._scalar(key)): self.value(item) for key, item in value.items()}
        return self._scalar(value)

    def _scalar(self, value: str | float) -> str | float:
        if value in self._secrets:
            self._found.add(value)
            return REDACTED
        if self._pattern is None or not isinstance(value, str):
            return value
        return self._pattern.sub(self._note, value)

    def _note(self, match: re.Match[str]) -> str:
        self._found.add(self._by_lower.get(match[0].lower()))
        return REDACTED


def with_raw(event: Event, raw: bytes | None) -> Event:
    return replace(event, raw=raw)


def _replaced(value: JSON, path: Sequence[str], taken: list[JSON]) -> JSON:
    if not path:
        taken.extend(_leaves(value))
        return REDACTED
    head, *rest = path
    if isinstance(value, dict):
        return {
            key: _replaced(item, rest, taken) if head in (ANY, key) else item
            for key, item in value.items()
        }
    if isinstance(value, list):
        # A path may also go through a list without saying so: leaving out [*] must not leak.
        inner = rest if head == ANY else path
        return [_replaced(item, inner, taken) for item in value]
    return value


def _leaves(value: JSON) -> list[JSON]:
    found: list[JSON] = []
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif each is not None and not isinstance(each, bool) and each != "":
            found.append(each)
    return found
