"""The event envelope of seed 29.4 and what the node notes beside it.

An event is immutable. ``data`` is any JSON object; ``raw`` keeps the bytes that
arrived, because parsed JSON is not always what was sent.
"""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

RESERVED_PREFIX: Final = "xyn."
"""Names that only the platform itself may emit (seed 29.4)."""

SYSTEM_ACTOR: Final = "system"
"""The actor of what the node does by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; ``None`` and empty fields are what the sender left out."""

    event_id: uuid.UUID
    event_name: str
    occurred_at: dt.datetime
    env_id: str
    actor: str
    correlation_id: str
    run_id: uuid.UUID | None = None
    step_id: uuid.UUID | None = None
    resource: dict[str, str] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    source: str = "api"
    """Who took it in: ``api``, ``cloudevents``, ``run`` (a step), ``schedule``, ``xyn`` or the id
    of a webhook source."""
    delivery_id: str | None = None
    """The sender's own id of it (or an ``Idempotency-Key``); the same one of the same source is one
    delivery."""
    delivery_item: int = 0
    """Place in a delivery that holds several events, from 0."""
    content_type: str | None = None
    raw: bytes | None = None
    """The body as it arrived, after redaction; ``None`` where ``data`` says all."""
    hops: int = 0
    """How many runs lie between this event and the one from outside that began it all."""

    def envelope(self) -> dict[str, Any]:
        """JSON of seed 29.4, as expressions and the API see it."""
        return {
            "event_id": str(self.event_id),
            "event_name": self.event_name,
            "occurred_at": isoformat(self.occurred_at),
            "env_id": self.env_id,
            "actor": self.actor,
            "correlation_id": self.correlation_id,
            "run_id": None if self.run_id is None else str(self.run_id),
            "step_id": None if self.step_id is None else str(self.step_id),
            "resource": self.resource,
            "data": self.data,
        }


def isoformat(moment: dt.datetime) -> str:
    """ISO 8601 in UTC with microseconds and ``Z`` (seed 45.1), so that text order is time order."""
    text = moment.astimezone(dt.UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"
