"""What every request passes before a view sees it, and what every answer carries.

One place for it all: host names, the token, who acts (:func:`authenticate`),
same origin, body caps, and the headers that keep a browser from being talked
into anything. The trap: a body may come without a length (chunked), so the cap
stands on the stream that views read as well.
"""

from typing import IO, Final

import flask

from flask_ui.access import Access, same_origin
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.principal import OPERATOR, Principal

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MIB: Final = 1024 * 1024

EVENT_MAX: Final = 5 * MIB
"""Bytes of one event, batch or delivery."""
FORM_MAX: Final = MIB
"""Bytes of any other JSON document or form."""
ARTIFACT_MAX: Final = 250 * MIB
"""Bytes of one artifact (seed 38.1)."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class MisdirectedError(XynError):
    """The ``Host`` header names somebody else (RFC 9110, section 15.5.20)."""

    code = "misdirected_request"
    http_status = 421


class UnauthorizedError(XynError):
    """This node wants its token."""

    code = "unauthorized"
    http_status = 401


class CrossOriginError(XynError):
    """Another site's page tried to change something here."""

    code = "cross_origin"
    http_status = 403


class TooLargeError(XynError):
    """The body is larger than this address takes."""

    code = "too_large"
    http_status = 413


class CappedBody:
    """A body that raises :class:`TooLargeError` instead of giving more than ``limit`` bytes.

    werkzeug's own cap gives the first ``limit`` bytes of a body without a length as if they were
    all (3.1, ``LimitedStream.readall``).
    """

    def __init__(self, body: IO[bytes], limit: int) -> None:
        self._body = body
        self._limit = limit
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        """As of a file; without a size, all that is left."""
        if size >= 0:
            return self._counted(self._body.read(min(size, self._left + 1)))
        parts = []
        while part := self._counted(self._body.read(self._left + 1)):
            parts.append(part)
        return b"".join(parts)

    def _counted(self, part: bytes) -> bytes:
        self._left -= len(part)
        if self._left < 0:
            raise TooLargeError(f"the body may have at most {self._limit} bytes")
        return part


class UnsupportedTypeError(XynError):
    """The body is of a kind that this address does not read."""

    code = "unsupported_media_type"
    http_status = 415


def authenticate(_request: flask.Request) -> Principal:
    """Say who acts. Every view has its principal from here: sign-in will change one function."""
    return OPERATOR


def actor() -> Principal:
    """Who acts in the request at hand."""
    principal: Principal = flask.g.principal
    return principal


def body_limit(path: str, content_type: str) -> int | None:
    """Most bytes that a request may bring; ``None`` where the repository's own caps hold."""
    if path.startswith("/git/"):
        return None
    if path.startswith(("/hooks/", "/api/v1/events")):
        return EVENT_MAX
    if path.startswith("/api/v1/artifacts"):
        # A JSON document is read into memory, its base64 a third longer than the bytes.
        direct = content_type.partition(";")[0].strip().lower() == "application/json"
        return 16 * MIB if direct else ARTIFACT_MAX + MIB
    return FORM_MAX


def _is_open(path: str) -> bool:
    """Whether an address asks for no token: probes, and webhooks, which their source verifies."""
    return path in {"/healthz", "/readyz"} or path.startswith("/hooks/")


def protect(app: flask.Flask, access: Access) -> None:
    """Put the checks before, and the headers behind, every view of ``app``."""

    @app.before_request
    def _check() -> None:
        request = flask.request
        if not access.knows_host(request.headers.get("Host")):
            raise MisdirectedError("this node does not answer to that host name")
        if not _is_open(request.path) and not access.admits(request.headers.get("Authorization")):
            raise UnauthorizedError("this node wants its token: Authorization: Bearer …")
        flask.g.principal = authenticate(request)
        if request.method not in SAFE_METHODS and not same_origin(request.headers):
            raise CrossOriginError("pages of other sites may not change anything here")
        limit = body_limit(request.path, request.headers.get("Content-Type", ""))
        if limit is not None:
            if (request.content_length or 0) > limit:
                raise TooLargeError(f"the body may have at most {limit} bytes")
            request.environ["wsgi.input"] = CappedBody(request.environ["wsgi.input"], limit)

    @app.after_request
    def _add_headers(response: flask.Response) -> flask.Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response
