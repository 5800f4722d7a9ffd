"""The audit over the API: list."""

from typing import Final

from pydantic import Field

from flask_ui.api.table import Answer, Operation, PageQuery
from flask_ui.state import context
from xyn_reconciler.model.dto import Page
from xyn_reconciler.service import audit
from xyn_reconciler.service.audit import AuditDto

KINDS: Final = r"^[a-z_]+(\.[a-z_]+)*$"


class AuditQuery(PageQuery):
    kind: str | None = Field(default=None, pattern=KINDS, max_length=100)
    subject: str | None = Field(default=None, pattern=r"^[^\x00]+$", max_length=400)


def list_audit(query: AuditQuery) -> Answer:
    return audit.list_audit(
        context(), limit=query.limit, cursor=query.cursor, kind=query.kind, subject=query.subject
    )


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/audit",
        summary="List what was decided and moved, and by whom, newest first.",
        tag="audit",
        view=list_audit,
        query=AuditQuery,
        answers={200: Page[AuditDto]},
    ),
)
