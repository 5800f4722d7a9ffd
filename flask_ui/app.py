"""Put the web application together: checks, routes, words."""

import logging
import time

import flask

from flask_ui import (
    answers,
    artifacts,
    blueprints,
    correlation,
    events,
    git,
    health,
    hooks,
    runs,
    security,
    shell,
    state,
)
from flask_ui.access import Access, settle
from flask_ui.api import routes as api
from flask_ui.api.table import NameConverter
from xyn_reconciler import __version__
from xyn_reconciler.service.context import Context

logger = logging.getLogger(__name__)

_YEAR_SECONDS = 31_536_000


def create_app(context: Context, *, access: Access | None = None) -> flask.Flask:
    """Make the application over one open context; by default it serves this machine alone."""
    app = flask.Flask(__name__)
    # A file's address holds its sum, so it may be kept for ever.
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _YEAR_SECONDS
    app.url_map.converters["name"] = NameConverter
    if access is None:
        _, access = settle(None, {}, url=context.url, gateway=None)
    state.keep(app, context)
    _correlate(app, context)
    security.protect(app, access)
    answers.answer_errors(app)
    shell.dress(app)
    app.register_blueprint(api.routes(version=__version__))
    app.register_blueprint(hooks.routes(access))
    app.register_blueprint(git.routes(context))
    for noun in (events.events, runs.runs, artifacts.artifacts, blueprints.blueprints):
        app.register_blueprint(noun)
    app.register_blueprint(health.health)
    app.add_url_rule("/", "home", lambda: flask.redirect(flask.url_for("events.show_list")))
    return app


def _correlate(app: flask.Flask, context: Context) -> None:
    """Name each request, answer with the name, and write one line about it."""

    @app.before_request
    def _begin() -> None:
        flask.g.began = time.perf_counter()
        # It goes into rows, logs and records like any other word that a stranger sends.
        given = correlation.correlation_id(flask.request.headers)
        flask.g.correlation_id = context.redactor.text(given)

    @app.after_request
    def _end(response: flask.Response) -> flask.Response:
        request = flask.request
        response.headers[correlation.HEADER] = flask.g.correlation_id
        if correlation.trace_id(request.headers) is not None:
            response.headers["traceparent"] = request.headers["traceparent"]
        logger.info(
            "%s %s %d",
            request.method,
            request.path,
            response.status_code,
            extra={
                "correlation_id": flask.g.correlation_id,
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "milliseconds": round((time.perf_counter() - flask.g.began) * 1000, 2),
                "remote": request.remote_addr,
            },
        )
        return response
