"""A change of a document in words, and what it weighs; with the plain comparison of two values.

All of the semantic diff (:mod:`xyn_reconciler.desired.diff`) is made of these. The
trap: documents are compared as their models read them, so that a key which is
written out with its default is no change.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.desired.loaded import Kind
from xyn_reconciler.model.document import Part

Weight = Literal[
    "gate_removed",
    "gate_loosened",
    "gate_added",
    "action_added",
    "action_changed",
    "host_added",
    "secret_added",
    "trigger_gained",
    "policy_changed",
    "principals_changed",
    "node_changed",
    "source_changed",
    "pack_changed",
    "other",
]
"""What kind of thing happens, as far as its risk goes; but for ``gate_added`` keys of ``risk``."""

LONG: Final = 60
"""A value that takes more letters than this is not shown, but said to be changed."""

_PLAIN: Final = re.compile(r"[^\s\"',\[\]{}][^\"\n]*")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different, as a reviewer would say it."""

    path: str
    """Of the file as it is after the change; of one that is gone, before."""
    kind: Kind
    document_id: str
    words: str
    weight: Weight = "other"
    name: str | None = None
    """Of the action, host, secret or gate that ``weight`` speaks of."""


Told = tuple[str, Weight, str | None]
"""Words, weight and name: a change of a document that is known already."""


def plain(words: str) -> Told:
    return words, "other", None


def compare(old: object, new: object, label: str) -> Iterator[str]:
    """Say how two values of one key differ; nothing where they do not.

    ``limit 1 -> 3``, ``from_any_of gains role:Operator``, ``default added (ssh)``.
    """
    if old == new and type(old) is type(new):
        return
    if old is None or new is None:
        value, verb = (new, "added") if old is None else (old, "removed")
        words = shown(value)
        yield f"{label} {verb}" + ("" if words is None else f" ({words})")
    elif isinstance(old, (Part, Mapping)) and isinstance(new, (Part, Mapping)):
        dot = " " if isinstance(old, Part) else "."
        before, after = fields(old), fields(new)
        for key in (*before, *(key for key in after if key not in before)):
            yield from compare(before.get(key), after.get(key), f"{label}{dot}{key}")
    elif isinstance(old, list) and isinstance(new, list) and _texts(old) and _texts(new):
        yield f"{label} {_members(old, new)}"
    else:
        one, other = shown(old), shown(new)
        short = one is not None and other is not None
        yield f"{label} {one} -> {other}" if short else f"{label} changed"


def compare_fields(
    old: Part,
    new: Part,
    skip: tuple[str, ...] = (),
    weigh: Callable[[str, Any, Any], Weight] = lambda *_: "other",
) -> Iterator[Told]:
    """Compare two parts key by key; ``weigh`` is told the key and both values."""
    before, after = fields(old), fields(new)
    for key in (*before, *(key for key in after if key not in before)):
        if key not in skip:
            one, other = before.get(key), after.get(key)
            for words in compare(one, other, key):
                yield words, weigh(key, one, other), None


def fields(value: Part | Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a mapping, as a person writes them."""
    if isinstance(value, Mapping):
        return dict(value)
    names = type(value).model_fields.items()
    return {info.alias or name: getattr(value, name) for name, info in names}


def shown(value: object) -> str | None:
    """A value in at most :data:`LONG` letters; None for a longer one."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _is_json(value):
        words = value
    else:
        words = json.dumps(_json(value), ensure_ascii=False)
    return words if len(words) <= LONG else None


def _json(value: object) -> object:
    """A part, or a list of parts, as JSON of what it states beyond its defaults."""
    if isinstance(value, Part):
        return value.model_dump(by_alias=True, exclude_defaults=True)
    return list(map(_json, value)) if isinstance(value, list) else value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) and len(value) <= LONG for value in values)


def _members(old: list[str], new: list[str]) -> str:
    gained = [value for value in new if value not in old]
    lost = [value for value in old if value not in new]
    said = [
        f"{verb} {', '.join(values)}"
        for verb, values in (("gains", gained), ("loses", lost))
        if values
    ]
    return " and ".join(said) or f"is now {', '.join(new)}"
