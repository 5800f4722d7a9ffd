"""From a delivery to ``POST /hooks/<source>`` to events, as ``sources/<source>.yaml`` says.

Pure. Expressions over ``headers``, ``body``, ``item``, ``item_index``, ``source``
and in a pack ``settings`` make name, data, resource and delivery id of each event. Whatever
cannot be mapped is :class:`MappingError` with the source, the key and the
reason; no body of a stranger raises anything else.

The traps: headers that carry a credential or a signature are taken away before
an expression could copy them; what ``redact`` takes out of ``data`` stands in
the raw body too, so that is written anew without it; and an item with a
delivery id of its own is the same wherever it stands in the next delivery.
"""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from xyn_reconciler.desired.expression import (
    InvalidExpressionError,
    parse_template,
    references,
    render_value,
)
from xyn_reconciler.desired.values import JSON, ExpressionError, text
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.redaction import is_sensitive_header
from xyn_reconciler.trigger import delivery_ids, event_names, json_body, redact

MAX_ITEMS: Final = 10_000
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 10_000


class MappingError(InvalidError):
    """A delivery does not fit the mapping of its source."""

    code = "mapping_failed"

    def __init__(self, source: str, key: str, reason: str) -> None:
        super().__init__(
            f"source {source}: {key}: {reason}",
            details={"source": source, "key": key, "reason": reason},
        )


class UnsupportedBodyError(InvalidError):
    """The body is neither JSON nor a form, and does not claim to be."""

    code = "unsupported_media_type"
    http_status = 415


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request; header names in any case."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return next((v for k, v in self.headers.items() if k.lower() == "content-type"), "")


def map_delivery(
    source: Mapping[str, Any],
    delivery: Delivery,
    *,
    pack: Mapping[str, Any] | None = None,
    env_id: str,
    correlation_id: str,
    now: dt.datetime,
    new_id: Callable[[], uuid.UUID],
) -> list[Event]:
    """Give the events of a delivery in order; ``source`` is the normalised document.

    ``pack`` is the settings of the pack that the source stands in.
    Raises :class:`MappingError`, :class:`UnsupportedBodyError`, that the JSON is
    invalid, or :class:`~.event_names.ReservedNameError`.
    """
    name = source["id"]
    body = parse_body(delivery.content_type, delivery.body)
    scope: dict[str, JSON] = {
        "headers": dict(_open_headers(source, delivery.headers)),
        "body": body,
        "source": {"id": name},
        "settings": dict(pack or {}),
    }
    listed = _items(source, scope)
    of_its_own = _names_its_item(source.get("delivery_id"))
    sha256 = hashlib.sha256(delivery.body).hexdigest()
    events = []
    for index, item in enumerate(listed):
        here = scope | {"item": item, "item_index": index}
        data = _data(source, here)
        if source.get("payload") == "digest":
            data = {"sha256": sha256, "byte_length": len(delivery.body)}
        events.append(
            Event(
                event_id=new_id(),
                event_name=_event_name(source, here),
                occurred_at=now,
                env_id=env_id,
                actor=f"source:{name}",
                correlation_id=correlation_id,
                resource=_resource(source, here),
                data=data,
                source=name,
                delivery_id=_delivery_id(source, here),
                delivery_item=0 if of_its_own else index,
                content_type=delivery.content_type or None,
            )
        )
    return _with_raw(source, delivery.body, body, events)


def parse_body(content_type: str, body: bytes) -> JSON:
    """Give the body as JSON: JSON itself, or a form (of a lone field ``payload`` what it holds)."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _FORM:
        return _form(body)
    try:
        value: JSON = json_body.read(body)
    except json_body.InvalidJsonError as error:
        if media_type in ("", "text/plain") or media_type.endswith(("/json", "+json")):
            raise
        # Many senders name their JSON anything; only what is no JSON either is refused for it.
        raise UnsupportedBodyError(
            f"{media_type[:100]!r} is not taken here: send JSON or a form"
        ) from error
    return value


def _form(body: bytes) -> JSON:
    try:
        fields = parse_qs(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise UnsupportedBodyError(f"a form has at most {_MAX_FIELDS:,} fields") from error
    if list(fields) == ["payload"] and len(fields["payload"]) == 1:  # as GitHub sends forms
        value: JSON = json_body.read(fields["payload"][0].encode("utf-8", "surrogatepass"))
        return value
    return {key: values[0] if len(values) == 1 else list(values) for key, values in fields.items()}


def _open_headers(source: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, JSON]:
    own = str((source.get("verify") or {}).get("header") or "").lower()
    return {
        name.lower(): value
        for name, value in headers.items()
        if not is_sensitive_header(name) and name.lower() != own
    }


def _rendered(source: Mapping[str, Any], key: str, value: JSON, scope: dict[str, JSON]) -> JSON:
    try:
        return render_value(value, scope)
    except ExpressionError as error:
        raise MappingError(source["id"], key, error.message) from error


def _items(source: Mapping[str, Any], scope: dict[str, JSON]) -> Sequence[JSON]:
    if source.get("foreach") is None:
        return [scope["body"]]
    found = _rendered(source, "foreach", source["foreach"], scope)
    if not isinstance(found, list):
        raise MappingError(source["id"], "foreach", "the value is not a list")
    if len(found) > MAX_ITEMS:
        raise MappingError(source["id"], "foreach", f"more than {MAX_ITEMS:,} items")
    return found


def _event_name(source: Mapping[str, Any], scope: dict[str, JSON]) -> str:
    found = text(_rendered(source, "event_type", source["event_type"], scope))
    event_names.refuse_reserved(found)
    name = event_names.fitted(found)
    event_names.refuse_reserved(name)
    if not name:
        raise MappingError(source["id"], "event_type", f"{found[:100]!r} is no event name")
    return name


def _data(source: Mapping[str, Any], scope: dict[str, JSON]) -> dict[str, Any]:
    found = scope["item"]
    if source.get("data") is not None:
        found = _rendered(source, "data", source["data"], scope)
    return found if isinstance(found, dict) else {"value": found}


def _resource(source: Mapping[str, Any], scope: dict[str, JSON]) -> dict[str, str] | None:
    template = source.get("resource")
    if template is None:
        return None
    kind = text(_rendered(source, "resource.type", template["type"], scope))[:200]
    identity = text(_rendered(source, "resource.id", template["id"], scope))[:1000]
    return {"type": kind, "id": identity} if kind and identity else None


def _delivery_id(source: Mapping[str, Any], scope: dict[str, JSON]) -> str | None:
    if source.get("delivery_id") is None:
        return None
    found = _rendered(source, "delivery_id", source["delivery_id"], scope)
    return None if found is None or found == "" else delivery_ids.fitted(text(found))


def _names_its_item(template: str | None) -> bool:
    """Whether each item has a delivery id of its own, so that its position means nothing."""
    if template is None:
        return False
    try:
        named = {each.root for each in references(parse_template(template))}
    except InvalidExpressionError:
        return False  # rendering it says so
    return not named.isdisjoint({"item", "item_index"})


def _with_raw(
    source: Mapping[str, Any], raw: bytes, body: JSON, events: list[Event]
) -> list[Event]:
    """Take out what ``redact`` names, and keep the raw body beside the first event, once."""
    kept: bytes | None = None if source.get("payload") == "digest" else raw
    paths = [redact.parse_path(path) for path in source.get("redact") or ()]
    if paths:
        redacted = [redact.take_out(event, paths) for event in events]
        events = [event for event, _ in redacted]
        secrets = [value for _, values in redacted for value in values]
        if kept is not None and secrets:
            clean, complete = redact.without(body, secrets)
            kept = json.dumps(clean, ensure_ascii=True).encode() if complete else None
    return [redact.with_raw(event, kept if n == 0 else None) for n, event in enumerate(events)]
