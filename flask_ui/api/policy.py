"""Policy over the API: what would be decided, and break-glass."""

import uuid
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from flask_ui import requests
from flask_ui.api.table import Answer, Operation, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import Page
from xyn_reconciler.service import break_glass as glass
from xyn_reconciler.service import policy
from xyn_reconciler.service.break_glass import REASON_MAX, GrantDto
from xyn_reconciler.service.policy import PolicyAnswer, PolicyQuestion


class BreakGlassRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=REASON_MAX)


def evaluate_policy() -> Answer:
    return policy.evaluate(context(), requests.json_model(PolicyQuestion))


def break_glass() -> Answer:
    asked = requests.json_model(BreakGlassRequest)
    return glass.break_glass(context(), actor(), asked.reason), 201


def list_unsigned() -> Answer:
    return Page[GrantDto](items=glass.unsigned_grants(context()))


def sign_off(grant_id: uuid.UUID) -> Answer:
    return glass.sign_off(context(), actor(), grant_id)


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/policy/eval",
        summary="Say what the policies in force would decide, by which rule, and why no other.",
        tag="policy",
        view=evaluate_policy,
        body=json_body(PolicyQuestion),
        answers={200: PolicyAnswer},
        errors=(404,),
    ),
    Operation(
        method="POST",
        path="/policy/break-glass",
        summary="Take the role Operator for 15 minutes, and tell everybody. The owner's right.",
        tag="policy",
        view=break_glass,
        body=json_body(BreakGlassRequest),
        answers={201: GrantDto},
    ),
    Operation(
        method="GET",
        path="/policy/break-glass",
        summary="List what was taken so and no second person has signed off yet.",
        tag="policy",
        view=list_unsigned,
        answers={200: Page[GrantDto]},
    ),
    Operation(
        method="POST",
        path="/policy/break-glass/{grant_id}/sign-off",
        summary="Say as a second person that one knows of it.",
        tag="policy",
        view=sign_off,
        answers={200: GrantDto},
        errors=(409,),
    ),
)
