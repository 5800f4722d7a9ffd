"""Packs over the API: those that are active here."""

from typing import Final

from flask_ui.api.table import Answer, Operation, PageQuery
from flask_ui.state import context
from xyn_reconciler.model.dto import Page
from xyn_reconciler.service import packs


def list_packs(query: PageQuery) -> Answer:
    return packs.list_packs(context(), limit=query.limit, cursor=query.cursor)


def get_pack(pack_id: str) -> Answer:
    return packs.get_pack(context(), pack_id)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/packs",
        summary="List the packs that are active here.",
        tag="packs",
        view=list_packs,
        query=PageQuery,
        answers={200: Page[packs.PackDto]},
    ),
    Operation(
        method="GET",
        path="/packs/{pack_id}",
        summary="Show one pack.",
        tag="packs",
        view=get_pack,
        answers={200: packs.PackDetailDto},
    ),
)
