"""The node itself over the API: health, status, reconcile."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from flask_ui import requests
from flask_ui.api.table import Answer, Operation, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import HealthDto, StatusDto
from xyn_reconciler.service import node


class ReconcileRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    dry_run: bool = False
    """Say what would change, change nothing."""


def health() -> Answer:
    return node.health(context())


def status() -> Answer:
    return node.status(context())


def reconcile() -> Answer:
    request = requests.json_model(ReconcileRequest, optional=True)
    answer: dict[str, Any] = node.reconcile(context(), actor(), dry_run=request.dry_run)
    return answer


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/health",
        summary="Whether the node is well.",
        tag="node",
        view=health,
        answers={200: HealthDto},
    ),
    Operation(
        method="GET",
        path="/status",
        summary="Who this node is, what is active on it and what waits for attention.",
        tag="node",
        view=status,
        answers={200: StatusDto},
    ),
    Operation(
        method="POST",
        path="/reconcile",
        summary="Bring what is active here to what the repository says.",
        tag="node",
        view=reconcile,
        body=json_body(ReconcileRequest),
        body_required=False,
        answers={200: {"type": "object"}},
        errors=(409,),
    ),
)
