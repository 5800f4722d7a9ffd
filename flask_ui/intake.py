"""What comes in from outside: ``POST /api/v1/events`` and ``POST /hooks/<source>``.

Two functions of a :class:`Call`, which knows no Flask: Flask serves them as it
serves everything, and :class:`Door` stands in front of it and serves them with
less around it. Flask's own rounds cost twice what taking an event in does, and
a storm comes to these two addresses alone.

The trap: what Flask's hooks do for every request (:mod:`.app`), the door does
itself, by the same functions. A test holds the answers of both together.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import flask
from pydantic import BaseModel
from werkzeug.wrappers import Request

from flask_ui import answers, correlation, requests, security, state
from flask_ui.access import Access
from flask_ui.api.table import NAME_PATTERN, PREFIX
from xyn_reconciler.model.dto import EventDto, Page
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.service import events
from xyn_reconciler.service.context import Context

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EVENTS: Final = f"{PREFIX}/events"
_HOOK: Final = re.compile(rf"/hooks/({NAME_PATTERN})")

DELIVERIES_AT_A_TIME: Final = 8
"""Those beyond wait, and cost nothing while they do: Alertmanager posts hundreds of groups at
once, and a page must find the interpreter and a connection all the same."""
PLACE_SECONDS: Final = 5.0
"""Whoever has waited so long for a place is sent away before its sender gives up (Alertmanager:
after 10 s) and sends it once more, while the work for the first time would still be done."""
_AT_WORK: Final = threading.BoundedSemaphore(DELIVERIES_AT_A_TIME)


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in, and who makes it."""

    request: Request
    context: Context
    actor: Principal
    correlation_id: str

    @property
    def headers(self) -> dict[str, str]:
        """By their names in lower case."""
        return {name.lower(): value for name, value in self.request.headers.items()}


Taken = tuple[EventDto | Page[EventDto] | dict[str, Any], int]
"""What is answered, and the status."""


def call() -> Call:
    """The request that Flask has at hand."""
    return Call(flask.request, state.context(), security.actor(), flask.g.correlation_id)


def emit_event(call: Call) -> Taken:
    """An event of the API, or CloudEvents in any of their forms."""
    request = call.request
    key = requests.idempotency_key(request)
    if request.mimetype.startswith("application/cloudevents") or (
        "ce-specversion" in request.headers
    ):
        return _emit_cloud_events(call)
    event, repeat = events.emit_event(
        call.context,
        call.actor,
        requests.json_bytes(request),
        idempotency_key=key,
        correlation_id=call.correlation_id,
    )
    return event, 200 if repeat else 201


def _emit_cloud_events(call: Call) -> Taken:
    kind = call.request.mimetype
    if kind.startswith("application/cloudevents") and not kind.endswith("+json"):
        raise security.UnsupportedTypeError("of CloudEvents' formats, this address reads JSON")
    taken, repeat = events.emit_cloud_events(
        call.context,
        call.actor,
        call.headers,
        call.request.get_data(cache=False),
        correlation_id=call.correlation_id,
    )
    status = 200 if repeat else 201
    if kind == "application/cloudevents-batch+json":
        return Page[EventDto](items=taken), status
    return taken[0], status


def receive(call: Call, source_id: str, access: Access) -> Taken:
    """A delivery of another system, as its source maps it."""
    body = call.request.get_data(cache=False)
    with _a_place():
        delivery = events.receive_delivery(
            call.context,
            source_id,
            call.headers,
            body,
            from_loopback=access.is_from_here(call.request),
            correlation_id=call.correlation_id,
        )
    return {
        "event_ids": [str(event_id) for event_id in delivery.event_ids],
        "duplicate": delivery.duplicate,
    }, 202


@contextlib.contextmanager
def _a_place() -> Iterator[None]:
    """Let in :data:`DELIVERIES_AT_A_TIME`; ``UnavailableError`` for whoever finds no place."""
    if not _AT_WORK.acquire(timeout=PLACE_SECONDS):
        raise UnavailableError("more deliveries come in than can be taken in; send it again")
    try:
        yield
    finally:
        _AT_WORK.release()


class Door:
    """A WSGI application in front of another, for the two addresses above."""

    def __init__(self, behind: "WSGIApplication", context: Context, access: Access) -> None:
        self._behind = behind
        self._context = context
        self._access = access

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        take = self._taker(environ)
        if take is None:
            return self._behind(environ, start_response)
        request = Request(environ)
        begun = correlation.Begun(request, self._context.redactor)
        taken: BaseModel | dict[str, Any]
        more: Iterable[tuple[str, str]] = ()
        try:
            actor = security.admit(request, self._access, self._context)
            taken, status = take(Call(request, self._context, actor, begun.id))
        except Exception as error:  # noqa: BLE001 - Flask's handler tells them as well
            failure = answers.failure_of(error, request.path)
            taken, status, more = failure.dto(begun.id), failure.status, failure.headers
        body = answers.to_json(taken).encode()
        begun.end(status)
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                *begun.headers,
                *security.HEADERS.items(),
                *more,
            ],
        )
        return [body]

    def _taker(self, environ: "WSGIEnvironment") -> Callable[[Call], Taken] | None:
        """Who takes a request in; nobody here, if it is for another address or has a query."""
        if environ["REQUEST_METHOD"] != "POST" or environ.get("SCRIPT_NAME"):
            return None
        path = environ["PATH_INFO"]
        if path == EVENTS and not environ.get("QUERY_STRING"):
            return emit_event
        hook = _HOOK.fullmatch(path)
        return None if hook is None else lambda call: receive(call, hook[1], self._access)
