"""What a policy would say, and the glass that was broken: pages of ``/ui/policy``."""

import uuid
from http import HTTPStatus
from typing import Any, get_args

import flask
from pydantic import ValidationError
from werkzeug.wrappers import Response

from flask_ui import requests
from flask_ui.answers import InvalidFieldsError
from flask_ui.security import actor
from flask_ui.shell import argument, full_page
from flask_ui.state import context
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.policy import RISKS
from xyn_reconciler.service import break_glass, identity
from xyn_reconciler.service import policy as service

policies = flask.Blueprint("policies", __name__, url_prefix="/ui/policy")

ACTIONS = (
    "blueprint.promote",
    "pack.promote",
    "policy.change",
    "node.change",
    "run.start",
    "gate.approve",
    "secret.use",
    "secret.change",
    "state.read",
    "records.read",
)
"""Those that Xyn asks about; a rule may speak of others."""

_FIELDS = ("actor", "action", "stage", "resource_type", "risk")


@policies.get("")
def show() -> flask.Response:
    """Ask: the question stands in the address, and nothing is changed by it."""
    asked = {name: value for name in _FIELDS if (value := argument(name)) is not None}
    answer, error, status = None, None, 200
    if "actor" in asked and "action" in asked:
        try:
            answer = service.evaluate(context(), _question(asked))
        except XynError as failure:
            error, status = failure.message, failure.http_status
    return full_page(
        "policy/show.html",
        status,
        asked=asked,
        answer=answer,
        error=error,
        people=sorted(identity.principals(context())),
        actions=ACTIONS,
        stages=get_args(Stage),
        risks=RISKS,
    )


def _question(asked: dict[str, Any]) -> service.PolicyQuestion:
    try:
        return service.PolicyQuestion.model_validate(asked)
    except ValidationError as error:
        raise InvalidFieldsError.of(error, where="query") from error


@policies.post("/break-glass/<uuid:grant_id>/sign-off")
def sign_off(grant_id: uuid.UUID) -> Response:
    requests.form()
    break_glass.sign_off(context(), actor(), grant_id)
    return flask.redirect(flask.url_for("policies.show"), HTTPStatus.SEE_OTHER)
