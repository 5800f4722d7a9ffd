"""Artifacts: the browser and one artifact's page (seed 44.1)."""

import uuid
from typing import Any

import flask

from flask_ui.shell import PAGE_SIZE, argument, cursor, fragment, full_page
from flask_ui.state import context
from xyn_reconciler.service import artifacts as service

artifacts = flask.Blueprint("artifacts", __name__, url_prefix="/ui/artifacts")


@artifacts.get("")
def show_list() -> flask.Response:
    return full_page("artifacts/list.html", **_listed())


@artifacts.get("/_list")
def listing() -> flask.Response:
    return fragment("artifacts/_list.html", **_listed())


def _listed() -> dict[str, Any]:
    kind = argument("kind")
    return {
        "artifacts": service.list_artifacts(context(), limit=PAGE_SIZE, cursor=cursor(), kind=kind),
        "kind": kind,
        "first_page": cursor() is None,
    }


@artifacts.get("/<uuid:artifact_id>")
def show(artifact_id: uuid.UUID) -> flask.Response:
    return full_page("artifacts/detail.html", artifact=service.get_artifact(context(), artifact_id))
