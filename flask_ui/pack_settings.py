"""Settings of a pack: a form made of the schema in ``pack.yaml``, whose save is a draft.

Pure but for the views below. What is left empty takes its default and goes from the file.
The trap: a field that wants a secret's reference may be given the secret itself; what was
typed there and is no reference is never shown again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import flask
from werkzeug.wrappers import Response

from flask_ui import forms, requests
from flask_ui.security import actor
from flask_ui.shell import full_page
from flask_ui.state import context
from xyn_reconciler.model.document import SECRET_REF
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.service import pack_settings as service

pack_settings = flask.Blueprint("pack_settings", __name__, url_prefix="/ui/packs")

_REFERENCE: Final = re.compile(SECRET_REF)


@pack_settings.get("/<name:pack_id>/settings")
def show(pack_id: str) -> flask.Response:
    now = service.pack_settings(context(), actor(), pack_id)
    return _page(now, fields(now.schema, typed(now.schema, now.written), {}))


@pack_settings.post("/<name:pack_id>/settings")
def save(pack_id: str) -> Response:
    given = requests.form()
    now = service.pack_settings(context(), actor(), pack_id)
    values, errors = read(now.schema, given)
    errors = {**service.wrong_settings(now.schema, values), **errors}
    if errors:
        return _page(now, fields(now.schema, given, errors), status=422)
    try:
        draft = service.save_settings(
            context(),
            actor(),
            pack_id,
            values,
            base=given.get("base", ""),
            notes=given.get("notes", "").strip() or None,
        )
    except XynError as error:
        return _page(now, fields(now.schema, given, {}), error=error.message,
                     status=error.http_status)  # fmt: skip
    return flask.redirect(flask.url_for("reviews.show", draft=draft.draft_id), HTTPStatus.SEE_OTHER)


@pack_settings.post("/<name:pack_id>/smoke")
def smoke(pack_id: str) -> flask.Response:
    """Run the smoke test and show what came of it."""
    given = requests.form()
    now = service.pack_settings(context(), actor(), pack_id)
    shown = fields(now.schema, typed(now.schema, now.written), {})
    try:
        done = service.try_settings(
            context(),
            actor(),
            pack_id,
            base=given.get("base", ""),
            correlation_id=flask.g.correlation_id,
        )
    except XynError as error:
        return _page(now, shown, error=error.message, status=error.http_status)
    return _page(now, shown, done=done)


def _page(
    now: service.PackSettings,
    shown: Sequence[forms.Field],
    *,
    status: int = HTTPStatus.OK,
    **more: Any,  # noqa: ANN401 - a template's
) -> flask.Response:
    return full_page("packs/settings.html", status, settings=now, fields=shown, **more)


# ── a form of a schema ───────────────────────────────────────────────────────────────────────────


def fields(
    schema: Mapping[str, Any], given: Mapping[str, str], errors: Mapping[str, str]
) -> list[forms.Field]:
    """Fields of the schema's members, with what was typed in and what is wrong with it."""
    needed = schema.get("required") or ()
    made = []
    for name, rules in _members(schema).items():
        (field,) = forms.fields({name: rules}, given, errors)
        field = replace(field, required=name in needed and "default" not in rules)
        if is_reference(name, rules):
            value = field.value if _REFERENCE.fullmatch(field.value) else ""
            field = replace(field, kind="secret", value=value)
        elif _is_lines(rules):
            default = "\n".join(map(str, rules.get("default") or ()))
            field = replace(field, kind="lines", placeholder=default)
        made.append(field)
    return made


def read(
    schema: Mapping[str, Any], given: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and errors by name; a name that is in neither was left empty."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, rules in _members(schema).items():
        text = given.get(forms.PREFIX + name, "").replace("\r\n", "\n")
        if _is_lines(rules):
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            values |= {name: lines} if lines else {}
        elif is_reference(name, rules):
            if text and not _REFERENCE.fullmatch(text.strip()):
                errors[name] = "name where the secret is kept, such as env/NAME; never its value"
            elif text:
                values[name] = text.strip()
        else:
            # With a default of whatever kind, what is empty is neither a value nor an error.
            found, wrong = forms.read(
                {name: {"default": None, **rules}}, {forms.PREFIX + name: text}
            )
            values |= found
            errors |= wrong
    return values, errors


def typed(schema: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """What a person would type for these values."""
    members = _members(schema)
    return {
        forms.PREFIX + name: "\n".join(map(str, value))
        if _is_lines(members[name]) and isinstance(value, list)
        else forms.as_text(value)
        for name, value in values.items()
        if name in members
    }


def is_reference(name: str, rules: Mapping[str, Any]) -> bool:
    """Whether a member names a secret: ``x-secret-ref`` says so, or its name ends with ``_ref``."""
    return rules.get("type") == "string" and (
        name.endswith("_ref") or rules.get("x-secret-ref") is True
    )


def _is_lines(rules: Mapping[str, Any]) -> bool:
    items = rules.get("items")
    return (
        rules.get("type") == "array"
        and isinstance(items, Mapping)
        and items.get("type") == "string"
        and "enum" not in rules
    )


def _members(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    members = schema.get("properties") or {}
    return {name: each if isinstance(each, Mapping) else {} for name, each in members.items()}
