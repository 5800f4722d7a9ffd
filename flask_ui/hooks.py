"""``POST /hooks/<source>``: what other systems deliver; the language document gives the answers."""

import flask

from flask_ui import answers
from flask_ui.access import Access
from flask_ui.state import context
from xyn_reconciler.service import events


def routes(access: Access) -> flask.Blueprint:
    hooks = flask.Blueprint("hooks", __name__, url_prefix="/hooks")

    @hooks.post("/<name:source_id>")
    def receive(source_id: str) -> flask.Response:
        request = flask.request
        delivery = events.receive_delivery(
            context(),
            source_id,
            {name.lower(): value for name, value in request.headers.items()},
            request.get_data(cache=False),
            from_loopback=access.is_near(request.remote_addr),
            correlation_id=flask.g.correlation_id,
        )
        return answers.json_answer(
            {
                "event_ids": [str(event_id) for event_id in delivery.event_ids],
                "duplicate": delivery.duplicate,
            },
            202,
        )

    return hooks
