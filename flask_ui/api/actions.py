"""Actions over the API: which there are; and, for Operators, one of them run by itself."""

from typing import Final

import flask

from flask_ui import answers, requests
from flask_ui.api.table import Answer, Operation, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import ErrorBody, ErrorDto, Page
from xyn_reconciler.service import actions
from xyn_reconciler.service.actions import (
    ActionDetailDto,
    ActionDto,
    ExecutedDto,
    ExecuteRequest,
)

INTERNAL_PREFIX: Final = "/api/internal"

FAILED: Final = 424
"""The request was right and its action failed (RFC 4918, section 11.4)."""


def list_actions() -> Answer:
    return Page[ActionDto](items=actions.list_actions(context()))


def get_action(action: str) -> Answer:
    return actions.get_action(context(), action)


def execute_action() -> Answer:
    request = requests.json_model(ExecuteRequest)
    done = actions.execute(context(), actor(), request, correlation_id=flask.g.correlation_id)
    if done.error is not None:
        details = {**(done.error.get("details") or {}), "run_id": str(done.run_id)}
        body = ErrorBody(
            code=str(done.error.get("code")),
            message=str(done.error.get("message")),
            details=details,
        )
        said = ErrorDto(error=body, correlation_id=flask.g.correlation_id)
        return answers.json_answer(said, FAILED)
    return done, 200 if done.status.ended else 202


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/actions",
        summary="List every action, those of packs too, by name; one page holds them all.",
        tag="actions",
        view=list_actions,
        answers={200: Page[ActionDto]},
    ),
    Operation(
        method="GET",
        path="/actions/{action}",
        summary="Show all that is known of an action: its schemas, what it is given, its errors.",
        tag="actions",
        view=get_action,
        answers={200: ActionDetailDto},
    ),
)

INTERNAL: Final = (
    Operation(
        method="POST",
        path="/actions/execute",
        summary="Run one action by itself. 424 is the action's own failure, 202: it goes on.",
        tag="actions",
        view=execute_action,
        body=json_body(ExecuteRequest),
        answers={200: ExecutedDto, 202: ExecutedDto},
        errors=(404, 409, FAILED),
    ),
)
"""Not stable, and not in the OpenAPI document (seed 44.3)."""
