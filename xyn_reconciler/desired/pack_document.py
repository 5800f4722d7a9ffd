"""What no single field of ``pack.yaml`` shows: names, expressions, references within the file.

Like :mod:`xyn_reconciler.desired.blueprint_checks`, asked about documents that their model
refused as well, and relying on no shape.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from xyn_reconciler.desired.blueprint_checks import (
    Roots,
    check_condition,
    check_default,
    check_text,
    check_values,
    secret_refs,
)
from xyn_reconciler.desired.complaints import Report
from xyn_reconciler.desired.expression import Known
from xyn_reconciler.desired.fits import has_template, misfits
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.literal_secrets import texts
from xyn_reconciler.desired.place import Place
from xyn_reconciler.desired.source import JSON
from xyn_reconciler.desired.wording import did_you_mean, quoted
from xyn_reconciler.model.json_schema import JsonSchema
from xyn_reconciler.model.pack import BODIES


def check_pack(report: Report, document: Mapping[str, Any]) -> None:
    """Report what is wrong with a pack's definition."""
    folder = in_pack(report.source.path)[0] or ""
    given = document.get("id")
    if isinstance(given, str) and given != folder:
        report.problem(
            ("id",), "bad_id", f"a pack has its folder's name: this one is called {quoted(folder)}"
        )
    settings = document.get("settings")
    _check_settings_schema(report, settings)
    actions = _mapping(document.get("actions"))
    for name, action in actions.items():
        place: Place = ("actions", name)
        if not name.startswith(f"{folder}."):
            report.problem(
                place,
                "bad_id",
                f"names of this pack's actions begin with {quoted(folder + '.')}",
                at_key=True,
            )
        if isinstance(action, dict):
            _check_action(report, place, action, settings)
    _check_uses(report, document, actions)
    for name in _mapping(document.get("contracts")):
        schema = document["contracts"][name]
        path = schema.get("schema") if isinstance(schema, dict) else None
        if isinstance(path, str) and not path.startswith("schemas/"):
            message = "the schema of a data contract is a file in schemas/: schemas/hosts.json"
            report.problem(("contracts", name, "schema"), "bad_value", message)


def _check_settings_schema(report: Report, schema: object) -> None:
    if not isinstance(schema, dict):
        return
    if schema.get("type") != "object":
        message = "settings are a mapping: write type: object, and properties"
        report.problem(("settings", "type"), "bad_value", message)
    for name, rules in _mapping(schema.get("properties")).items():
        check_default(report, ("settings", "properties", name), rules)
        default = rules.get("default") if isinstance(rules, dict) else None
        if isinstance(default, str) and default and name.endswith("_ref"):
            secret_refs(report, ("settings", "properties", name), {"default_ref": default})


def _check_action(
    report: Report, place: Place, action: Mapping[str, Any], settings: object
) -> None:
    given: Roots = {"inputs": _members(action.get("input_schema")), "settings": _members(settings)}
    before = Known(given)
    for key in BODIES:
        check_values(report, (*place, key), action.get(key), before)
        secret_refs(report, (*place, key), action.get(key))
    code = _mapping(action.get("run"))
    check_values(report, (*place, "run", "secrets"), code.get("secrets"), before)
    _check_asked(report, (*place, "run", "ask"), code.get("ask"), before)
    for key in ("image", "network"):
        check_text(
            report, (*place, "run", key), code.get(key), Known({"settings": given["settings"]})
        )
    answered = Known({**given, "response": None})
    for key in ("next", "next_query", "items"):
        value = _mapping(action.get("paginate")).get(key)
        check_values(report, (*place, "paginate", key), value, answered)
    paged = Known({**given, "response": None, "items": None})
    outputs = action.get("outputs")
    check_values(report, (*place, "outputs"), outputs, paged if "paginate" in action else answered)
    errors = action.get("errors")
    for index, rule in enumerate(errors if isinstance(errors, list) else []):
        at = (*place, "errors", index)
        check_condition(report, (*at, "when"), _mapping(rule).get("when"), answered)
        check_text(report, (*at, "message"), _mapping(rule).get("message"), answered)
    if isinstance(outputs, dict):
        _check_outputs(report, (*place, "outputs"), outputs, action.get("output_schema"))


def _check_asked(report: Report, place: Place, asked: object, before: Known) -> None:
    for name, given in _mapping(asked).items():
        check_values(report, (*place, name), given, before)
        secret_refs(report, (*place, name), given)
        if "url" not in _mapping(given):
            message = 'it says at least where: url: "{{ settings.url }}"'
            report.problem((*place, name), "missing_key", message)


def _check_outputs(
    report: Report, place: Place, outputs: Mapping[str, Any], schema: object
) -> None:
    """Report outputs that the action's own schema refuses, as far as plain values tell."""
    for at, code, message, at_key in _misfits(schema, dict(outputs)):
        report.problem((*place, *at), code, message, at_key=at_key)


def _check_uses(report: Report, document: Mapping[str, Any], actions: Mapping[str, Any]) -> None:
    """Actions that the pack itself names."""
    smoke = _mapping(document.get("smoke"))
    backup = _mapping(document.get("backup"))
    named = [
        (("smoke", "action"), smoke.get("action")),
        (("backup", "dump"), backup.get("dump")),
        (("backup", "restore"), backup.get("restore")),
    ]
    for place, name in named:
        if isinstance(name, str) and name not in actions:
            message = f"this pack has no action {quoted(name)}{did_you_mean(name, actions)}"
            report.problem(place, "unknown_action", message)
    inputs = smoke.get("with", {})
    if has_template(inputs):
        report.problem(
            ("smoke", "with"), "bad_value", "a smoke test is given plain values, no templates"
        )
        return
    action = _mapping(actions.get(str(smoke.get("action"))))
    for at, code, message, at_key in _misfits(action.get("input_schema"), inputs):
        report.problem(("smoke", "with", *at), code, message, at_key=at_key)


def _misfits(schema: object, value: JSON) -> Iterator[tuple[Place, str, str, bool]]:
    if not isinstance(schema, dict) or not isinstance(value, dict):
        return
    try:
        JsonSchema.model_validate(schema)
    except ValidationError:
        return  # the schema's own problems are told already
    for misfit in misfits(schema, value):
        subject = "this" if misfit.names_value else "it"
        at_key = misfit.code == "unknown_key"
        yield misfit.place, misfit.code, f"{subject} {misfit.message}", at_key


def _members(schema: object) -> Collection[str] | None:
    """The names that a schema lets one write; None where it lets any."""
    rules = _mapping(schema)
    properties = rules.get("properties")
    if not isinstance(properties, dict):
        return None
    if rules.get("additionalProperties") not in (None, False):
        return None
    return tuple(properties)


def check_pack_settings(report: Report, document: Mapping[str, Any]) -> None:
    """Report templates, which no settings have, and references that are none."""
    for place, text in texts(dict(document)):
        if "{{" in text:
            message = "settings are plain values: there is nothing yet that {{ }} could name"
            report.problem(place, "bad_value", message)
    secret_refs(report, (), dict(document))


def check_place(report: Report, kind: str, document: Mapping[str, Any]) -> None:
    """Report names of a document in a pack that are not the pack's."""
    pack = in_pack(report.source.path)[0]
    given = document.get("id")
    if pack is None or not isinstance(given, str):
        return
    if kind == "blueprint" and not given.startswith(f"bp.{pack}."):
        message = f"ids of this pack's blueprints begin with {quoted(f'bp.{pack}.')}"
        report.problem(("id",), "bad_id", message)
    elif kind == "source" and given != pack and not given.startswith(f"{pack}-"):
        message = f"a source of this pack is called {quoted(pack)} or {quoted(f'{pack}-...')}"
        report.problem(("id",), "bad_id", message)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
