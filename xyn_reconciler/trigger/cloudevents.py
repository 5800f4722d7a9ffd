"""CloudEvents 1.0.2 over HTTP: structured, batched and binary, as our own events.

The context attributes stand in ``data.cloudevent``, extensions with them, beside
the members of the CloudEvent's data. Data that is no object (or has a member
``cloudevent`` of its own) stands whole in ``data.value``; binary data stands
there as base64, and ``data.cloudevent.data_encoding`` says so. ``id`` and
``source`` name the delivery: the specification makes the pair unique.
"""

import base64
import binascii
import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.event import Event
from xyn_reconciler.trigger import delivery_ids, event_names, json_body

SOURCE: Final = "cloudevents"
MAX_BATCH: Final = 10_000
_STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_NOT_CONTEXT: Final = ("data", "data_base64")


class InvalidCloudEventError(InvalidError):
    """A CloudEvent lacks an attribute, or one of them cannot be read; the message names it."""

    code = "invalid_cloudevent"


@dataclass(frozen=True, slots=True)
class _CloudEvent:
    context: dict[str, Any]
    data: Any
    raw: bytes | None
    content_type: str


def is_cloudevent(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers (names in lower case) carries CloudEvents."""
    return _media_type(headers) in (_STRUCTURED, _BATCH) or "ce-specversion" in headers


def read(
    headers: Mapping[str, str],
    body: bytes,
    *,
    actor: str,
    env_id: str,
    correlation_id: str,
    now: dt.datetime,
    new_id: Callable[[], uuid.UUID],
) -> list[Event]:
    """Give the events of one request, in order; header names are in lower case.

    Raises :class:`InvalidCloudEventError`, or that the JSON is invalid, or
    :class:`~.event_names.ReservedNameError`; one bad event refuses its batch.
    """
    return [
        Event(
            event_id=new_id(),
            event_name=_name(each.context["type"]),
            occurred_at=_time(each.context.get("time"), now),
            env_id=env_id,
            actor=actor,
            correlation_id=correlation_id,
            resource=_resource(each.context),
            data=_data(each),
            source=SOURCE,
            delivery_id=delivery_ids.fitted(f"{each.context['source']} {each.context['id']}"),
            content_type=each.content_type,
            raw=each.raw,
        )
        for each in _parsed(headers, body)
    ]


def _parsed(headers: Mapping[str, str], body: bytes) -> Iterator[_CloudEvent]:
    media_type = _media_type(headers)
    if media_type == _BATCH:
        listed = json_body.read(body)
        if not isinstance(listed, list):
            raise InvalidCloudEventError("a batch of CloudEvents is a JSON array")
        if len(listed) > MAX_BATCH:
            raise InvalidCloudEventError(f"a batch has at most {MAX_BATCH:,} events")
        # Not the whole batch beside each of its events: each keeps what is its own.
        yield from (_structured(each, None, f"item {n}: ") for n, each in enumerate(listed))
    elif media_type == _STRUCTURED:
        yield _structured(json_body.read(body), body, "")
    else:
        yield _binary(headers, body)


def _structured(value: Any, raw: bytes | None, where: str) -> _CloudEvent:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        raise InvalidCloudEventError(f"{where}a CloudEvent is a JSON object")
    context = {key: item for key, item in value.items() if key not in _NOT_CONTEXT}
    _check(context, where)
    data = value.get("data")
    if value.get("data_base64") is not None:
        if data is not None:
            raise InvalidCloudEventError(f"{where}data and data_base64 exclude one another")
        data = value["data_base64"]
        _check_base64(data, where)
        context["data_encoding"] = "base64"
    return _CloudEvent(context, data, raw, _STRUCTURED)


def _binary(headers: Mapping[str, str], body: bytes) -> _CloudEvent:
    context: dict[str, Any] = {
        name.removeprefix("ce-"): _header_value(value)
        for name, value in headers.items()
        if name.startswith("ce-")
    }
    _check(context, "")
    content_type = headers.get("content-type", "").strip()
    if content_type:
        context["datacontenttype"] = content_type
    media_type = _media_type(headers)
    data: Any = None
    if not body:
        pass
    elif not media_type or media_type.endswith(("/json", "+json")):
        data = json_body.read(body)
    else:
        try:
            data = body.decode("utf-8")
        except UnicodeDecodeError:
            data = base64.b64encode(body).decode()
            context["data_encoding"] = "base64"
    return _CloudEvent(context, data, body, content_type or "application/json")


def _check(context: Mapping[str, Any], where: str) -> None:
    for name in _REQUIRED:
        value = context.get(name)
        if not isinstance(value, str) or not value:
            raise InvalidCloudEventError(
                f"{where}a CloudEvent needs {name!r}, a text that is not empty",
                details={"attribute": name},
            )
    if not context["specversion"].startswith("1."):
        raise InvalidCloudEventError(
            f"{where}specversion has to be 1.0", details={"attribute": "specversion"}
        )


def _check_base64(value: Any, where: str) -> None:  # noqa: ANN401 - JSON
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidCloudEventError(
            f"{where}data_base64 is not base64", details={"attribute": "data_base64"}
        ) from error


def _data(event: _CloudEvent) -> dict[str, Any]:
    if isinstance(event.data, dict) and "cloudevent" not in event.data:
        return {**event.data, "cloudevent": event.context}
    if event.data is None:
        return {"cloudevent": event.context}
    return {"value": event.data, "cloudevent": event.context}


def _name(kind: str) -> str:
    event_names.refuse_reserved(kind)
    name = event_names.fitted(kind)
    event_names.refuse_reserved(name)
    if not name:
        raise InvalidCloudEventError(
            f"no event name can be made of the type {kind[:200]!r}", details={"attribute": "type"}
        )
    return name


def _time(value: object, now: dt.datetime) -> dt.datetime:
    if value is None:
        return now
    try:
        moment = dt.datetime.fromisoformat(str(value).upper())
        if moment.tzinfo is None:
            raise ValueError("no offset")  # noqa: TRY301 - joins the other ways to be unreadable
        return moment.astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidCloudEventError(
            "time has to be a moment of RFC 3339, with its offset", details={"attribute": "time"}
        ) from error


def _resource(context: Mapping[str, Any]) -> dict[str, str]:
    subject = context.get("subject")
    if isinstance(subject, str) and subject:
        return {"type": context["source"][:200], "id": subject[:1000]}
    return {"type": "source", "id": context["source"][:1000]}


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").split(";")[0].strip().lower()


def _header_value(text: str) -> str:
    """Decode a header value as section 3.1.3.2 of the HTTP binding says: unquote, then percents."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return unquote(text, errors="replace")
