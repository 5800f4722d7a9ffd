"""The page of secrets: their names, who uses them, what is the matter with them. Never a value."""

import flask

from flask_ui.shell import full_page
from flask_ui.state import context
from xyn_reconciler.service import secrets as service

secrets = flask.Blueprint("secrets", __name__, url_prefix="/ui/secrets")


@secrets.get("")
def show_list() -> flask.Response:
    return full_page("secrets/list.html", secrets=service.list_secrets(context()).items)
