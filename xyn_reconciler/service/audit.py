"""The audit, to be read: what was decided and moved, by whom; and the newest checkpoint."""

import time
import uuid
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.dto import Page, Timestamp
from xyn_reconciler.record import checkpoint
from xyn_reconciler.service.audit_words import sentence
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.store import audit

KEPT_SECONDS: Final = 60.0
"""So long a page may show the checkpoint before the newest: it stands on every page."""


class AuditDto(BaseModel):
    """One entry, as the chain has it, and what it says in words."""

    model_config = ConfigDict(extra="forbid")

    audit_id: uuid.UUID
    at: Timestamp
    kind: str
    actor: str
    subject: str | None = None
    entry: dict[str, Any]
    sentence: str


def list_audit(
    context: Context,
    *,
    limit: int = 50,
    cursor: str | None = None,
    kind: str | None = None,
    subject: str | None = None,
) -> Page[AuditDto]:
    """The newest first; ``kind`` is one, or what some begin with (``review``)."""
    with context.database.read() as connection:
        return page(
            lambda most, before: audit.list_entries(
                connection,
                limit=most,
                before=before,
                kinds=() if kind is None else (kind,),
                subject=subject,
            ),
            limit=limit,
            cursor=cursor,
            position=lambda entry: (entry.at, entry.audit_id),
            item=_dto,
        )


def last_checkpoint(context: Context) -> str | None:
    """Give the line of the newest checkpoint, read at most once a minute."""
    kept = _kept.get(context.home)
    if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
        return kept[1]
    with context.database.read() as connection:
        found = audit.list_entries(connection, limit=1, kinds=[checkpoint.CHECKPOINT])
    if not found:
        return None
    line = checkpoint.of_entry(found[0]).line()
    _kept[context.home] = (time.monotonic(), line)
    return line


_kept: dict[Path, tuple[float, str]] = {}


def _dto(entry: AuditEntry) -> AuditDto:
    return AuditDto(
        audit_id=entry.audit_id,
        at=entry.at,
        kind=entry.kind,
        actor=entry.actor,
        subject=entry.subject,
        entry=dict(entry.entry),
        sentence=sentence(entry),
    )
