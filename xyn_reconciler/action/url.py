"""Read the URL of a request strictly: what two programs could read differently is refused.

Pure. The spellings that fool filters are ``invalid_url`` here: user info,
backslashes, white space and controls, IPv4 in any form but four decimal
numbers, zone ids, percent signs in the host.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx2

from xyn_reconciler.model.errors import PermanentError

PORTS: Final = {"http": 80, "https": 443}

_FORBIDDEN: Final = re.compile(
    r"[\x00-\x20\x7f-\xa0\\\u1680\u2000-\u200f\u2028-\u202f\u2060\u3000\ufeff]"
)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST: Final = 8000


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: who a request goes to, and who its credentials are for."""

    scheme: str
    host: str
    """A name in ASCII, or an address without brackets; in lower case."""
    port: int


def parse_url(text: str) -> tuple[httpx2.URL, Origin]:
    """Read an absolute ``http`` or ``https`` URL.

    Raises ``PermanentError`` with code ``invalid_url``.
    """
    if len(text) > _LONGEST:
        raise _invalid(text[:80], f"it is longer than {_LONGEST} characters")
    if _FORBIDDEN.search(text):
        raise _invalid(text, "it holds white space, a control character or a backslash")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _invalid(text, str(error)) from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise _invalid(text, "it does not begin with http:// or https://")
    if "@" in parts.netloc:
        # The URL may hold a password, so it is not repeated.
        raise PermanentError(
            "invalid_url", "a URL with a user or password is not accepted; use auth"
        )
    if port == 0:
        raise _invalid(text, "there is no port 0")
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise _invalid(text, str(error)) from error
    host = _host(text, url.raw_host.decode("ascii").lower(), bracketed="[" in parts.netloc)
    return url, Origin(scheme, host, port or PORTS[scheme])


def _host(text: str, host: str, *, bracketed: bool) -> str:
    if bracketed:
        if "%" in host:
            raise _invalid(text, "an address with a zone means something on one machine only")
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise _invalid(text, f"{host} is not an IPv6 address") from error
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # As browsers do (WHATWG, "ends in a number"), but only the one plain spelling.
        try:
            return str(ipaddress.IPv4Address(".".join(labels)))
        except ValueError as error:
            raise _invalid(text, f"{host} is not four decimal numbers") from error
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 - RFC 1035
        raise _invalid(text, f"{host!r} is not a host name")
    return host


def _invalid(text: str, why: str) -> PermanentError:
    return PermanentError("invalid_url", f"{text!r} is not a URL that can be called: {why}")
