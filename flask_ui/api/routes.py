"""All routes of ``/api/v1`` on one Flask blueprint, and the document that describes them."""

import functools
from collections.abc import Iterable
from typing import Any, Final

import flask

from flask_ui import answers
from flask_ui.api import (
    actions,
    artifacts,
    audit,
    backtests,
    blueprints,
    drafts,
    events,
    identity,
    node,
    packs,
    policy,
    runs,
    secrets,
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
    *actions.OPERATIONS,
    *packs.OPERATIONS,
    *triggers.OPERATIONS,
    *drafts.OPERATIONS,
    *backtests.OPERATIONS,
    *identity.OPERATIONS,
    *policy.OPERATIONS,
    *secrets.OPERATIONS,
    *audit.OPERATIONS,
)


def routes(*, version: str) -> flask.Blueprint:
    """A new Flask blueprint that serves every operation and ``openapi.json``."""
    api = flask.Blueprint("api", __name__, url_prefix=PREFIX)
    _add(api, OPERATIONS)
    api.add_url_rule("/openapi.json", "openapi", lambda: answers.json_answer(_described(version)))
    return api


@functools.cache
def _described(version: str) -> dict[str, Any]:
    """Made when it is first asked for: it takes as long as the rest of an application."""
    return document(OPERATIONS, version=version)


def internal_routes() -> flask.Blueprint:
    """A new Flask blueprint of what is for Operators and may change (seed 44.3)."""
    internal = flask.Blueprint("internal", __name__, url_prefix=actions.INTERNAL_PREFIX)
    _add(internal, actions.INTERNAL)
    return internal


def _add(api: flask.Blueprint, operations: Iterable[Operation]) -> None:
    for operation in operations:
        api.add_url_rule(
            operation.rule,
            endpoint=operation.name,
            view_func=serve(operation),
            methods=[operation.method],
            provide_automatic_options=False,
        )
