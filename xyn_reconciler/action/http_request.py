"""The work of ``http.call``: one request and those that it is redirected to.

Redirects are followed here and not by the client, so that each is a request
of its own before the egress rule, and credentials never travel to another
origin. Imported by the first call: the client takes 5 MiB, which a worker that
never calls anybody does not need.
"""

import base64
import codecs
import datetime as dt
import email.utils
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urljoin

import httpx2

from xyn_reconciler.action.body import Counted, parsed_json, read_body, unpacked
from xyn_reconciler.action.connection import Transport
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.request_body import RequestBody, request_body, text_of
from xyn_reconciler.action.tls import Tls, shown
from xyn_reconciler.action.url import Origin, parse_url
from xyn_reconciler.model.errors import PermanentError, TemporaryError
from xyn_reconciler.model.redaction import is_sensitive_header
from xyn_reconciler.model.units import parse_duration

MAX_REDIRECTS: Final = 5
LONGEST_RETRY_AFTER: Final = dt.timedelta(hours=1)
_EXCERPT: Final = 2000
_BEYOND: Final = 16_384
"""Bytes behind an excerpt that are looked at, so that no half of a secret stays; none is longer."""

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
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
"""Of Python's: escapes, and one that takes minutes for a megabyte."""


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
        until = time.monotonic() + parse_duration(inputs["timeout"]).total_seconds()
        context = replace(context, deadline=min(context.deadline, until))
    this, expected = _first_call(inputs, context), inputs.get("expect_status")
    follows = inputs.get("follow_redirects", True)
    for _ in range(MAX_REDIRECTS + 1):
        with _sent(this, context) as response:
            status = response.status_code
            context.log(f"{this.method} {this.origin.host}: {status}")
            location = response.headers.get("location") if status in _REDIRECTS else None
            if location is None or not follows or status in (expected or ()):
                return _answer(this, response, inputs, context, limit)
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
        Tls.of(inputs.get("tls", {}), lambda reference: _secret(reference, context)),
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
            return {"authorization": _proof("Bearer ", _secret(reference, context), reference)}
        case {"basic": {"user": user, "password_ref": reference}}:
            if ":" in user:
                # RFC 7617, section 2: the first colon begins the password.
                raise PermanentError(
                    "invalid_inputs", "the user of basic authentication has no ':'"
                )
            pair = f"{user}:{_secret(reference, context)}".encode()
            return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
        case {"header": {"name": name, "value_ref": reference}}:
            return {_name(name): _proof("", _secret(reference, context), reference)}
    return {}


def _proof(scheme: str, secret: str, reference: str) -> str:
    return _checked(reference, f"{scheme}{secret}")


def _secret(reference: str, context: ActionContext) -> str:
    value = context.secret(reference)
    if value is None:
        raise PermanentError("secret_not_found", f"there is no secret {reference} on this node")
    # A file of one line ends with one.
    return value.rstrip("\r\n")


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


def _answer(
    call: _Call,
    response: httpx2.Response,
    inputs: Mapping[str, Any],
    context: ActionContext,
    limit: int,
) -> dict[str, Any]:
    """Read the answer that is the last, and give the outputs if it is a success."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    kind, expected = headers.get("content-type", ""), inputs.get("expect_status")
    encoding = None if call.method == "HEAD" else headers.get("content-encoding")
    outputs = {"status": response.status_code, "headers": headers, "body": "", "json": None}
    if response.extensions["certificate"]:
        outputs["certificate"] = shown(response.extensions["certificate"])
    fits = _is_success(response.status_code, expected)
    if fits and "save_to" in inputs:
        pieces = unpacked(response.iter_raw(), encoding)
        return outputs | _kept(pieces, inputs["save_to"], kind, context)
    # What is no success is told with its beginning, however long it is.
    most = limit if fits else _EXCERPT + _BEYOND
    body = read_body(response.iter_raw(), encoding, most, cut=not fits)
    text = body.decode(_charset(kind), "replace")
    outputs |= {"body": text, "json": parsed_json(kind, text)}
    return judged(outputs, expected, context.redact, min(limit, _EXCERPT))


def _kept(
    pieces: Iterator[bytes], name: str, content_type: str, context: ActionContext
) -> dict[str, Any]:
    if context.artifact is None:
        raise PermanentError("invalid_inputs", "save_to: no artifacts are kept here")
    body = Counted(pieces)
    artifact_id = context.artifact(
        name=name,
        kind="http.body",
        content_type=content_type or "application/octet-stream",
        # Of a stream a keeper reads, and asks for nothing else.
        content=cast("BinaryIO", body),
    )
    context.log(f"{body.length} bytes became artifact {artifact_id}")
    return {"artifact_id": str(artifact_id), "sha256": body.sha256, "bytes": body.length}


def _charset(content_type: str) -> str:
    match = re.search(r"charset=\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    try:
        return "utf-8" if match is None else _known_charset(match[1])
    except LookupError:
        return "utf-8"


def _known_charset(name: str) -> str:
    """Raises LookupError for what is unknown, or is no encoding of texts."""
    "".encode(name)
    found = codecs.lookup(name).name
    if found.replace("_", "-") in _NO_CHARSETS:
        raise LookupError(found)
    return found


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
            if name not in call.private and not is_sensitive_header(name)
        }
        tls = tls.elsewhere()
    again = replace(call, url=url, origin=origin, headers=headers, tls=tls)
    becomes_get = status == 303 or (status in {301, 302} and call.method == "POST")  # noqa: PLR2004 - RFC 9110, 15.4
    if not becomes_get or call.method == "HEAD":
        return again
    plain = {name: value for name, value in headers.items() if name not in _OF_THE_BODY}
    return replace(again, method="GET", headers=plain, body=RequestBody())


def _is_success(status: int, expected: Collection[int] | None) -> bool:
    return status in expected if expected is not None else 200 <= status < 300  # noqa: PLR2004 - success


def judged(
    outputs: dict[str, Any],
    expected: Collection[int] | None,
    redact: Callable[[str], str],
    most: int = _EXCERPT,
) -> dict[str, Any]:
    """Give the outputs of ``http.call`` if their status is a success, else raise ``http_status``.

    Of another answer's body ``most`` characters are told; ``redact`` takes secrets out before
    it is cut, which would leave half of one.
    429 and 5xx are worth another attempt, not before ``Retry-After``.
    """
    status = outputs["status"]
    if _is_success(status, expected):
        return outputs
    message = f"the server answered {status}"
    details = {"status": status, "body": redact(outputs["body"])[:most]}
    if status == 429 or status >= 500:  # noqa: PLR2004 - RFC 6585, RFC 9110
        delay = retry_after(outputs["headers"].get("retry-after"))
        raise TemporaryError("http_status", message, delay=delay, details=details)
    raise PermanentError("http_status", message, details=details)


def retry_after(value: str | None) -> dt.timedelta | None:
    """Read seconds or a date (RFC 9110, 10.2.3); ``None`` for anything else."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return min(dt.timedelta(seconds=int(value.strip()[:9])), LONGEST_RETRY_AFTER)
    try:
        until = email.utils.parsedate_to_datetime(value)
        # A date without a zone is of UTC (RFC 5322, section 3.3: -0000).
        until = until.replace(tzinfo=dt.UTC) if until.tzinfo is None else until.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    wait = until - dt.datetime.now(dt.UTC)
    return max(dt.timedelta(), min(wait, LONGEST_RETRY_AFTER))
