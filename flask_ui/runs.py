"""Runs: the list, the launcher, a run with its gates, a step (seed 44.1).

Every form works without a script: it posts, and is answered with a redirect to
what it changed, or with itself and what to mend.
"""

import uuid
from http import HTTPStatus
from typing import Any, Literal

import flask
from pydantic import ValidationError
from werkzeug.wrappers import Response

from flask_ui import forms, requests
from flask_ui.security import actor
from flask_ui.shell import PAGE_SIZE, argument, cursor, fragment, full_page
from flask_ui.state import context
from xyn_reconciler.model.dto import (
    BlueprintDto,
    GateDecisionRequest,
    GateDto,
    ResolveRequest,
    RunCreateRequest,
    StepDto,
)
from xyn_reconciler.model.errors import InvalidError, NotFoundError, XynError
from xyn_reconciler.model.run import RunStatus, StepStatus
from xyn_reconciler.service import artifacts, blueprints, events, gates, live
from xyn_reconciler.service import runs as service

runs = flask.Blueprint("runs", __name__, url_prefix="/ui/runs")

DECISIONS: dict[str, Literal["approved", "rejected"]] = {
    "approve": "approved",
    "reject": "rejected",
}


@runs.get("")
def show_list() -> flask.Response:
    return full_page("runs/list.html", **_listed())


@runs.get("/_list")
def listing() -> flask.Response:
    return fragment("runs/_list.html", **_listed())


def _listed() -> dict[str, Any]:
    status = argument("status")
    status = status if status in set(RunStatus) else None
    blueprint_id = argument("blueprint_id")
    return {
        "runs": service.list_runs(
            context(), limit=PAGE_SIZE, cursor=cursor(), status=status, blueprint_id=blueprint_id
        ),
        "statuses": list(RunStatus),
        "status": status,
        "blueprint_id": blueprint_id,
        "first_page": cursor() is None,
    }


@runs.get("/new")
def launcher() -> flask.Response:
    return _launcher(argument("blueprint"), {}, {})


@runs.post("")
def launch() -> Response:
    given = requests.form()
    blueprint_id = given.get("blueprint", "")
    try:
        asked = requests.validated(RunCreateRequest, {"blueprint_ref": blueprint_id})
        blueprint = blueprints.get_blueprint(context(), blueprint_id)
        values, errors = forms.read(blueprint.inputs, given)
        if errors:
            return _launcher(blueprint_id, given, errors, HTTPStatus.UNPROCESSABLE_ENTITY)
        run = service.start_run(
            context(),
            actor(),
            asked.model_copy(update={"inputs": values}),
            correlation_id=flask.g.correlation_id,
        )
    except (InvalidError, NotFoundError) as error:
        errors = {"": error.message, **_by_input(error)}
        return _launcher(blueprint_id, given, errors, error.http_status)
    return _to_run(run.run_id)


def _by_input(error: XynError) -> dict[str, str]:
    """What an error says of single inputs (``run.compile``: ``details.inputs``)."""
    details = error.details or {}
    named: dict[str, str] = details.get("details", details).get("inputs", {})
    return named


def _launcher(
    blueprint_id: str | None, given: dict[str, str], errors: dict[str, str], status: int = 200
) -> flask.Response:
    offered = blueprints.list_blueprints(context(), limit=200).items
    chosen = _chosen(offered, blueprint_id)
    return full_page(
        "runs/new.html",
        status,
        blueprints=sorted(offered, key=lambda blueprint: blueprint.name.lower()),
        blueprint=chosen,
        fields=[] if chosen is None else forms.fields(chosen.inputs, given, errors),
        error=errors.get(""),
    )


def _chosen(offered: list[BlueprintDto], blueprint_id: str | None) -> BlueprintDto | None:
    if blueprint_id is None and len(offered) == 1:
        return offered[0]
    return next((b for b in offered if b.blueprint_id == blueprint_id), None)


@runs.get("/<uuid:run_id>")
def show(run_id: uuid.UUID) -> flask.Response:
    return _run_page(run_id)


@runs.get("/<uuid:run_id>/_status")
def status(run_id: uuid.UUID) -> flask.Response:
    return fragment("runs/_status.html", **_run(run_id))


def _run_page(
    run_id: uuid.UUID, status: int = 200, error: str | None = None, comment: str = ""
) -> flask.Response:
    return full_page("runs/detail.html", status, error=error, comment=comment, **_run(run_id))


def _run(run_id: uuid.UUID) -> dict[str, Any]:
    steps = service.list_steps(context(), run_id)
    found = [gate for step in steps if (gate := _gate(step)) is not None]
    return {
        "run": service.get_run(context(), run_id),
        "steps": steps,
        "gates": found,
        "standing": {
            gate.step_id: gates.standing(context(), actor(), gate)
            for gate in found
            if gate.decision is None
        },
        "forms": forms,
        "started": service.list_runs(context(), limit=PAGE_SIZE, parent_run_id=run_id).items,
        "timeline": events.list_events(context(), limit=200, run_id=run_id).items[::-1],
        "artifacts": artifacts.list_artifacts(context(), limit=PAGE_SIZE, run_id=run_id).items,
    }


def _gate(step: StepDto) -> GateDto | None:
    if step.kind != "gate":
        return None
    try:
        return gates.get_gate(context(), step.run_id, str(step.step_id))
    except NotFoundError:
        return None


@runs.post("/<uuid:run_id>/cancel")
def cancel(run_id: uuid.UUID) -> Response:
    requests.form()
    try:
        service.cancel_run(context(), actor(), run_id)
    except XynError as error:
        return _run_page(run_id, error.http_status, error.message)
    return _to_run(run_id)


@runs.post("/<uuid:run_id>/rerun")
def rerun(run_id: uuid.UUID) -> Response:
    """Run it again, from the start or from a step, and show the new run."""
    given = requests.form()
    try:
        new = service.rerun_run(
            context(),
            actor(),
            run_id,
            from_step=given.get("from_step") or None,
            revision=given.get("revision", "").strip() or None,
            fresh=given.get("fresh") == "true",
            correlation_id=flask.g.correlation_id,
        )
    except XynError as error:
        return _run_page(run_id, error.http_status, error.message)
    return _to_run(new.run_id)


@runs.post("/<uuid:run_id>/steps/<name:step>/resolve")
def resolve(run_id: uuid.UUID, step: str) -> Response:
    """Say what becomes of an interrupted step."""
    try:
        chosen = ResolveRequest.model_validate({"resolution": requests.form().get("resolution")})
        service.resolve_step(context(), actor(), run_id, step, chosen.resolution)
    except ValidationError:
        return _run_page(run_id, 422, "choose retry, done or fail")
    except XynError as error:
        return _run_page(run_id, error.http_status, error.message)
    return _to_run(run_id)


@runs.post("/<uuid:run_id>/gates/<name:step>")
def decide(run_id: uuid.UUID, step: str) -> Response:
    """Approve or reject; the digest says what was on the page, and nothing else is let through."""
    given = requests.form()
    comment = given.get("comment", "")
    try:
        decision = DECISIONS.get(given.get("decision", ""))
        if decision is None:
            raise InvalidError("approve or reject")
        gate = gates.get_gate(context(), run_id, step)
        filled, errors = forms.read(gate.form or {}, given)
        if errors and decision == "approved":
            listed = "; ".join(f"{name}: {what}" for name, what in errors.items())
            raise InvalidError(listed)
        request = requests.validated(
            GateDecisionRequest,
            {
                "comment": comment or None,
                "form": filled or None,
                "effect_digest": given.get("effect_digest") or None,
            },
        )
        gates.decide_gate(context(), actor(), run_id, step, decision, request)
    except XynError as error:
        return _run_page(run_id, error.http_status, error.message, comment)
    return _to_run(run_id)


@runs.get("/<uuid:run_id>/artifacts")
def run_artifacts(run_id: uuid.UUID) -> flask.Response:
    found = artifacts.list_artifacts(context(), limit=PAGE_SIZE, run_id=run_id)
    return fragment("runs/_artifacts.html", artifacts=found.items)


@runs.get("/<uuid:run_id>/steps/<name:step>")
def show_step(run_id: uuid.UUID, step: str) -> flask.Response:
    return full_page("runs/step.html", **_step(run_id, step))


@runs.get("/<uuid:run_id>/steps/<name:step>/_step")
def step_part(run_id: uuid.UUID, step: str) -> flask.Response:
    return fragment("runs/_step.html", **_step(run_id, step))


def _step(run_id: uuid.UUID, step: str) -> dict[str, Any]:
    found = service.get_step(context(), run_id, step)
    used = service.list_footprints(context(), run_id)
    return {
        "run": service.get_run(context(), run_id),
        "step": found,
        "used": [each for each in used if each.key == found.key],
        "said": live.live_texts(context(), run_id, step),
    }


@runs.get("/<uuid:run_id>/steps/<name:step>/_live")
def step_live(run_id: uuid.UUID, step: str) -> flask.Response:
    """What it says while it runs; looked at more often than the rest of its page."""
    return fragment(
        "runs/_live.html",
        run_id=run_id,
        step_id=step,
        watched=service.get_step(context(), run_id, step).status is StepStatus.RUNNING,
        said=live.live_texts(context(), run_id, step),
    )


def _to_run(run_id: uuid.UUID) -> Response:
    return flask.redirect(flask.url_for("runs.show", run_id=run_id), HTTPStatus.SEE_OTHER)
