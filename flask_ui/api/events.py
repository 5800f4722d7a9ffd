"""Events over the API: take in, list, show, give the bytes that came, forget."""

import uuid
from typing import Final

from pydantic import Field

from flask_ui import download, intake
from flask_ui.api.table import Answer, Bytes, Operation, PageQuery, json_body
from flask_ui.security import actor
from flask_ui.state import context
from xyn_reconciler.model.dto import EmitEventRequest, EventDto, Page
from xyn_reconciler.service import events
from xyn_reconciler.service.explain import ExplainedDto
from xyn_reconciler.service.explain import explain_event as explained

EVENT_NAMES: Final = r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*(\.\*)?$"
"""An event's name, or the beginning of some and ``.*``."""

_ID_SCHEMA = {"type": "string", "minLength": 1}
CLOUD_EVENT_SCHEMA: Final = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _ID_SCHEMA,
        "source": _ID_SCHEMA,
        "type": _ID_SCHEMA,
    },
}
"""What CloudEvents 1.0 asks for (section "Required attributes"); the rest is open."""


class EventQuery(PageQuery):
    event_name: str | None = Field(default=None, pattern=EVENT_NAMES, max_length=200)
    run_id: uuid.UUID | None = None
    outside_only: bool = False


def emit_event() -> Answer:
    return intake.emit_event(intake.call())


def list_events(query: EventQuery) -> Answer:
    return events.list_events(
        context(),
        limit=query.limit,
        cursor=query.cursor,
        event_name=query.event_name,
        run_id=query.run_id,
        outside_only=query.outside_only,
    )


def get_event(event_id: uuid.UUID) -> Answer:
    return events.get_event(context(), event_id)


def explain_event(event_id: uuid.UUID) -> Answer:
    return explained(context(), event_id)


def get_event_raw(event_id: uuid.UUID) -> Answer:
    content, content_type = events.raw_event(context(), event_id)
    return download.attachment(content, name=f"{event_id}.raw", content_type=content_type)


def forget_event(event_id: uuid.UUID) -> Answer:
    return events.forget_event(context(), actor(), event_id)


_TAKEN = {
    "anyOf": [
        {"$ref": "#/components/schemas/EventDto"},
        {"$ref": "#/components/schemas/Page_EventDto_"},
    ]
}

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/events",
        summary="Take in an event; it is stored, and its runs are created, before this answers.",
        tag="events",
        view=emit_event,
        body=json_body(EmitEventRequest)
        | {
            "application/cloudevents+json": CLOUD_EVENT_SCHEMA,
            "application/cloudevents-batch+json": {
                "type": "array",
                "minItems": 1,
                "items": CLOUD_EVENT_SCHEMA,
            },
        },
        answers={200: _TAKEN, 201: _TAKEN},
        errors=(409, 429),
        idempotent_by_key=True,
    ),
    Operation(
        method="GET",
        path="/events",
        summary="List events, newest first.",
        tag="events",
        view=list_events,
        query=EventQuery,
        answers={200: Page[EventDto]},
    ),
    Operation(
        method="GET",
        path="/events/{event_id}",
        summary="Show one event.",
        tag="events",
        view=get_event,
        answers={200: EventDto},
    ),
    Operation(
        method="GET",
        path="/events/{event_id}/explain",
        summary="Say for each active blueprint what came of an event, or why nothing did.",
        tag="events",
        view=explain_event,
        answers={200: ExplainedDto},
    ),
    Operation(
        method="GET",
        path="/events/{event_id}/raw",
        summary="Give the body of an event as it came.",
        tag="events",
        view=get_event_raw,
        answers={200: Bytes("The bytes, under the content type that came with them.")},
    ),
    Operation(
        method="POST",
        path="/events/{event_id}/forget",
        summary="Remove what an event carried; that it came stays known.",
        tag="events",
        view=forget_event,
        answers={200: EventDto},
        errors=(409,),
    ),
)
