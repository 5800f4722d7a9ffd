"""What no single field of a document shows, for each kind of document.

Like :mod:`xyn_reconciler.desired.blueprint_checks`, asked about documents that their
model refused as well, and relying on no shape.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired.blueprint_checks import (
    Roots,
    check_blueprint,
    check_text,
    check_values,
    secret_refs,
)
from xyn_reconciler.desired.collect import SOURCE_TEMPLATES
from xyn_reconciler.desired.complaints import Report
from xyn_reconciler.desired.expression import EVENT_FIELDS, Known
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.literal_secrets import find_named, find_tokens
from xyn_reconciler.desired.loaded import Kind
from xyn_reconciler.desired.pack_document import check_pack, check_pack_settings
from xyn_reconciler.desired.place import Place
from xyn_reconciler.desired.source import JSON
from xyn_reconciler.desired.step_order import each_step
from xyn_reconciler.desired.wording import quoted
from xyn_reconciler.model.document import reserved
from xyn_reconciler.model.node import KNOWN_PROVIDERS
from xyn_reconciler.model.pack import BODIES, CODE


def _check_node(report: Report, document: Mapping[str, Any]) -> None:
    folder, _, name = report.source.path.rpartition("/")
    stem = name.rpartition(".")[0]
    if folder and isinstance(document.get("id"), str) and document["id"] != stem:
        report.problem(
            ("id",), "bad_id", f"a node's file has its name: this one is called {quoted(stem)}"
        )
    providers = document.get("providers")
    for provider, settings in (providers if isinstance(providers, dict) else {}).items():
        lacking = {"kind", "base_url"} - set(settings if isinstance(settings, dict) else ())
        if provider not in KNOWN_PROVIDERS and lacking:
            report.problem(
                ("providers", provider),
                "missing_key",
                f"a provider of another name needs {' and '.join(sorted(lacking))}:"
                " whose API it speaks, and where",
            )


def _check_prices(report: Report, document: Mapping[str, Any]) -> None:
    seen: set[tuple[object, ...]] = set()
    entries = document.get("prices")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        which = tuple(str(entry.get(key)) for key in ("provider", "model", "since"))
        if which in seen:
            report.problem(
                ("prices", index), "duplicate_id", "this model has a price since that day already"
            )
        seen.add(which)


_DELIVERY_ROOTS: Final = {"headers": None, "body": None, "source": ("id",)}
_ITEM_ROOTS: Final = {"item": None, "item_index": ()}


def _check_source(report: Report, document: Mapping[str, Any]) -> None:
    # Whether a setting is there, the pack beside it says (pack_checks).
    settings: Roots = {} if in_pack(report.source.path)[0] is None else {"settings": None}
    verify = document.get("verify")
    if isinstance(verify, dict):
        check_values(report, ("verify", "secret_refs"), verify.get("secret_refs"), Known(settings))
        secret_refs(report, ("verify",), verify)
    delivery = {**_DELIVERY_ROOTS, **settings}
    for key in SOURCE_TEMPLATES:
        known = delivery if key == "foreach" else {**delivery, **_ITEM_ROOTS}
        check_values(report, (key,), document.get(key), Known(known))
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
    "pack": check_pack,
    "pack_settings": check_pack_settings,
    "policy": _check_policy,
    "prices": _check_prices,
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
    named = _NAMED_SECRETS.get(kind)
    for place in named(document) if named is not None else ():
        if report.written(place) not in found:
            report.problem(
                place, "literal_secret", f"{quoted(str(place[-1]))} is a secret: {_BY_REFERENCE}"
            )


def _given_to_actions(document: Mapping[str, Any]) -> Iterator[Place]:
    yield from find_named(document.get("vars"), ("vars",))
    for place, step in each_step(document):
        for key in ("with", "set"):
            yield from find_named(step.get(key), (*place, key))


def _given_to_tools(document: Mapping[str, Any]) -> Iterator[Place]:
    actions = document.get("actions")
    for name, action in actions.items() if isinstance(actions, dict) else ():
        for key in BODIES if isinstance(action, dict) else ():
            yield from find_named(action.get(key), ("actions", name, key))
        code = action.get(CODE) if isinstance(action, dict) else None
        if isinstance(code, dict):
            yield from find_named(code.get("ask"), ("actions", name, CODE, "ask"))


_NAMED_SECRETS: Final[Mapping[Kind, Callable[[Mapping[str, Any]], Iterator[Place]]]] = {
    "blueprint": _given_to_actions,
    "pack": _given_to_tools,
    "pack_settings": lambda document: find_named(dict(document)),
}
"""Where a plain value under a name such as ``password`` is a secret."""
