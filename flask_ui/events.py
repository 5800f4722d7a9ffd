"""The event console and one event's page (seed 44.1)."""

import datetime as dt
import uuid
from typing import Any, Final

import flask

from flask_ui.shell import PAGE_SIZE, argument, cursor, fragment, full_page
from flask_ui.state import context
from flask_ui.words import FAILURES, is_failure
from xyn_reconciler.model.dto import EventDto
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.internal_events import INTERNAL_EVENTS, RECORDED_WITH_THEIR_RUN
from xyn_reconciler.service import events as service
from xyn_reconciler.service import node, runs, triggers
from xyn_reconciler.service.explain import explain_event

events = flask.Blueprint("events", __name__, url_prefix="/ui/events")

RAW_SHOWN = 64 * 1024
"""Bytes of a raw body that its page shows; the whole is a download."""

_OF_THE_NODE: Final = tuple(
    name
    for name in INTERNAL_EVENTS
    if is_failure(name) and not name.startswith(RECORDED_WITH_THEIR_RUN)
)
"""Failures that belong to no run; those of runs are told by the runs themselves."""
_RECENT: Final = dt.timedelta(days=1)
_FOR_PEOPLE: Final = ("gate", "interrupted", "poison")
"""What a run waits for that nobody but a person gives it."""


@events.get("")
def show_list() -> flask.Response:
    return full_page("events/list.html", **_attention(), **_listed())


@events.get("/stream")
def stream() -> flask.Response:
    """What the console asks for again and again: its head and its list."""
    return fragment("events/_stream.html", node=node.status(context()), **_attention(), **_listed())


@events.get("/_list")
def listing() -> flask.Response:
    return fragment("events/_list.html", **_listed())


@events.get("/<uuid:event_id>")
def show(event_id: uuid.UUID) -> flask.Response:
    return full_page(
        "events/detail.html",
        event=service.get_event(context(), event_id),
        raw=_raw(event_id),
        runs=runs.list_runs(context(), limit=PAGE_SIZE, event_id=event_id).items,
        explained=explain_event(context(), event_id),
    )


def _raw(event_id: uuid.UUID) -> dict[str, Any] | None:
    try:
        content, content_type = service.raw_event(context(), event_id)
    except NotFoundError:
        return None
    return {
        "text": content[:RAW_SHOWN].decode("utf-8", "replace"),
        "type": content_type,
        "length": len(content),
        "cut": len(content) > RAW_SHOWN,
    }


def _attention() -> dict[str, Any]:
    """What waits for a person, with links, and what waits for the node itself."""
    return {
        "backlog": triggers.backlog(context()),
        "waiting": runs.list_runs(context(), limit=5, wait_reasons=_FOR_PEOPLE).items,
        "failed": runs.list_runs(context(), limit=3, status="failed").items,
        "failures": _failures(),
    }


def _failures() -> list[EventDto]:
    """The last failure of each kind that befell the node itself within a day."""
    since = context().clock() - _RECENT
    found = [
        event
        for name in _OF_THE_NODE
        for event in service.list_events(context(), limit=1, event_name=name).items
    ]
    return [event for event in found if event.created_at >= since]


def _listed() -> dict[str, Any]:
    everything = argument("all") == "1"
    event_name = argument("event_name")
    return {
        "events": service.list_events(
            context(),
            limit=PAGE_SIZE,
            cursor=cursor(),
            event_name=event_name,
            outside_only=not everything and event_name is None,
        ),
        "everything": everything,
        "event_name": event_name,
        "first_page": cursor() is None,
        "failure_patterns": FAILURES,
    }
