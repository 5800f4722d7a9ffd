"""What every request passes before a view sees it, and what every answer carries.

One place for it all: host names, who acts (:func:`authenticate`), who may read,
same origin, body caps, and the headers that keep a browser from being talked
into anything. What somebody may do is asked by ``service``, with what it is done to.

The traps: a body may come without a length (chunked), so the cap stands on the
stream that views read as well; one that was cut off looks whole there; and git
reads by POST, so the method alone does not say whether a request changes anything.
"""

import threading
from typing import IO, Final, Literal

import flask
from werkzeug.wrappers import Request

from flask_ui.access import Access, Brought, brought, same_origin
from xyn_reconciler.model.errors import UnavailableError, XynError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.rules import ANONYMOUS
from xyn_reconciler.service import artifacts, identity, policy
from xyn_reconciler.service.context import Context

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MIB: Final = 1024 * 1024

EVENT_MAX: Final = 5 * MIB
"""Bytes of one event, batch or delivery."""
FORM_MAX: Final = MIB
"""Bytes of any other JSON document or form."""
ARTIFACT_MAX: Final = 250 * MIB
"""Bytes of one artifact (seed 38.1)."""

STREAMED_MAX: Final = ARTIFACT_MAX + MIB
"""An artifact that is not read into memory, and what stands around it in a form."""

BODIES_AT_A_TIME: Final = 256
"""Requests whose bodies are waited for. Each holds a thread of the web server, for as long as its
sender likes; there are twice as many, and pages and probes need some."""
PLACE_SECONDS: Final = 1.0
"""Whose turn does not come within that is sent away."""
_ON_THEIR_WAY: Final = threading.BoundedSemaphore(BODIES_AT_A_TIME)
_UNCAPPED: Final = 1 << 40

SESSION_COOKIE: Final = "xyn_session"

_OPEN: Final = frozenset({"/healthz", "/readyz", "/ui/login"})
_RECORDS: Final = frozenset({"events", "runs", "gates", "artifacts", "audit", "backtests"})
_STATE: Final = frozenset(
    {
        "actions",
        "blueprints",
        "drafts",
        "packs",
        "reviews",
        "rollback",
        "schedules",
        "secrets",
        "sources",
        "tests",
    }
)

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_PLAIN: Final = frozenset({"", "identity"})
HEADERS: Final = {
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
    """This node wants a token."""

    code = "unauthorized"
    http_status = 401


class SignInError(UnauthorizedError):
    """Nobody said who acts, and it has to be somebody; a browser is shown where to say it."""


class CrossOriginError(XynError):
    """Another site's page tried to change something here."""

    code = "cross_origin"
    http_status = 403


class TooLargeError(XynError):
    """The body is larger than this address takes."""

    code = "too_large"
    http_status = 413


class CutOffError(XynError):
    """The sender went away, or said a length that it did not send."""

    code = "body_cut_off"
    http_status = 400


class GuardedBody:
    """A body of at most ``limit`` bytes, whole, whose senders are not all waited for.

    It raises :class:`TooLargeError` and :class:`CutOffError` where granian and werkzeug (3.1,
    ``LimitedStream.readall``) give what they have as if it were all. ``length`` is what the
    sender said; of a body without one nobody can say whether it is whole.
    """

    def __init__(self, body: IO[bytes], limit: int, length: int | None = None) -> None:
        self._body = body
        self._limit = limit
        self._left = limit
        self._missing = length or 0

    def read(self, size: int = -1) -> bytes:
        """As of a file; without a size, all that is left."""
        if size >= 0:
            return self._counted(min(size, self._left + 1))
        parts = []
        while part := self._counted(self._left + 1):
            parts.append(part)
        return b"".join(parts)

    def _counted(self, size: int) -> bytes:
        if not _ON_THEIR_WAY.acquire(timeout=PLACE_SECONDS):
            raise UnavailableError("too many requests are slow to come in; send it again")
        try:
            part = self._body.read(size)
        finally:
            _ON_THEIR_WAY.release()
        self._left -= len(part)
        self._missing -= len(part)
        if self._left < 0:
            raise TooLargeError(f"the body may have at most {self._limit} bytes")
        if size and not part and self._missing > 0:
            raise CutOffError(f"the body ended {self._missing} bytes before its length")
        return part


class UnsupportedTypeError(XynError):
    """The body is of a kind that this address does not read."""

    code = "unsupported_media_type"
    http_status = 415


class EncodedBodyError(UnsupportedTypeError):
    """The body is compressed: its signature may be of either form, and its size is not its own."""

    def __init__(self) -> None:
        super().__init__("this address reads no Content-Encoding: send the body as it is")


def authenticate(request: Request, access: Access, context: Context) -> Principal:
    """Say who acts: by ``Authorization``, by a session's cookie, or as ``auth`` says of no word.

    A token that is not known is refused and never overlooked: who believes to
    act as somebody must not act as another. A cookie that is not known is none.
    """
    header = request.headers.get("Authorization")
    given = brought(header)
    exposure = access.token is not None and access.admits(header)
    if given is not None and not exposure:
        return _of_token(context, given)
    # Looked for first: reading none would cost as much as all the rest here.
    cookie = request.cookies.get(SESSION_COOKIE) if "HTTP_COOKIE" in request.environ else None
    known = identity.principal_of_session(context, cookie) if cookie else None
    if known is not None:
        return known
    if not access.admits(header):
        raise UnauthorizedError("this node wants its token: Authorization: Bearer …")
    unnamed = identity.unnamed(context)
    if unnamed == ANONYMOUS and not (is_reading(request) and access.is_from_here(request)):
        raise SignInError(
            "say who you are: a token of yours (xynctl token create ID makes one), as bearer"
            " token, as password of your id in git, or at /ui/login"
        )
    return unnamed


def _of_token(context: Context, given: Brought) -> Principal:
    principal = identity.principal_of_token(context, given.secret)
    if principal is None:
        raise UnauthorizedError(
            "this token is not known here: it expired, was revoked, or is another node's"
        )
    if given.name not in (None, principal.id):
        raise UnauthorizedError(f"this token is not {given.name}'s: say the id that it is of")
    return principal


def is_reading(request: Request) -> bool:
    """Whether a request asks and changes nothing; ``git push`` announces itself by a GET."""
    if request.path.startswith("/git/"):
        path = request.path.rstrip("/")
        # Only there the query says what is to be done; elsewhere it is anybody's word.
        asked = path.endswith("/info/refs")
        service = request.args.get("service") if asked else path.rpartition("/")[2]
        return service != "git-receive-pack"
    return request.method in SAFE_METHODS


def reads(path: str) -> Literal["state.read", "records.read"] | None:
    """What an address lets somebody read, as policies call it; None for the node's own words."""
    if path.startswith("/git/"):
        return "state.read"
    noun = path.removeprefix("/api/v1/").removeprefix("/ui/").partition("/")[0]
    if noun in _RECORDS:
        return "records.read"
    return "state.read" if noun in _STATE else None


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
        return 16 * MIB if direct else STREAMED_MAX
    return FORM_MAX


def _is_open(path: str) -> bool:
    """Whether an address asks nobody who it is: probes, the way to sign in, files of pages.

    And webhooks, which their source verifies.
    """
    return path in _OPEN or path.startswith(("/hooks/", "/static/"))


def _brings_events(path: str) -> bool:
    """Whether events come in there by the thousand: a second's old rules will do for those."""
    return path == "/api/v1/events" or path.startswith("/hooks/")


def admit(request: Request, access: Access, context: Context) -> Principal:
    """Say who acts, and cap what the body may bring; raises what keeps the request out."""
    headers, path = request.headers, request.path
    if not access.knows_host(headers.get("Host")):
        raise MisdirectedError("this node does not answer to that host name")
    if not is_reading(request) and not _brings_events(path):
        # Whoever was taken out, or has to say since now who it is, changes nothing any more.
        identity.renew_rules(context)
    principal = ANONYMOUS if _is_open(path) else authenticate(request, access, context)
    if request.method not in SAFE_METHODS and not same_origin(headers):
        raise CrossOriginError("pages of other sites may not change anything here")
    action = reads(path) if is_reading(request) else None
    if action is not None:
        policy.refuse_reading(context, principal, action)
    limit = body_limit(path, headers.get("Content-Type", ""))
    if limit == STREAMED_MAX and request.method not in SAFE_METHODS:
        # A node may allow more; what it allows less of is said where the bytes are counted.
        limit = max(limit, artifacts.largest(context) + MIB)
    if limit is not None:
        if headers.get("Content-Encoding", "identity").strip().lower() not in _PLAIN:
            raise EncodedBodyError
        if (request.content_length or 0) > limit:
            raise TooLargeError(f"the body may have at most {limit} bytes")
    request.environ["wsgi.input"] = GuardedBody(
        request.environ["wsgi.input"], limit or _UNCAPPED, request.content_length
    )
    return principal


def protect(app: flask.Flask, access: Access, context: Context) -> None:
    """Put the checks before, and the headers behind, every view of ``app``."""

    @app.before_request
    def _check() -> None:
        flask.g.principal = admit(flask.request, access, context)

    @app.after_request
    def _add_headers(response: flask.Response) -> flask.Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response
