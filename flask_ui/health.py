"""``/healthz`` (this process), ``/readyz`` (all that it needs), and the page that people read."""

import flask

from flask_ui import answers
from flask_ui.shell import full_page
from flask_ui.state import context
from xyn_reconciler.service import node, triggers

health = flask.Blueprint("health", __name__)


@health.get("/healthz")
def alive() -> flask.Response:
    return answers.json_answer({"status": "ok"})


@health.get("/readyz")
def ready() -> flask.Response:
    reasons = node.readiness(context())
    return answers.json_answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


@health.get("/ui/health")
def show() -> flask.Response:
    return full_page(
        "health/detail.html",
        health=node.health(context()),
        well=node.WELL,
        sources=triggers.list_sources(context()),
        backlog=triggers.backlog(context()),
    )
