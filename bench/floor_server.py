"""The intake's floor: the web server that Xyn uses, answering the same POST from no database.

``python -m bench.floor_server PORT``: Flask on granian, with the threads that
the web process has. It reads the body, parses it, and answers with an event.
"""

import datetime as dt
import sys
import uuid

import flask

from flask_ui.serve import bind, serve


def application() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.post("/api/v1/events")
    def take_in() -> tuple[dict[str, object], int]:
        event = flask.request.get_json()
        answer = {
            "event_id": str(uuid.uuid4()),
            "event_name": event["event_name"],
            "occurred_at": dt.datetime.now(dt.UTC).isoformat(),
            "env_id": "local",
            "actor": "operator",
            "correlation_id": str(uuid.uuid4()),
            "run_id": None,
            "step_id": None,
            "resource": None,
            "data": event["data"],
        }
        return answer, 201

    return app


if __name__ == "__main__":
    serve(application(), bind(["127.0.0.1"], int(sys.argv[1])))
