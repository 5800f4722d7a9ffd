"""Who may reach the server at all: settled once, before it binds, and asked at every request.

Pure. A node listens on the loopback addresses and answers only to their names,
so that no web page elsewhere can reach it under a name of its own (DNS
rebinding). Any other address needs a token of :data:`TOKEN_LENGTH` characters.
The trap: in a container the loopback address is of no use; compose publishes
the port on the host's loopback alone and says so with
``XYN_PUBLISHED_ON_LOOPBACK=1``.
"""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request

from xyn_reconciler.model.errors import InvalidError

TOKEN_LENGTH: Final = 16
"""Least length of ``XYN_TOKEN``: shorter ones can be guessed."""

LOOPBACK: Final = ("127.0.0.1", "::1")
_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")

_PROXIED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""What a proxy on this machine adds: who sends is somewhere else."""


class ExposedError(InvalidError):
    """The address asked for is one that others can reach, and nothing keeps them out."""

    code = "exposed"


@dataclass(frozen=True, slots=True)
class Access:
    """``hosts``: names that requests may use beyond loopback's; ``token``: what each must bring."""

    hosts: frozenset[str] = frozenset()
    token: str | None = None
    near: frozenset[str] = frozenset()
    """Addresses that count as loopback: the gateway of a container published on loopback alone."""

    def knows_host(self, header: str | None) -> bool:
        """Whether a ``Host`` header names this node."""
        found = _HOST.fullmatch((header or "").lower())
        if found is None:
            return False
        name = found[1].rstrip(".")
        return name in _NAMES or name.endswith(".localhost") or name in self.hosts

    def admits(self, authorization: str | None) -> bool:
        """Whether ``Authorization`` brings the token, in a time that says nothing about it.

        As a bearer token, or as the password of basic authentication under any
        name: git and browsers know no other way to be asked.
        """
        if self.token is None:
            return True
        given = brought(authorization)
        secret = "" if given is None else given.secret
        return hmac.compare_digest(_sha256(secret), _sha256(self.token))

    def is_near(self, address: str | None) -> bool:
        """Whether a peer's address is this machine's own."""
        try:
            parsed = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return (mapped or parsed).is_loopback or str(parsed) in self.near

    def is_from_here(self, request: Request) -> bool:
        """Whether this machine itself sent a request: not a proxy on it, for somebody else."""
        proxied = any(name in request.headers for name in _PROXIED)
        return not proxied and self.is_near(request.remote_addr)


@dataclass(frozen=True, slots=True)
class Brought:
    """What ``Authorization`` brings: a token, and in basic authentication whose it is."""

    secret: str
    name: str | None = None


def brought(authorization: str | None) -> Brought | None:
    """Read an ``Authorization`` header; ``None`` without one, or for a scheme that is not ours."""
    scheme, _, given = (authorization or "").partition(" ")
    match scheme.lower():
        case "bearer":
            return Brought(given.strip())
        case "basic":
            name, password = _basic(given.strip())
            return Brought(password, name)
        case _:
            return None


def same_origin(headers: Headers) -> bool:
    """Whether a request that changes something comes from our own pages or from no browser.

    Browsers send ``Sec-Fetch-Site`` to loopback (Fetch Metadata, section 2.4),
    older ones at least ``Origin``; programs send neither.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("Origin")
    if origin is None:
        return True
    # Compared whole: what is no origin at all need not be taken apart.
    host = headers.get("Host", "").lower()
    return origin.lower() in {f"http://{host}", f"https://{host}"}


def settle(
    host: str | None, environment: Mapping[str, str], *, url: str, gateway: str | None
) -> tuple[tuple[str, ...], Access]:
    """Which addresses to bind and whom to let in; ``ExposedError`` where that would be everybody.

    ``host`` is what the operator asked for; ``None`` or any name of loopback
    means both of its addresses. ``gateway`` is the default route's, looked at in a container only.
    """
    token = environment.get("XYN_TOKEN") or None
    hosts = frozenset(filter(None, [_named(url), host and _bracketed(host)]))
    published = environment.get("XYN_PUBLISHED_ON_LOOPBACK") == "1"
    if host is None or host in {*LOOPBACK, "localhost"}:
        return LOOPBACK, Access(hosts, token)
    if published:
        return (host,), Access(hosts, token, frozenset(filter(None, [gateway])))
    if token is None or len(token) < TOKEN_LENGTH:
        raise ExposedError(
            f"others can reach {host}: set XYN_TOKEN to at least {TOKEN_LENGTH} characters, "
            "or leave --host out to serve this machine alone"
        )
    return (host,), Access(hosts, token)


def _named(url: str) -> str | None:
    name = urlsplit(url).hostname
    return None if name is None else _bracketed(name)


def _bracketed(host: str) -> str:
    return f"[{host.lower()}]" if ":" in host else host.lower()


def _basic(credentials: str) -> tuple[str, str]:
    """Read ``base64(name:password)`` (RFC 7617); two empty texts for what is not that."""
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return "", ""
    name, _, password = decoded.partition(":")
    return name, password.strip()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
