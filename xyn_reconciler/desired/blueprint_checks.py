"""What has to be read across a whole blueprint: expressions, ids, the order of steps, references.

Asked after the model, and also where the model refused the document, so that one
push shows every problem. Nothing here may rely on a shape: what is not as
expected is passed over, the model has said so.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from xyn_reconciler.desired.complaints import Report, shown
from xyn_reconciler.desired.expression import (
    EVENT_FIELDS,
    NODE_FIELDS,
    RUN_FIELDS,
    Finding,
    Known,
    findings,
)
from xyn_reconciler.desired.fits import misfits
from xyn_reconciler.desired.place import Place
from xyn_reconciler.desired.source import JSON
from xyn_reconciler.desired.step_order import Order, Ordered, order
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.document import SECRET_REF, reserved
from xyn_reconciler.model.json_schema import JsonSchema

Roots = dict[str, Collection[str] | None]

EVENT_ROOTS: Final[Mapping[str, Collection[str] | None]] = {
    "event": EVENT_FIELDS,
    "node": NODE_FIELDS,
}
"""What is known before there is a run."""

_ITEM: Final[Mapping[str, Collection[str] | None]] = {"item": None, "item_index": ()}
_ON_FAILURE_RUN: Final = (*RUN_FIELDS, "error")


def check_blueprint(report: Report, document: Mapping[str, Any]) -> None:
    """Report everything that no single field shows; ``document`` is normalised."""
    plan = order("plan", document.get("plan"))
    on_failure = order("on_failure", document.get("on_failure"))
    _ids(report, plan, on_failure)
    for part in (plan, on_failure):
        _needs(report, part)
        _cycles(report, part)
        for step in part.steps:
            _step(report, step, step_scope(document, plan, on_failure, step))
    _triggers(report, document)
    _inputs(report, document)
    run = run_roots(document)
    check_values(
        report, ("vars",), document.get("vars"), Known({k: run[k] for k in run if k != "vars"})
    )
    concurrency = _mapping(document.get("concurrency"))
    # Asked before there is a run.
    before = Known({key: run[key] for key in run if key != "run"})
    check_text(report, ("concurrency", "key"), concurrency.get("key"), before)
    # A listed output is written by this program; there is nothing of the author's in it.
    outputs = {
        name: value
        for name, value in _mapping(document.get("outputs")).items()
        if ("outputs", name) not in report.origins
    }
    ended = Known({**run, "steps": None}, steps=plan.ids, later=on_failure.ids)
    check_values(report, ("outputs",), outputs, ended)


def run_roots(document: Mapping[str, Any]) -> Roots:
    """The roots that every expression of a run has, but ``steps``."""
    return {
        **EVENT_ROOTS,
        "inputs": tuple(_mapping(document.get("inputs"))),
        "vars": tuple(_mapping(document.get("vars"))),
        "run": RUN_FIELDS,
    }


def step_scope(document: Mapping[str, Any], plan: Order, on_failure: Order, step: Ordered) -> Known:
    """What a step of ``plan`` or ``on_failure`` can name, without its ``item``."""
    roots: Roots = {**run_roots(document), "steps": None}
    if step.place[0] == "on_failure":
        roots["run"] = _ON_FAILURE_RUN
        own, before, after = on_failure, frozenset(plan.ids), frozenset[str]()
    else:
        own, before, after = plan, frozenset[str](), frozenset(on_failure.ids)
    known = own.ancestors.get(step.id, frozenset())
    if not own.is_known(step.id):  # its order means nothing until its needs are mended
        return Known(roots, steps=before | frozenset(own.ids), later=after)
    later = own.later(step.id)
    parallel = frozenset(own.ids) - known - later
    return Known(roots, steps=before | known, later=later | after, parallel=parallel)


def with_item(known: Known) -> Known:
    """The same place, inside one item of a ``foreach``."""
    return Known({**known.roots, **_ITEM}, known.steps, known.later, known.parallel)


# ── Texts ────────────────────────────────────────────────────────────────────────────────────────


def check_text(report: Report, place: Place, text: object, known: Known) -> None:
    """Report what is wrong with a template, if it is a text at all."""
    if isinstance(text, str):
        for finding in findings(text, known):
            told(report, place, finding)


def check_condition(report: Report, place: Place, text: object, known: Known) -> None:
    """Report what is wrong with a bare expression."""
    if isinstance(text, str) and text:
        for finding in findings(text, known, "expression"):
            told(report, place, finding)


def check_values(report: Report, place: Place, value: JSON, known: Known) -> None:
    """Report what is wrong with every template in a value."""
    if isinstance(value, str):
        check_text(report, place, value, known)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_values(report, (*place, key), item, known)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_values(report, (*place, index), item, known)


def told(report: Report, place: Place, finding: Finding) -> None:
    report.problem(place, finding.code, finding.message, offset=finding.offset)


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────


def _ids(report: Report, plan: Order, on_failure: Order) -> None:
    seen: set[str] = set()
    for step in (*plan.steps, *on_failure.steps):
        if step.id in seen:
            report.problem(
                (*step.place, "id"),
                "duplicate_id",
                f"another step is called {shown(step.id)} already",
            )
        seen.add(step.id)


def _needs(report: Report, part: Order) -> None:
    for step in part.steps:
        written = step.step.get("needs")
        for index, need in enumerate(written if isinstance(written, list) else []):
            if isinstance(need, str) and need not in part.ids:
                report.problem(
                    (*step.place, "needs", index),
                    "unresolved_reference",
                    f"no step {quoted(need)}{did_you_mean(need, part.ids)}",
                )


def _cycles(report: Report, part: Order) -> None:
    for place, path in part.cycles:
        round_trip = " needs ".join(map(quoted, path))
        report.problem(place, "cycle", f"these steps wait for each other: {round_trip}")


def _step(report: Report, ordered: Ordered, known: Known) -> None:
    place, step = ordered.place, ordered.step
    check_condition(report, (*place, "when"), step.get("when"), known)
    check_values(report, (*place, "foreach"), step.get("foreach"), known)
    inside = with_item(known) if "foreach" in step else known
    for key in ("idempotency_key", "prompt_template"):
        check_text(report, (*place, key), step.get(key), inside)
    for key in ("with", "set"):
        check_values(report, (*place, key), step.get(key), inside)
    secret_refs(report, (*place, "with"), step.get("with"))
    if step.get("kind") == "gate":
        for name, schema in _mapping(step.get("form")).items():
            check_default(report, (*place, "form", name), schema)
    for message in _idle(step):
        report.remark((*place, message[0]), "no_effect", message[1], at_key=True)


def _idle(step: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that change nothing where they stand."""
    if "max_parallel" in step and "foreach" not in step:
        yield "max_parallel", "max_parallel does nothing without foreach"
    if step.get("kind") == "gate":
        if "retry" in step:
            yield "retry", "a gate is never retried"
        if "on_timeout" in step and "timeout" not in step:
            yield "on_timeout", "on_timeout does nothing without a timeout"


def secret_refs(report: Report, place: Place, value: JSON) -> None:
    """Report ``*_ref`` keys whose plain values are no reference."""
    for here, reference in find_secret_refs(value, place):
        if re.fullmatch(SECRET_REF, reference) is None:
            report.problem(
                here,
                "bad_secret_ref",
                "a secret reference is env/NAME or a path such as team/noc/ssh",
            )


def find_secret_refs(value: JSON, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every plain text under a key that ends in ``_ref``, or in a list under ``_refs``."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_secret_refs(item, (*place, index))
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        here = (*place, key)
        if key.endswith("_ref") and isinstance(item, str):
            if "{{" not in item:
                yield here, item
        elif key.endswith("_refs") and isinstance(item, list):
            for index, each in enumerate(item):
                if isinstance(each, str) and "{{" not in each:
                    yield (*here, index), each
        else:
            yield from find_secret_refs(item, here)


# ── Triggers and inputs ──────────────────────────────────────────────────────────────────────────


def _triggers(report: Report, document: Mapping[str, Any]) -> None:
    triggers = document.get("triggers")
    known = Known(EVENT_ROOTS)
    for index, trigger in enumerate(triggers if isinstance(triggers, list) else []):
        if not isinstance(trigger, dict):
            continue
        place: Place = ("triggers", index)
        check_condition(report, (*place, "when"), trigger.get("when"), known)
        for calm in ("dedupe", "debounce"):
            key = _mapping(trigger.get(calm)).get("key")
            check_text(report, (*place, calm, "key"), key, known)
        for path, value in _mapping(trigger.get("match")).items():
            _match(report, (*place, "match", path), path, value)
        _emitted(report, place, trigger)


def _match(report: Report, place: Place, path: str, value: JSON) -> None:
    first, *rest = path.split(".")
    if first not in EVENT_FIELDS or "" in rest:
        hint = (
            f'; paths begin below the event: "{".".join(rest)}"'
            if first == "event" and rest
            else did_you_mean(first, EVENT_FIELDS) or f"; there is {', '.join(EVENT_FIELDS)}"
        )
        report.problem(
            place,
            "unresolved_reference",
            f"an event has no field {quoted(first)}{hint}"
            if first not in EVENT_FIELDS
            else "a path has a name between its dots",
            at_key=True,
        )
    values = value if isinstance(value, list) else [value]
    for index, item in enumerate(values):
        if isinstance(item, str) and "{{" in item:
            report.problem(
                (*place, index) if isinstance(value, list) else place,
                "bad_value",
                "match compares with plain values; ask with when",
            )


def _emitted(report: Report, place: Place, trigger: Mapping[str, Any]) -> None:
    event_type = trigger.get("event_type")
    if not isinstance(event_type, str) or "schedule" not in trigger:
        return
    if reserved(event_type) and event_type != "xyn.schedule.fired":
        report.problem(
            (*place, "event_type"),
            "reserved_name",
            "a schedule emits this event, and names with xyn. are the node's own",
        )
    elif event_type.endswith("*"):
        report.problem(
            (*place, "event_type"), "bad_value", "a schedule emits this event: name it in full"
        )


def _inputs(report: Report, document: Mapping[str, Any]) -> None:
    for name, schema in _mapping(document.get("inputs")).items():
        place: Place = ("inputs", name)
        listed = place in report.origins
        source = _mapping(schema).get("from")
        if not (listed and isinstance(source, str) and source == f"{{{{ event.data.{name} }}}}"):
            check_text(report, (*place, "from"), source, Known(EVENT_ROOTS))
        check_default(report, place, schema)


def check_default(report: Report, place: Place, schema: JSON) -> None:
    """Report a default that its own schema refuses."""
    if not isinstance(schema, dict) or "default" not in schema:
        return
    rules = {key: rule for key, rule in schema.items() if key not in ("from", "default")}
    try:
        JsonSchema.model_validate(rules)
    except ValidationError:
        return  # the schema's own problems are told already
    for misfit in misfits(rules, schema["default"]):
        report.problem(
            (*place, "default", *misfit.place), "bad_value", f"the default {misfit.message}"
        )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
