"""Put the web application together: checks, routes, words."""

import flask

from flask_ui import (
    answers,
    artifacts,
    audit,
    blueprints,
    correlation,
    events,
    git,
    health,
    hooks,
    intake,
    pack_settings,
    packs,
    policy,
    reviews,
    runs,
    secrets,
    security,
    sessions,
    shell,
    state,
)
from flask_ui.access import Access, settle
from flask_ui.api import routes as api
from flask_ui.api.table import DigestConverter, DraftConverter, NameConverter
from xyn_reconciler import __version__
from xyn_reconciler.service.context import Context

_YEAR_SECONDS = 31_536_000


def create_app(context: Context, *, access: Access | None = None) -> flask.Flask:
    """Make the application over one open context; by default it serves this machine alone."""
    app = flask.Flask(__name__)
    # A file's address holds its sum, so it may be kept for ever.
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _YEAR_SECONDS
    app.url_map.converters["name"] = NameConverter
    app.url_map.converters["sha256"] = DigestConverter
    app.url_map.converters["draft"] = DraftConverter
    if access is None:
        _, access = settle(None, {}, url=context.url, gateway=None)
    state.keep(app, context)
    _correlate(app, context)
    security.protect(app, access, context)
    answers.answer_errors(app)
    shell.dress(app)
    app.register_blueprint(api.routes(version=__version__))
    app.register_blueprint(api.internal_routes())
    app.register_blueprint(hooks.routes(access))
    app.register_blueprint(git.routes(context))
    for noun in (events.events, runs.runs, artifacts.artifacts, blueprints.blueprints):
        app.register_blueprint(noun)
    app.register_blueprint(packs.packs)
    app.register_blueprint(pack_settings.pack_settings)
    app.register_blueprint(health.health)
    app.register_blueprint(audit.audit)
    app.register_blueprint(sessions.sessions)
    app.register_blueprint(policy.policies)
    app.register_blueprint(secrets.secrets)
    app.register_blueprint(reviews.reviews)
    app.add_url_rule("/", "home", lambda: flask.redirect(flask.url_for("events.show_list")))
    app.wsgi_app = intake.Door(app.wsgi_app, context, access)  # type: ignore[method-assign]  # Flask's documented way to put something in front
    return app


def _correlate(app: flask.Flask, context: Context) -> None:
    """Name each request, answer with the name, and write one line about it."""

    @app.before_request
    def _begin() -> None:
        flask.g.begun = correlation.Begun(flask.request, context.redactor)
        flask.g.correlation_id = flask.g.begun.id

    @app.after_request
    def _end(response: flask.Response) -> flask.Response:
        response.headers.update(flask.g.begun.headers)
        flask.g.begun.end(response.status_code)
        return response
