"""Say what became of a review: audit entry, event and notice, in the transaction of the change."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.internal_events import EventData, internal_event
from xyn_reconciler.store import audit, desired, notice
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.reviews import Review


def tell(
    connection: Connection,
    review: Review,
    kind: str,
    entry: Mapping[str, Any],
    data: EventData | None,
    *,
    actor: str,
    emit: EmitEvents,
    now: dt.datetime,
) -> None:
    """Put an audit entry of this kind, and the event where there is one."""
    subject = str(review.draft_id)
    audit.put(
        connection, [AuditEntry(kind=kind, actor=actor, at=now, subject=subject, entry=entry)]
    )
    if data is not None:
        env_id = desired.read_node(connection).settings.get("env_id", "local")
        event = internal_event(
            data,
            resource_id=subject,
            env_id=str(env_id),
            now=now,
            correlation_id=str(uuid.uuid4()),
            actor=actor,
        )
        emit(connection, [event])
    notice.notify(connection, notice.REVIEW, review.name)
