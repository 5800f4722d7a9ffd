"""How two versions of a blueprint differ: key by key, trigger by trigger, step by step."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired.diff_steps import Steps, step_changes
from xyn_reconciler.desired.diff_triggers import trigger_changes
from xyn_reconciler.desired.diff_words import Told, Weight, compare_fields, plain, shown
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.step_order import each_step
from xyn_reconciler.model.blueprint import Blueprint, Input

_APART: Final = ("triggers", "inputs", "plan", "on_failure")

_HOST: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#\s@]*@)?((?:\{\{.*?\}\}|[^/?#\s{])+)")
"""The host of a URL, which may be a template."""


def blueprint_changes(old: Loaded | None, new: Loaded) -> Iterator[Told]:
    """Compare two versions of a blueprint; against none, all that a new one does is new."""
    before = None if old is None else Blueprint.model_validate(old.document)
    after = Blueprint.model_validate(new.document)
    if before is not None:
        yield from compare_fields(before, after, _APART, _weigh)
    yield from trigger_changes([] if before is None else before.triggers, after.triggers)
    if before is not None:
        yield from _inputs(before.inputs, after.inputs)
    yield from step_changes(
        Steps.of(before, {} if old is None else old.document), Steps.of(after, new.document)
    )
    known = set[str]() if old is None else hosts(old)
    for host in sorted(hosts(new) - known):
        yield f"reaches host {host}", "host_added", host


def _weigh(key: str, _old: object, _new: object) -> Weight:
    match key:
        case "nodes":
            return "trigger_gained"
        case "vars":
            return "action_changed"
    return "other"


def _inputs(old: Mapping[str, Input], new: Mapping[str, Input]) -> Iterator[Told]:
    for name, each in old.items():
        if name not in new:
            yield plain(f"input {name} removed")
        else:
            for words, weight, named in compare_fields(each, new[name], (), _weigh_input):
                yield f"input {name}: {words}", weight, named
    for name, each in new.items():
        if name not in old:
            source = None if each.from_ is None else shown(each.from_)
            yield plain(f"input {name} added" + (f" (from {source})" if source else ""))


def _weigh_input(key: str, _old: object, _new: object) -> Weight:
    return "action_changed" if key == "from" else "other"


def actions(loaded: Loaded) -> set[str]:
    """The actions that a blueprint calls."""
    return {reference.name for reference in loaded.named("action")}


def hosts(loaded: Loaded) -> set[str]:
    """Hosts that a blueprint's steps name, in ``host``, in addresses, and in its variables.

    One that is known only in a run is given as the template that it is written as.
    """
    document: Mapping[str, Any] = loaded.document
    found = set(addresses(document.get("vars")))
    for _, step in each_step(document):
        given = step.get("with")
        if isinstance(given, dict):
            found |= {*addresses(given)}
            found |= {text for key in ("host", "url") if (text := _named(key, given.get(key)))}
    return found


def _named(key: str, value: object) -> str | None:
    """A host by its own key; of a URL only one that is all template."""
    if not isinstance(value, str) or (key == "url" and not value.startswith("{{")):
        return None
    return value


def addresses(value: object) -> Iterator[str]:
    """Give the hosts of all URLs in a value."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from addresses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from addresses(inner)
    elif isinstance(value, str) and (found := _HOST.match(value)) is not None:
        yield found[1]
