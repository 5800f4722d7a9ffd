"""What no single field of a document shows, for each kind of document.

Like :mod:`xyn_reconciler.desired.blueprint_checks`, asked about documents that their
model refused as well, and relying on no shape.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired.blueprint_checks import check_blueprint, check_text, check_values
from xyn_reconciler.desired.complaints import Place, Report
from xyn_reconciler.desired.expression import EVENT_FIELDS, Known
from xyn_reconciler.desired.literal_secrets import find_named, find_tokens
from xyn_reconciler.desired.loaded import Kind
from xyn_reconciler.desired.source import JSON
from xyn_reconciler.desired.step_order import each_step
from xyn_reconciler.desired.wording import quoted
from xyn_reconciler.model.document import reserved


def _check_node(report: Report, document: Mapping[str, Any]) -> None:
    folder, _, name = report.source.path.rpartition("/")
    stem = name.rpartition(".")[0]
    if folder and isinstance(document.get("id"), str) and document["id"] != stem:
        report.problem(
            ("id",), "bad_id", f"a node's file has its name: this one is called {quoted(stem)}"
        )


def _check_pack(report: Report, document: Mapping[str, Any]) -> None:
    folder = report.source.path.split("/")[1]
    if isinstance(document.get("id"), str) and document["id"] != folder:
        report.problem(
            ("id",), "bad_id", f"a pack has its folder's name: this one is called {quoted(folder)}"
        )
    actions = document.get("actions")
    for action in actions if isinstance(actions, dict) else {}:
        if not action.startswith(f"{folder}."):
            report.problem(
                ("actions", action),
                "bad_id",
                f"names of this pack's actions begin with {quoted(folder + '.')}",
                at_key=True,
            )


_DELIVERY_ROOTS: Final = {"headers": None, "body": None, "source": ("id",)}
_ITEM_ROOTS: Final = {**_DELIVERY_ROOTS, "item": None, "item_index": ()}


def _check_source(report: Report, document: Mapping[str, Any]) -> None:
    check_values(report, ("foreach",), document.get("foreach"), Known(_DELIVERY_ROOTS))
    for key in ("delivery_id", "event_type", "resource", "data"):
        check_values(report, (key,), document.get(key), Known(_ITEM_ROOTS))
    event_type = document.get("event_type")
    if isinstance(event_type, str) and reserved(event_type.lower()):
        report.problem(
            ("event_type",), "reserved_name", "names that begin with xyn. are the node's own"
        )


def _check_principals(report: Report, document: Mapping[str, Any]) -> None:
    entries = document.get("principals")
    _distinct(report, ("principals",), entries, "id")


def _check_policy(report: Report, document: Mapping[str, Any]) -> None:
    _distinct(report, ("rules",), document.get("rules"), "rule_id")


def _distinct(report: Report, place: Place, entries: object, key: str) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        name = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(name, str):
            if name in seen:
                report.problem(
                    (*place, index, key), "duplicate_id", "this id stands here a second time"
                )
            seen.add(name)


def _check_test(report: Report, document: Mapping[str, Any]) -> None:
    event = document.get("event")
    name = event.get("event_name") if isinstance(event, dict) else None
    if isinstance(event, dict):
        for key in event:
            if key not in EVENT_FIELDS:
                report.remark(
                    ("event", key), "no_effect", f"an event has no field {quoted(key)}", at_key=True
                )
    check_text(report, ("event", "event_name"), name, Known({}))


CHECKS: Final[Mapping[Kind, Callable[[Report, Mapping[str, Any]], None]]] = {
    "blueprint": check_blueprint,
    "node": _check_node,
    "pack": _check_pack,
    "policy": _check_policy,
    "principals": _check_principals,
    "source": _check_source,
    "test": _check_test,
}


# ── Credentials ──────────────────────────────────────────────────────────────────────────────────

_BY_REFERENCE: Final = "pass it by reference: a key that ends in _ref, with env/NAME or a path"


def check_secrets(report: Report, kind: Kind, written: JSON, document: Mapping[str, Any]) -> None:
    found = set[Place]()
    unmapped = Report(report.source)  # tokens are looked for in what the author wrote
    for place, name, offset in find_tokens(written):
        found.add(place)
        unmapped.problem(
            place,
            "literal_secret",
            f"this looks like {name}: take it out, revoke it, and {_BY_REFERENCE}",
            offset=offset,
        )
    report.problems.extend(p for p in unmapped.problems if p not in report.problems)
    if kind != "blueprint":
        return
    for place in _given_to_actions(document):
        if report.written(place) not in found:
            report.problem(
                place, "literal_secret", f"{quoted(str(place[-1]))} is a secret: {_BY_REFERENCE}"
            )


def _given_to_actions(document: Mapping[str, Any]) -> Iterator[Place]:
    yield from find_named(document.get("vars"), ("vars",))
    for place, step in each_step(document):
        for key in ("with", "set"):
            yield from find_named(step.get(key), (*place, key))
