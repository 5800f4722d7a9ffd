"""The work of ``http.call``: one request and those that it is redirected to.

Redirects are followed here and not by the client, so that each is a request
of its own before the egress rule, and credentials never travel to another
origin. Imported by the first call: the client takes 5 MiB, which a worker that
never calls anybody does not need.
"""

import base64
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from xyn_reconciler.action.connection import Transport
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.http_answer import answer
from xyn_reconciler.action.request_body import RequestBody, request_body, text_of
from xyn_reconciler.action.tls import Tls
from xyn_reconciler.action.url import Origin, parse_url
from xyn_reconciler.model.errors import PermanentError
from xyn_reconciler.model.units import parse_duration

MAX_REDIRECTS: Final = 5

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_NOT_YOURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say how the message travels; setting them is how requests are smuggled."""
_OF_THE_BODY: Final = frozenset({"content-type", "content-encoding", "content-language"})
_FOR_ANYBODY: Final = re.compile(r"(accept|content|if)(-.*)?|range|user-agent")
"""What says what is sent and what is wanted back; any other header may prove who asks."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: httpx2.URL
    origin: Origin
    headers: dict[str, str]
    private: frozenset[str]
    """Names of headers that prove something to this origin, and are no other's."""
    body: RequestBody
    tls: Tls


def call(inputs: Mapping[str, Any], context: ActionContext, limit: int) -> dict[str, Any]:
    """Send the request and what redirects ask for; the outputs, if they are a success.

    Of an answer at most ``limit`` bytes are kept, unless it becomes an artifact.
    """
    if "timeout" in inputs:
        try:
            until = time.monotonic() + parse_duration(inputs["timeout"]).total_seconds()
        except ValueError as error:
            raise PermanentError("invalid_inputs", f"timeout: {error}") from error
        context = replace(context, deadline=min(context.deadline, until))
    this, expected = _first_call(inputs, context), inputs.get("expect_status")
    follows = inputs.get("follow_redirects", True)
    for _ in range(MAX_REDIRECTS + 1):
        with _sent(this, context) as response:
            status = response.status_code
            context.log(f"{this.method} {this.origin.host}: {status}")
            location = response.headers.get("location") if status in _REDIRECTS else None
            if location is None or not follows or status in (expected or ()):
                return answer(this.method, response, inputs, context, limit)
        this = _redirected(this, status, location)
    raise PermanentError(
        "too_many_redirects", f"the server redirected more than {MAX_REDIRECTS} times"
    )


@contextmanager
def _sent(call: _Call, context: ActionContext) -> Iterator[httpx2.Response]:
    """Send one request, over a connection of its own; the answer's body is not read yet."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in call.headers.items()]
    if call.body.length:
        headers.append((b"content-length", str(call.body.length).encode()))
    request = httpx2.Request(
        call.method, call.url, headers=headers, content=call.body if call.body.length else None
    )
    transport = Transport(context, call.tls.context(), call.tls.server_name)
    with closing(transport), closing(transport.handle_request(request)) as response:
        yield response


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


def _first_call(inputs: Mapping[str, Any], context: ActionContext) -> _Call:
    url, origin = parse_url(inputs["url"])
    if "query" in inputs:
        try:
            url = url.copy_merge_params(httpx2.QueryParams(_query(inputs["query"])))
        except httpx2.InvalidURL as error:
            raise PermanentError("invalid_url", f"the query does not fit: {error}") from error
    body = request_body(inputs, context)
    own = _own_headers(inputs.get("headers", {}))
    headers = {"user-agent": "xyn", "accept-encoding": "gzip, deflate", "accept": "*/*"}
    headers |= {} if body.content_type is None else {"content-type": body.content_type}
    headers |= own
    if "multipart" in inputs and "content-type" in own:
        raise PermanentError("invalid_header", "multipart sets Content-Type by itself")
    if context.idempotency_key is not None:
        headers["idempotency-key"] = _checked("Idempotency-Key", context.idempotency_key)
    proof = _credentials(inputs, context)
    return _Call(
        inputs.get("method", "GET"),
        url,
        origin,
        headers | proof,
        frozenset(proof) | {"idempotency-key"},
        body,
        Tls.of(inputs.get("tls", {}), context.credential),
    )


def _query(query: Mapping[str, Any]) -> list[tuple[str, str | int | float | bool | None]]:
    return [
        (_sendable(name), _sendable(text_of(one)))
        for name, value in query.items()
        for one in (value if isinstance(value, list) else [value])
    ]


def _sendable(text: str) -> str:
    """Without lone surrogates, which no UTF-8 can say; as in forms and bodies."""
    return text.encode("utf-8", "replace").decode()


def _own_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    return {_name(name): _checked(name, text_of(value)) for name, value in headers.items()}


def _name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise PermanentError("invalid_header", f"{name!r} is not the name of a header")
    if name.lower() in _NOT_YOURS:
        raise PermanentError("invalid_header", f"the header {name} cannot be set")
    return name.lower()


def _checked(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        # The value may be a secret, so it is not shown.
        raise PermanentError(
            "invalid_header", f"the value of {name} holds a line break or another control character"
        )
    return value.strip(" \t")


def _credentials(inputs: Mapping[str, Any], context: ActionContext) -> dict[str, str]:
    """Give the header that proves who asks, if any, as name and value."""
    auth = dict(inputs.get("auth", {}))
    if "bearer_ref" in inputs:
        if auth:
            raise PermanentError("invalid_inputs", "bearer_ref is short for auth; keep one of them")
        auth = {"bearer_ref": inputs["bearer_ref"]}
    match auth:
        case {"bearer_ref": reference}:
            return {"authorization": _proof("Bearer ", context.credential(reference), reference)}
        case {"basic": {"user": user, "password_ref": reference}}:
            pair = f"{user}:{context.credential(reference)}".encode()
            return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
        case {"header": {"name": name, "value_ref": reference}}:
            return {_name(name): _proof("", context.credential(reference), reference)}
    return {}


def _proof(scheme: str, secret: str, reference: str) -> str:
    return _checked(reference, f"{scheme}{secret}")


# ── redirects ────────────────────────────────────────────────────────────────────────────────────


def _redirected(call: _Call, status: int, location: str) -> _Call:
    try:
        joined = urljoin(str(call.url), location)
    except ValueError as error:
        message = f"the server redirected to {location!r}, which is no URL"
        raise PermanentError("invalid_url", message) from error
    url, origin = parse_url(joined)
    headers, tls = dict(call.headers), call.tls
    if origin != call.origin:
        headers = {
            name: value
            for name, value in headers.items()
            if name not in call.private and _FOR_ANYBODY.fullmatch(name)
        }
        tls = tls.elsewhere()
    again = replace(call, url=url, origin=origin, headers=headers, tls=tls)
    becomes_get = status == 303 or (status in {301, 302} and call.method == "POST")  # noqa: PLR2004 - RFC 9110, 15.4
    if not becomes_get or call.method == "HEAD":
        return again
    plain = {name: value for name, value in headers.items() if name not in _OF_THE_BODY}
    return replace(again, method="GET", headers=plain, body=RequestBody())
