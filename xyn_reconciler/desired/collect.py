"""What a valid document names outside itself, and where.

:mod:`xyn_reconciler.desired.validate` asks whether it exists; who uses a secret or a
prompt is read from here too.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired.blueprint_checks import find_secret_refs
from xyn_reconciler.desired.complaints import Place, Report
from xyn_reconciler.desired.loaded import Kind, Reference, ReferenceKind, pointer
from xyn_reconciler.desired.source import JSON
from xyn_reconciler.desired.step_order import each_step

MakeReference = Callable[[ReferenceKind, str, Place], Reference]

ID_KEYS: Final[Mapping[Kind, str]] = {"policy": "policy_id"}
"""Where a document's id stands, if not under ``id``."""


def references(kind: Kind, report: Report, document: Mapping[str, Any]) -> Iterator[Reference]:
    """Give every reference of a valid document, its own id first."""

    def make(what: ReferenceKind, name: str, place: Place) -> Reference:
        return Reference(what, name, *report.position(place), place)

    if kind not in ("principals", "test"):
        key = ID_KEYS.get(kind, "id")
        yield make("self", document[key], (key,))
    match kind:
        case "blueprint":
            for index, node in enumerate(document.get("nodes") or []):
                yield make("node", node, ("nodes", index))
            for place, step in each_step(document):
                yield from _of_step(report, make, place, step)
        case "policy":
            yield from _of_policy(make, document)
        case "source":
            for index, secret in enumerate(document["verify"].get("secret_refs") or []):
                yield make("secret", secret, ("verify", "secret_refs", index))
        case "test":
            yield make("blueprint", document["blueprint"], ("blueprint",))


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
            for here, secret in find_secret_refs(step["with"]):
                yield make("secret", secret, (*place, "with", *here))
        case "agent_task":
            yield make("provider", step["provider"], (*place, "provider"))
            if "prompt_file" in step:
                yield make("prompt", step["prompt_file"], (*place, "prompt_file"))
        case "gate":
            yield from _of_approvals(make, place, step)


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
