"""``POST /hooks/<source>``: what other systems deliver; the language document gives the answers."""

import flask

from flask_ui import answers, intake
from flask_ui.access import Access


def routes(access: Access) -> flask.Blueprint:
    hooks = flask.Blueprint("hooks", __name__, url_prefix="/hooks")

    @hooks.post("/<name:source_id>")
    def receive(source_id: str) -> flask.Response:
        return answers.json_answer(*intake.receive(intake.call(), source_id, access))

    return hooks
