"""Blueprints: what is active here, where it comes from, and the way to start it."""

import flask

from flask_ui.shell import PAGE_SIZE, cursor, full_page
from flask_ui.state import context
from xyn_reconciler.service import blueprints as service
from xyn_reconciler.service import runs, triggers

blueprints = flask.Blueprint("blueprints", __name__, url_prefix="/ui/blueprints")


@blueprints.get("")
def show_list() -> flask.Response:
    found = service.list_blueprints(context(), limit=PAGE_SIZE, cursor=cursor())
    return full_page("blueprints/list.html", blueprints=found, first_page=cursor() is None)


@blueprints.get("/<name:blueprint_id>")
def show(blueprint_id: str) -> flask.Response:
    blueprint = service.get_blueprint(context(), blueprint_id)
    return full_page(
        "blueprints/detail.html",
        blueprint=blueprint,
        source=service.blueprint_source(context(), blueprint_id),
        history=service.blueprint_history(context(), blueprint_id, limit=20),
        schedules=[
            each for each in triggers.list_schedules(context()) if each.blueprint_id == blueprint_id
        ],
        runs=runs.list_runs(context(), limit=10, blueprint_id=blueprint_id).items,
    )
