"""The work of ``http.call``: one request and those that it is redirected to.

Redirects are followed here and not by the client, so that each is a request
of its own before the egress rule, and credentials never travel to another
origin. Imported by the first call: the client takes 5 MiB, which a worker that
never calls anybody does not need.
"""

import datetime as dt
import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode, urljoin

import httpx2

from xyn_reconciler.action.body import parsed_json, read_body
from xyn_reconciler.action.connection import Transport, tls_context
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.url import Origin, parse_url
from xyn_reconciler.model.errors import PermanentError, TemporaryError
from xyn_reconciler.model.redaction import SENSITIVE_HEADERS

MAX_REDIRECTS: Final = 5
LONGEST_RETRY_AFTER: Final = dt.timedelta(hours=1)
_EXCERPT: Final = 2000

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
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BODIES: Final = ("json", "form", "body")


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: httpx2.URL
    origin: Origin
    headers: dict[str, str]
    content: bytes


def call(inputs: Mapping[str, Any], context: ActionContext, limit: int) -> dict[str, Any]:
    """Send the request and what redirects ask for; the outputs, if they are a success.

    Of an answer at most ``limit`` bytes are kept.
    """
    this = _first_call(inputs, context)
    with httpx2.Client(transport=Transport(context, tls_context()), trust_env=False) as client:
        for _ in range(MAX_REDIRECTS + 1):
            outputs, location = _send(client, this, limit)
            context.log(f"{this.method} {this.origin.host}: {outputs['status']}")
            if location is None or not inputs.get("follow_redirects", True):
                return _judged(outputs, inputs.get("expect_status"))
            this = _redirected(this, outputs["status"], location)
    raise PermanentError(
        "too_many_redirects", f"the server redirected more than {MAX_REDIRECTS} times"
    )


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


def _first_call(inputs: Mapping[str, Any], context: ActionContext) -> _Call:
    url, origin = parse_url(inputs["url"])
    if "query" in inputs:
        try:
            url = url.copy_merge_params(httpx2.QueryParams(_query(inputs["query"])))
        except httpx2.InvalidURL as error:
            raise PermanentError("invalid_url", f"the query does not fit: {error}") from error
    given = [name for name in _BODIES if name in inputs]
    if len(given) > 1:
        raise PermanentError("invalid_inputs", f"{' and '.join(given)} are two bodies; keep one")
    content, kind = _content(inputs)
    headers = {"user-agent": "xyn", "accept-encoding": "gzip, deflate", "accept": "*/*"}
    headers |= {} if kind is None else {"content-type": kind}
    headers |= _own_headers(inputs.get("headers", {}))
    if context.idempotency_key is not None:
        headers["idempotency-key"] = _checked("Idempotency-Key", context.idempotency_key)
    if "bearer_ref" in inputs:
        headers["authorization"] = _checked("bearer_ref", f"Bearer {_secret(inputs, context)}")
    return _Call(inputs.get("method", "GET"), url, origin, headers, content)


def _query(query: Mapping[str, Any]) -> list[tuple[str, str | int | float | bool | None]]:
    return [
        (_sendable(name), _sendable(_text(one)))
        for name, value in query.items()
        for one in (value if isinstance(value, list) else [value])
    ]


def _sendable(text: str) -> str:
    """Without lone surrogates, which no UTF-8 can say; as in forms and bodies."""
    return text.encode("utf-8", "replace").decode()


def _content(inputs: Mapping[str, Any]) -> tuple[bytes, str | None]:
    if "json" in inputs:
        return json.dumps(inputs["json"]).encode(), "application/json"
    if "form" in inputs:
        fields = {name: _text(value) for name, value in inputs["form"].items()}
        content = urlencode(fields, errors="replace").encode()
        return content, "application/x-www-form-urlencoded"
    if "body" in inputs:
        return inputs["body"].encode("utf-8", "replace"), "text/plain; charset=utf-8"
    return b"", None


def _text(value: Any) -> str:  # noqa: ANN401 - a string, number or boolean
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _own_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    own: dict[str, str] = {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise PermanentError("invalid_header", f"{name!r} is not the name of a header")
        if name.lower() in _NOT_YOURS:
            raise PermanentError("invalid_header", f"the header {name} cannot be set")
        own[name.lower()] = _checked(name, _text(value))
    return own


def _checked(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        # The value may be a secret, so it is not shown.
        raise PermanentError(
            "invalid_header", f"the value of {name} holds a line break or another control character"
        )
    return value


def _secret(inputs: Mapping[str, Any], context: ActionContext) -> str:
    reference = inputs["bearer_ref"]
    value = context.secret(reference)
    if value is None:
        raise PermanentError("secret_not_found", f"there is no secret {reference} on this node")
    return value


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


def _send(client: httpx2.Client, call: _Call, limit: int) -> tuple[dict[str, Any], str | None]:
    """Give the outputs of one request, and where it redirects to."""
    request = httpx2.Request(
        call.method,
        call.url,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in call.headers.items()],
        content=call.content or None,
    )
    response = client.send(request, stream=True, follow_redirects=False)
    try:
        headers = {name.lower(): value for name, value in response.headers.items()}
        encoding = None if call.method == "HEAD" else headers.get("content-encoding")
        body = read_body(response.iter_raw(), encoding, limit)
    finally:
        response.close()
    text = body.decode(_charset(headers.get("content-type", "")), "replace")
    outputs = {
        "status": response.status_code,
        "headers": headers,
        "body": text,
        "json": parsed_json(headers.get("content-type", ""), text),
    }
    location = headers.get("location") if response.status_code in _REDIRECTS else None
    return outputs, location


def _charset(content_type: str) -> str:
    match = re.search(r"charset=\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    try:
        return "utf-8" if match is None else _known_charset(match[1])
    except LookupError:
        return "utf-8"


def _known_charset(name: str) -> str:
    "".encode(name)  # Raises LookupError for what is unknown, or is no text encoding.
    return name


def _redirected(call: _Call, status: int, location: str) -> _Call:
    url, origin = parse_url(urljoin(str(call.url), location))
    headers = dict(call.headers)
    if origin != call.origin:
        private = SENSITIVE_HEADERS | {"idempotency-key"}
        headers = {name: value for name, value in headers.items() if name not in private}
    again = replace(call, url=url, origin=origin, headers=headers)
    becomes_get = status == 303 or (status in {301, 302} and call.method == "POST")  # noqa: PLR2004 - RFC 9110, 15.4
    if not becomes_get or call.method == "HEAD":
        return again
    plain = {name: value for name, value in headers.items() if name not in _OF_THE_BODY}
    return replace(again, method="GET", headers=plain, content=b"")


def _judged(outputs: dict[str, Any], expected: list[int] | None) -> dict[str, Any]:
    status = outputs["status"]
    if status in expected if expected is not None else 200 <= status < 300:  # noqa: PLR2004 - success
        return outputs
    message = f"the server answered {status}"
    details = {"status": status, "body": outputs["body"][:_EXCERPT]}
    if status == 429 or status >= 500:  # noqa: PLR2004 - RFC 6585, RFC 9110
        delay = _retry_after(outputs["headers"].get("retry-after"))
        raise TemporaryError("http_status", message, delay=delay, details=details)
    raise PermanentError("http_status", message, details=details)


def _retry_after(value: str | None) -> dt.timedelta | None:
    """Read seconds or a date (RFC 9110, 10.2.3); ``None`` for anything else."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return min(dt.timedelta(seconds=int(value.strip()[:9])), LONGEST_RETRY_AFTER)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    wait = until.astimezone(dt.UTC) - dt.datetime.now(dt.UTC)
    return max(dt.timedelta(), min(wait, LONGEST_RETRY_AFTER))
