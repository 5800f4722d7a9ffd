"""All routes of ``/api/v1`` on one Flask blueprint, and the document that describes them."""

from typing import Final

import flask

from flask_ui import answers
from flask_ui.api import (
    artifacts,
    audit,
    backtests,
    blueprints,
    drafts,
    events,
    identity,
    node,
    policy,
    runs,
    triggers,
)
from flask_ui.api.openapi import document
from flask_ui.api.table import PREFIX, Operation, serve

OPERATIONS: Final[tuple[Operation, ...]] = (
    *node.OPERATIONS,
    *events.OPERATIONS,
    *runs.OPERATIONS,
    *artifacts.OPERATIONS,
    *blueprints.OPERATIONS,
    *triggers.OPERATIONS,
    *drafts.OPERATIONS,
    *backtests.OPERATIONS,
    *identity.OPERATIONS,
    *policy.OPERATIONS,
    *audit.OPERATIONS,
)


def routes(*, version: str) -> flask.Blueprint:
    """A new Flask blueprint that serves every operation and ``openapi.json``."""
    api = flask.Blueprint("api", __name__, url_prefix=PREFIX)
    for operation in OPERATIONS:
        api.add_url_rule(
            operation.rule,
            endpoint=operation.name,
            view_func=serve(operation),
            methods=[operation.method],
            provide_automatic_options=False,
        )
    described = document(OPERATIONS, version=version)
    api.add_url_rule("/openapi.json", "openapi", lambda: answers.json_answer(described))
    return api
