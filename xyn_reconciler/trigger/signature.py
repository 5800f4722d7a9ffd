"""Is this delivery from whom its source says? One text and one time for every kind of no.

``verify:`` of a source names a scheme and its secrets by reference; the caller
resolves references. Whoever adds a scheme writes one function of
:class:`Attempt` and puts it into :data:`SCHEMES`. What is signed are the raw
bytes: JSON that was parsed and written again is not what was sent.

The trap: an answer that differs, in words or in time, by what exactly was wrong
tells a stranger how far he came. So every secret is tried, each by a comparison
in constant time, a missing header is compared like a wrong one, and a source
whose secrets are unset takes as long to say no.
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.desired.values import Scope
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.units import parse_duration

ResolveSecret = Callable[[str], str | None]
"""The value of a secret reference such as ``env/NAME``; ``None`` where there is none."""

TOLERANCE: Final = "5m"
"""How far the sender's clock and a delivery's way may put its time off, either way."""

MAX_SIGNATURES: Final = 20
"""Signatures of one header that are looked at; senders send one for each of their secrets."""

_UNUSABLE: Final = b"no secret is set, and this one is nobody's"


class UnverifiedError(XynError):
    """A delivery that its source's ``verify`` does not accept."""

    code = "unverified"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("this delivery is not signed as its source asks")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a scheme looks at; header names are in lower case, there is at least one secret."""

    settings: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes
    secrets: Sequence[bytes]
    from_loopback: bool
    now: dt.datetime

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "").strip()

    def in_time(self, seconds: str) -> bool:
        """Whether a Unix time of the sender lies within the source's ``tolerance`` of now."""
        if not seconds.isascii() or not seconds.isdigit():
            return False
        tolerance = parse_duration(self.settings.get("tolerance", TOLERANCE)).total_seconds()
        return abs(self.now.timestamp() - int(seconds[:12])) <= tolerance


def secret_refs(source: Mapping[str, Any], pack: Mapping[str, Any] | None = None) -> list[str]:
    """Give the references of a source's secrets; ``pack`` is the settings of its pack.

    One that the settings leave open is given as it is written: it names no secret.
    """
    known = {"settings": dict(pack or {})}
    return [_reference(each, known) for each in source["verify"].get("secret_refs") or ()]


def _reference(written: str, known: Scope) -> str:
    try:
        found = render_value(written, known)
    except ExpressionError:
        return written
    return found if isinstance(found, str) and found else written


def verify(
    source: Mapping[str, Any],
    headers: Mapping[str, str],
    body: bytes,
    *,
    pack: Mapping[str, Any] | None = None,
    resolve: ResolveSecret,
    from_loopback: bool,
    now: dt.datetime,
) -> None:
    """Return if it is accepted; raise :class:`UnverifiedError` if not.

    ``pack`` is the settings of the pack that the source stands in.
    """
    settings = source["verify"]
    values = [resolve(ref) for ref in secret_refs(source, pack)]
    # An empty secret would be anybody's: an unset variable must not open the door.
    secrets = [_octets(value) for value in values if value and value.strip()]
    attempt = Attempt(settings, headers, body, secrets or [_UNUSABLE], from_loopback, now)
    fits = SCHEMES[settings["scheme"]](attempt)
    if not fits or (not secrets and settings["scheme"] != "none"):
        raise UnverifiedError


def any_equal(given: bytes, wanted: Iterable[bytes]) -> bool:
    """Whether ``given`` is one of ``wanted``, in a time that tells nothing of them."""
    # Digests, because compare_digest tells the length of what it compares.
    digest = hashlib.sha256(given).digest()
    found = [hmac.compare_digest(digest, hashlib.sha256(each).digest()) for each in wanted]
    return any(found)


def _any_common(given: Iterable[str], wanted: Sequence[bytes]) -> bool:
    found = [any_equal(_octets(each), wanted) for each in list(given)[:MAX_SIGNATURES] or [""]]
    return any(found)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _bearer(attempt: Attempt) -> bool:
    word, _, token = attempt.header("authorization").partition(" ")
    right = any_equal(_octets(token.strip()), attempt.secrets)
    return right and word.lower() == "bearer"


def _none(attempt: Attempt) -> bool:
    return attempt.from_loopback


def _github(attempt: Attempt) -> bool:
    """``sha256=<hex>`` of the body (docs.github.com, "Validating webhook deliveries")."""
    wanted = [b"sha256=" + _hex(secret, attempt.body) for secret in attempt.secrets]
    return any_equal(_octets(attempt.header("x-hub-signature-256")), wanted)


def _gitlab(attempt: Attempt) -> bool:
    """The secret itself. GitLab's signing tokens are the scheme ``standard``."""
    return any_equal(_octets(attempt.header("x-gitlab-token")), attempt.secrets)


def _standard(attempt: Attempt) -> bool:
    """``v1,<base64>``, several apart by spaces, of id, time and body (standardwebhooks.com)."""
    name, time = attempt.header("webhook-id"), attempt.header("webhook-timestamp")
    signed = _octets(f"{name}.{time}.") + attempt.body
    wanted = [
        b"v1," + base64.b64encode(hmac.digest(_standard_key(secret), signed, "sha256"))
        for secret in attempt.secrets
    ]
    right = _any_common(attempt.header("webhook-signature").split(), wanted)
    return right and attempt.in_time(time) and bool(name)


def _standard_key(secret: bytes) -> bytes:
    """``whsec_`` and base64 of the key; a text that is no base64 is nobody's key."""
    try:
        return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True) or _UNUSABLE
    except binascii.Error:
        return hashlib.sha256(_UNUSABLE + secret).digest()


def _stripe(attempt: Attempt) -> bool:
    """``t=<time>,v1=<hex>``, several ``v1`` (docs.stripe.com, "Verify webhook signatures")."""
    parts = [part.strip().partition("=") for part in attempt.header("stripe-signature").split(",")]
    time = next((value for key, _, value in parts if key == "t"), "")
    signed = _octets(f"{time}.") + attempt.body
    wanted = [_hex(secret, signed) for secret in attempt.secrets]
    right = _any_common((value for key, _, value in parts if key == "v1"), wanted)
    return right and attempt.in_time(time)


def _pagerduty(attempt: Attempt) -> bool:
    """``v1=<hex>`` of the body, several apart by commas; it carries no time."""
    wanted = [b"v1=" + _hex(secret, attempt.body) for secret in attempt.secrets]
    given = attempt.header("x-pagerduty-signature").split(",")
    return _any_common((each.strip() for each in given), wanted)


def _hmac(attempt: Attempt) -> bool:
    settings = attempt.settings
    given, prefix = attempt.header(settings["header"]), settings.get("prefix", "")
    in_hex = settings.get("encoding", "hex") == "hex"
    bare = given.removeprefix(prefix)
    digests = [
        hmac.digest(secret, attempt.body, settings.get("algorithm", "sha256"))
        for secret in attempt.secrets
    ]
    wanted = [digest.hex().encode() if in_hex else base64.b64encode(digest) for digest in digests]
    right = any_equal(_octets(bare.lower() if in_hex else bare), wanted)
    return right and given.startswith(prefix)


def _hex(secret: bytes, signed: bytes) -> bytes:
    return hmac.digest(secret, signed, "sha256").hex().encode()


SCHEMES: Final[Mapping[str, Callable[[Attempt], bool]]] = {
    "github": _github,
    "gitlab": _gitlab,
    "standard": _standard,
    "stripe": _stripe,
    "pagerduty": _pagerduty,
    "hmac": _hmac,
    "bearer": _bearer,
    "none": _none,
}
