"""What a change inside a pack does to others: hosts that it reaches, blueprints that use it.

A pack's actions are what blueprints do: one that is changed here changes them, though no
byte of theirs is another.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired.diff_blueprint import addresses
from xyn_reconciler.desired.diff_words import Told
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.loaded import Kind, Loaded
from xyn_reconciler.desired.pack_checks import definition_of
from xyn_reconciler.desired.packs import CONFIG, PROGRAMS
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.pack import BODIES, CODE

KINDS: Final[tuple[Kind, ...]] = ("pack", "pack_settings", "pack_file")

_SHOWN: Final = 5
"""Blueprints that are named; the others are counted."""


def pack_changes(old: Loaded | None, new: Loaded | None, after: DesiredState) -> Iterator[Told]:
    """Say which hosts are new, and which blueprints do something else now."""
    known = set[str]() if old is None else pack_hosts(old)
    for host in sorted(pack_hosts(new) - known) if new is not None else ():
        yield f"reaches host {host}", "host_added", host
    loaded = new or old
    if loaded is None:
        return
    changed = _changed_actions(loaded, old, new, after)
    for action, users in _users(changed, after).items():
        more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
        words = f"{action} changed, used by {', '.join(users[:_SHOWN])}{more}"
        yield words, "action_changed", action


def _users(actions: list[str], after: DesiredState) -> dict[str, list[str]]:
    """Give the blueprints that use each of these actions, of those that anything uses."""
    found: dict[str, set[str]] = {name: set() for name in actions}
    for each in after.files.values() if actions else ():
        if each.kind == "blueprint":
            for reference in each.named("action"):
                if reference.name in found:
                    found[reference.name].add(each.document_id)
    return {name: sorted(users) for name, users in found.items() if users}


def _changed_actions(
    loaded: Loaded, old: Loaded | None, new: Loaded | None, after: DesiredState
) -> list[str]:
    if loaded.kind == "pack":
        one, other = _actions(old), _actions(new)
        return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    pack, below = in_pack(loaded.path)
    found = _actions(definition_of(after.by_pack.get(pack or "", {})))
    if loaded.kind == "pack_settings":
        return sorted(found)
    if below.startswith((PROGRAMS, CONFIG)):
        return sorted(name for name, definition in found.items() if CODE in definition)
    return []


def _actions(loaded: Loaded | None) -> Mapping[str, Any]:
    if loaded is None or loaded.document is None:
        return {}
    found: Mapping[str, Any] = loaded.document.get("actions") or {}
    return found


def pack_hosts(loaded: Loaded) -> set[str]:
    """Hosts that a pack's adapters and its settings name; a host that is all template has none."""
    if loaded.document is None:
        return set()
    if loaded.kind == "pack_settings":
        return set(addresses(loaded.document))
    if loaded.kind != "pack":
        return set()
    found = set[str]()
    for definition in _actions(loaded).values():
        for body in BODIES:
            given = definition.get(body)
            found |= {*addresses(given)}
            host = given.get("host") if isinstance(given, dict) else None
            if isinstance(host, str):
                found.add(host)
        found |= {*addresses((definition.get(CODE) or {}).get("ask"))}
    rules = (loaded.document.get("settings") or {}).get("properties") or {}
    defaults = [each.get("default") for each in rules.values() if isinstance(each, dict)]
    return found.union(addresses(defaults))
