"""Blueprints over the API: those that are active here, and the commits that made them."""

from typing import Final

from pydantic import Field

from flask_ui.api.table import Answer, Operation, PageQuery, Query
from flask_ui.state import context
from xyn_reconciler.model.dto import BlueprintDto, Page, RevisionDto
from xyn_reconciler.service import blueprints


class HistoryQuery(Query):
    limit: int = Field(default=50, ge=1, le=200)


def list_blueprints(query: PageQuery) -> Answer:
    return blueprints.list_blueprints(context(), limit=query.limit, cursor=query.cursor)


def get_blueprint(blueprint_id: str) -> Answer:
    return blueprints.get_blueprint(context(), blueprint_id)


def get_blueprint_history(query: HistoryQuery, blueprint_id: str) -> Answer:
    return Page[RevisionDto](
        items=blueprints.blueprint_history(context(), blueprint_id, limit=query.limit)
    )


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/blueprints",
        summary="List the blueprints that are active here.",
        tag="blueprints",
        view=list_blueprints,
        query=PageQuery,
        answers={200: Page[BlueprintDto]},
    ),
    Operation(
        method="GET",
        path="/blueprints/{blueprint_id}",
        summary="Show one blueprint.",
        tag="blueprints",
        view=get_blueprint,
        answers={200: BlueprintDto},
    ),
    Operation(
        method="GET",
        path="/blueprints/{blueprint_id}/history",
        summary="List the commits that touched a blueprint, newest first.",
        tag="blueprints",
        view=get_blueprint_history,
        query=HistoryQuery,
        answers={200: Page[RevisionDto]},
    ),
)
