"""What a valid document names outside itself, and where.

:mod:`xyn_reconciler.desired.validate` asks whether it exists; who uses a secret or a
prompt is read from here too.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired import expression
from xyn_reconciler.desired.blueprint_checks import find_secret_refs
from xyn_reconciler.desired.complaints import Report
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.literal_secrets import texts
from xyn_reconciler.desired.loaded import START, Kind, Reference, ReferenceKind, pointer
from xyn_reconciler.desired.place import Place
from xyn_reconciler.desired.source import JSON
from xyn_reconciler.desired.step_order import each_step
from xyn_reconciler.model.pack import BODIES, CODE

_NAMELESS: Final = ("principals", "prices", "test", "pack_settings")
"""Kinds of documents that say no id of their own."""

SOURCE_TEMPLATES: Final = ("foreach", "delivery_id", "event_type", "resource", "data")
"""What a source makes of a delivery, besides whom it believes."""

MakeReference = Callable[[ReferenceKind, str, Place], Reference]

ID_KEYS: Final[Mapping[Kind, str]] = {"policy": "policy_id"}
"""Where a document's id stands, if not under ``id``."""


def references(kind: Kind, report: Report, document: Mapping[str, Any]) -> Iterator[Reference]:
    """Give every reference of a valid document, its own id first."""

    def make(what: ReferenceKind, name: str, place: Place) -> Reference:
        return Reference(what, name, *report.position(place), place)

    if kind not in _NAMELESS:
        key = ID_KEYS.get(kind, "id")
        yield make("self", document[key], (key,))
    match kind:
        case "blueprint":
            yield from _of_blueprint(report, make, document)
        case "policy":
            yield from _of_policy(make, document)
        case "source":
            yield from _of_source(make, document)
        case "pack":
            yield from _of_pack(report, make, document)
        case "pack_settings":
            yield from _of_pack_settings(report, make, document)
        case "test":
            yield make("blueprint", document["blueprint"], ("blueprint",))


def _of_blueprint(
    report: Report, make: MakeReference, document: Mapping[str, Any]
) -> Iterator[Reference]:
    for index, node in enumerate(document.get("nodes") or []):
        yield make("node", node, ("nodes", index))
    for place, step in each_step(document):
        yield from _of_step(report, make, place, step)


def _of_policy(make: MakeReference, document: Mapping[str, Any]) -> Iterator[Reference]:
    for index, rule in enumerate(document["rules"]):
        place: Place = ("rules", index)
        yield make("rule", rule["rule_id"], (*place, "rule_id"))
        for at, subject in enumerate(rule["match"].get("actor") or []):
            yield make("subject", subject, (*place, "match", "actor", at))
        yield from _of_approvals(make, (*place, "requirements"), rule.get("requirements") or {})


def _of_approvals(
    make: MakeReference, place: Place, holder: Mapping[str, Any]
) -> Iterator[Reference]:
    subjects = (holder.get("approvals") or {}).get("from_any_of") or []
    for index, subject in enumerate(subjects):
        yield make("subject", subject, (*place, "approvals", "from_any_of", index))


def _of_step(
    report: Report, make: MakeReference, place: Place, step: Mapping[str, Any]
) -> Iterator[Reference]:
    match step["kind"]:
        case "action_task":
            at = report.position((*place, "action"))
            inner = dict(_positions(report, (*place, "with"), step["with"]))
            yield Reference("action", step["action"], *at, place, inner)
            yield from _secrets(make, (*place, "with"), step["with"])
        case "agent_task":
            if "provider" in step:
                yield make("provider", step["provider"], (*place, "provider"))
            else:
                yield make("alias", step["model"], (*place, "model"))
            if "prompt_file" in step:
                yield make("prompt", step["prompt_file"], (*place, "prompt_file"))
        case "gate":
            yield from _of_approvals(make, place, step)


def _of_source(make: MakeReference, document: Mapping[str, Any]) -> Iterator[Reference]:
    yield from _secrets(make, ("verify",), document["verify"])
    templates: dict[Place, Any] = {(key,): document.get(key) for key in SOURCE_TEMPLATES}
    templates["verify", "secret_refs"] = document["verify"].get("secret_refs")
    for top, value in templates.items():
        for place, text in texts(value, top):
            for each in expression.references(expression.parse_template(text)):
                if each.root == "settings" and each.path:
                    yield make("setting", str(each.path[0]), place)


def _of_pack(
    report: Report, make: MakeReference, document: Mapping[str, Any]
) -> Iterator[Reference]:
    requires = document.get("requires") or {}
    for index, secret in enumerate(requires.get("secrets") or []):
        yield make("secret", secret, ("requires", "secrets", index))
    for name, rules in ((document.get("settings") or {}).get("properties") or {}).items():
        default = rules.get("default") if isinstance(rules, dict) else None
        for _, secret in find_secret_refs({name: default}):
            yield make("secret", secret, ("settings", "properties", name, "default"))
    folder = report.source.path.rpartition("/")[0]
    if "xyn_core" in document:
        yield make("core", document["xyn_core"], ("xyn_core",))
    if document.get("attachment", "external") != "external":
        yield make("file", f"{folder}/compose.yaml", ("attachment",))
    for name, contract in (document.get("contracts") or {}).items():
        yield make("file", f"{folder}/{contract['schema']}", ("contracts", name, "schema"))
    for name, action in (document.get("actions") or {}).items():
        yield make("provides", name, ("actions", name))
        if CODE in action:
            yield make("file", f"{folder}/{action[CODE]['file']}", ("actions", name, CODE, "file"))
        for place, tool, given in _given(("actions", name), action):
            inner = dict(_positions(report, place, given))
            yield Reference("action", tool, *report.position(place), place, inner)
            yield from _secrets(make, place, given)


def _given(place: Place, action: Mapping[str, Any]) -> Iterator[tuple[Place, str, Any]]:
    """What an action of a pack gives to Xyn's own: where it stands, to which, and what."""
    for key, tool in BODIES.items():
        if key in action:
            yield (*place, key), tool, action[key]
    for of, given in (action.get(CODE, {}).get("ask") or {}).items():
        yield (*place, CODE, "ask", of), BODIES["request"], given


def _of_pack_settings(
    report: Report, make: MakeReference, document: Mapping[str, Any]
) -> Iterator[Reference]:
    inner = dict(_positions(report, (), dict(document)))
    yield Reference("pack", in_pack(report.source.path)[0] or "", *START, (), inner)
    yield from _secrets(make, (), dict(document))


def _secrets(make: MakeReference, place: Place, value: JSON) -> Iterator[Reference]:
    for here, secret in find_secret_refs(value):
        yield make("secret", secret, (*place, *here))


def _positions(
    report: Report, top: Place, value: JSON, place: Place = ()
) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Where each value below ``with`` stands, and its key."""
    written = report.written((*top, *place))
    at, key_at = report.source.position(written), report.source.key_position(written)
    yield pointer(place), (*at, *key_at)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _positions(report, top, item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _positions(report, top, item, (*place, index))
