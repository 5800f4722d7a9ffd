"""Events: emit, take deliveries in, list, look at, forget."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from xyn_reconciler.model.dto import EmitEventRequest, EventDto, Page, Resource
from xyn_reconciler.model.errors import InvalidError, NotFoundError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.record.forget import forget
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.service.policy import authorize
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.events import StoredEvent
from xyn_reconciler.trigger import cloudevents, json_body
from xyn_reconciler.trigger.arrival import Receipt
from xyn_reconciler.trigger.intake import HERE
from xyn_reconciler.trigger.mapping import Delivery, map_delivery
from xyn_reconciler.trigger.signature import verify


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a webhook is answered; the same delivery again gets the same ids."""

    event_ids: Sequence[uuid.UUID]
    duplicate: bool


def emit_event(
    context: Context,
    actor: Principal,
    body: bytes,
    *,
    idempotency_key: str | None,
    correlation_id: str,
) -> tuple[EventDto, bool]:
    """Take in one event of the API; the second value says that its key came before.

    ``body`` is JSON of :class:`EmitEventRequest`; it is kept as it came.
    """
    request = read_request(body)
    event = Event(
        event_id=new_id(),
        event_name=request.event_name,
        occurred_at=context.clock(),
        env_id=HERE,
        actor=actor.id,
        correlation_id=correlation_id,
        run_id=request.run_id,
        step_id=request.step_id,
        resource=None if request.resource is None else request.resource.model_dump(),
        data=request.data,
        delivery_id=idempotency_key,
        content_type="application/json",
        raw=body,
    )
    receipt = _take_in(context, [event])
    if receipt.duplicate:
        return get_event(context, receipt.event_ids[0]), True
    return _dto(receipt.stored[0]), False


def emit_cloud_events(
    context: Context,
    actor: Principal,
    headers: Mapping[str, str],
    body: bytes,
    *,
    correlation_id: str,
) -> tuple[list[EventDto], bool]:
    """Take in CloudEvents: structured, batched or binary; names of ``headers`` in lower case."""
    events = cloudevents.read(
        headers,
        body,
        actor=actor.id,
        env_id=HERE,
        correlation_id=correlation_id,
        now=context.clock(),
        new_id=new_id,
    )
    receipt = _take_in(context, events)
    with context.database.read() as connection:
        found = [_dto(_known(connection, event_id)) for event_id in receipt.event_ids]
    return found, receipt.duplicate


def receive_delivery(
    context: Context,
    source_id: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    from_loopback: bool,
    correlation_id: str,
) -> Delivered:
    """Take in what was posted to ``/hooks/<source_id>``, as its source maps it."""
    view = context.intake.now(context.database)
    found = view.sources.get(source_id)
    if found is None:
        raise NotFoundError(f"no source {source_id!r} is active; push sources/{source_id}.yaml")
    source, pack = found.document, view.settings_at(found.path)
    verify(
        source,
        headers,
        body,
        pack=pack,
        resolve=context.secret,
        from_loopback=from_loopback,
        now=context.clock(),
    )
    events = map_delivery(
        source,
        Delivery(headers, body),
        pack=pack,
        env_id=HERE,
        correlation_id=correlation_id,
        now=context.clock(),
        new_id=new_id,
    )
    receipt = _take_in(context, events)
    return Delivered(receipt.event_ids, receipt.duplicate)


def list_events(
    context: Context,
    *,
    limit: int = 50,
    cursor: str | None = None,
    event_name: str | None = None,
    run_id: uuid.UUID | None = None,
    outside_only: bool = False,
) -> Page[EventDto]:
    """Newest first; ``event_name`` may end in ``.*``; ``outside_only`` leaves out ``xyn.*``."""
    with context.database.read() as connection:
        return page(
            lambda most, before: event_store.list_events(
                connection,
                limit=most,
                before=before,
                event_name=event_name,
                run_id=run_id,
                outside_only=outside_only,
            ),
            limit=limit,
            cursor=cursor,
            position=lambda stored: (stored.created_at, stored.event.event_id),
            item=_dto,
        )


def get_event(context: Context, event_id: uuid.UUID) -> EventDto:
    with context.database.read() as connection:
        return _dto(_known(connection, event_id))


def raw_event(context: Context, event_id: uuid.UUID) -> tuple[bytes, str]:
    """Give the body as it arrived, after redaction, and its content type."""
    with context.database.read() as connection:
        found = event_store.raw_event(connection, event_id)
    if found is None:
        raise NotFoundError(f"no event {event_id}")
    raw, content_type = found
    if raw is None:
        raise NotFoundError(f"event {event_id} has no raw body: it did not arrive as one")
    return raw, content_type or "application/octet-stream"


def forget_event(context: Context, actor: Principal, event_id: uuid.UUID) -> EventDto:
    """Take an event's content out of rows and records; that something came stays known.

    Nothing brings it back, so policy is asked (``event.forget``), and only people may.
    """
    with context.database.begin() as connection:
        authorize(
            context,
            connection,
            actor,
            "event.forget",
            resource_type="event",
            resource_id=str(event_id),
        )
    forget(
        context.database,
        context.repository,
        event_id,
        by=actor.id,
        now=context.clock(),
        artifacts=context.artifacts,
        redactor=context.redactor,
    )
    return get_event(context, event_id)


def read_request(body: bytes) -> EmitEventRequest:
    """Read strict JSON of a request; ``InvalidError`` names the field and what is wrong with it."""
    try:
        return EmitEventRequest.model_validate(json_body.read_object(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidError(f"{place}: {first['msg']}", details={"field": place}) from error


def _take_in(context: Context, events: Sequence[Event]) -> Receipt:
    if events:
        context.intake.headroom.ask(context.home, context.database, events)
    return context.intake.take_in_together(context.database, events)


def _known(connection: Connection, event_id: uuid.UUID) -> StoredEvent:
    stored = event_store.get_event(connection, event_id)
    if stored is None:
        raise NotFoundError(f"no event {event_id}")
    return stored


def _dto(stored: StoredEvent) -> EventDto:
    event = stored.event
    return EventDto(
        event_id=event.event_id,
        event_name=event.event_name,
        occurred_at=event.occurred_at,
        env_id=event.env_id,
        actor=event.actor,
        correlation_id=event.correlation_id,
        run_id=event.run_id,
        step_id=event.step_id,
        resource=None if event.resource is None else Resource(**event.resource),
        data=event.data,
        source=event.source,
        delivery_id=event.delivery_id,
        created_at=stored.created_at,
        revision=stored.revision,
        record_commit=stored.record_commit,
    )
