"""Drafts and their reviews over the API."""

from collections.abc import Callable
from typing import Final, Literal

from pydantic import BaseModel

from flask_ui import requests
from flask_ui.api.table import Answer, Operation, PageQuery, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import (
    CommentDto,
    CommentRequest,
    DraftCreateRequest,
    DraftDto,
    MovedDto,
    Page,
    PromoteRequest,
    ReviewDecisionRequest,
    ReviewDiffDto,
    ReviewDto,
    RollbackRequest,
)
from xyn_reconciler.service import reviews


class DraftQuery(PageQuery):
    status: Literal["draft", "validated", "promoted"] | None = None
    open_only: bool = False


def create_draft() -> Answer:
    request = requests.json_model(DraftCreateRequest)
    return reviews.create_draft(context(), actor(), request), 201


def list_drafts(query: DraftQuery) -> Answer:
    return reviews.list_drafts(
        context(),
        limit=query.limit,
        cursor=query.cursor,
        status=query.status,
        open_only=query.open_only,
    )


def get_draft(draft: str) -> Answer:
    return reviews.get_draft(context(), draft)


def get_review(draft: str) -> Answer:
    return reviews.get_review(context(), actor(), draft)


def diff_review(draft: str) -> Answer:
    return reviews.diff_review(context(), draft)


def check_draft(draft: str) -> Answer:
    return reviews.check_draft(context(), actor(), draft)


def approve_draft(draft: str) -> Answer:
    request = requests.json_model(ReviewDecisionRequest, optional=True)
    return reviews.decide_review(context(), actor(), draft, "approved", request)


def reject_draft(draft: str) -> Answer:
    request = requests.json_model(ReviewDecisionRequest, optional=True)
    return reviews.decide_review(context(), actor(), draft, "rejected", request)


def comment_draft(draft: str) -> Answer:
    request = requests.json_model(CommentRequest)
    return reviews.comment_draft(context(), actor(), draft, request), 201


def close_draft(draft: str) -> Answer:
    return reviews.close_draft(context(), actor(), draft)


def promote_draft(draft: str) -> Answer:
    request = requests.json_model(PromoteRequest, optional=True)
    return reviews.promote_draft(context(), actor(), draft, request)


def roll_back() -> Answer:
    request = requests.json_model(RollbackRequest)
    return reviews.roll_back(context(), actor(), request)


def _look(
    path: str, summary: str, view: Callable[..., Answer], shape: type[BaseModel]
) -> Operation:
    return Operation(
        method="GET",
        path=f"/drafts/{{draft}}{path}",
        summary=summary,
        tag="drafts",
        view=view,
        answers={200: shape},
    )


def _verb(
    verb: str,
    summary: str,
    view: Callable[..., Answer],
    shape: type[BaseModel],
    *,
    body: type[BaseModel] | None = None,
    body_required: bool = False,
    status: int = 200,
) -> Operation:
    return Operation(
        method="POST",
        path=f"/drafts/{{draft}}/{verb}",
        summary=summary,
        tag="drafts",
        view=view,
        body=None if body is None else json_body(body),
        body_required=body_required,
        answers={status: shape},
        errors=(409,),
    )


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/drafts",
        summary="Commit to branch `draft/<name>`, which is made from main where it is not.",
        tag="drafts",
        view=create_draft,
        body=json_body(DraftCreateRequest),
        answers={201: DraftDto},
        errors=(409,),
    ),
    Operation(
        method="GET",
        path="/drafts",
        summary="List drafts, newest first.",
        tag="drafts",
        view=list_drafts,
        query=DraftQuery,
        answers={200: Page[DraftDto]},
    ),
    _look("", "Show one draft, with the files that it changes.", get_draft, DraftDto),
    _look("/review", "Show all that a reviewer has to know.", get_review, ReviewDto),
    _look("/diff", "Show what promotion would change.", diff_review, ReviewDiffDto),
    _verb("check", "Run all checks again.", check_draft, ReviewDto),
    _verb(
        "approve",
        "Approve what promotion would change (as `effect_digest` names it).",
        approve_draft,
        ReviewDto,
        body=ReviewDecisionRequest,
    ),
    _verb(
        "reject",
        "Refuse what promotion would change.",
        reject_draft,
        ReviewDto,
        body=ReviewDecisionRequest,
    ),
    _verb(
        "comment",
        "Say something about a draft, or about a line of it.",
        comment_draft,
        CommentDto,
        body=CommentRequest,
        body_required=True,
        status=201,
    ),
    _verb("close", "Give a draft up: its branch goes.", close_draft, DraftDto),
    _verb(
        "promote",
        "Merge a draft into main; waits for its checks, at most a minute.",
        promote_draft,
        MovedDto,
        body=PromoteRequest,
    ),
    Operation(
        method="POST",
        path="/rollback",
        summary="Take back on main what a commit of its history changed.",
        tag="drafts",
        view=roll_back,
        body=json_body(RollbackRequest),
        answers={200: MovedDto},
        errors=(404, 409),
    ),
)
