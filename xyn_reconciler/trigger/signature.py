"""Is this delivery from whom its source says? One text and one time for every kind of no.

``verify:`` of a source names a scheme and its secrets by reference; the caller
resolves references. Whoever adds a scheme writes one function of
:class:`Attempt` and puts it into :data:`SCHEMES`.

The trap: an answer that differs, in words or in time, by what exactly was wrong
tells a stranger how far he came. So every secret is tried, each by a comparison
in constant time, and a missing header is compared like a wrong one.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.errors import XynError

ResolveSecret = Callable[[str], str | None]
"""The value of a secret reference such as ``env/NAME``; ``None`` where there is none."""


class UnverifiedError(XynError):
    """A delivery that its source's ``verify`` does not accept."""

    code = "unverified"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("this delivery is not signed as its source asks")


class SchemeNotInstalledError(XynError):
    """The language knows this scheme and this version does not have it yet."""

    code = "scheme_not_installed"
    http_status = 501


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a scheme looks at; header names are in lower case, secrets are never empty."""

    settings: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes
    secrets: Sequence[bytes]
    from_loopback: bool


def verify(
    source: Mapping[str, Any],
    headers: Mapping[str, str],
    body: bytes,
    *,
    resolve: ResolveSecret,
    from_loopback: bool,
) -> None:
    """Return if it is accepted; raise :class:`UnverifiedError` if not."""
    settings = source["verify"]
    scheme = SCHEMES.get(settings["scheme"])
    if scheme is None:
        raise SchemeNotInstalledError(f"the scheme {settings['scheme']!r} is not installed here")
    values = [resolve(ref) for ref in settings.get("secret_refs") or ()]
    # An empty secret would be anybody's: an unset variable must not open the door.
    secrets = [value.encode("utf-8", "surrogateescape") for value in values if value]
    if not scheme(Attempt(settings, headers, body, secrets, from_loopback)):
        raise UnverifiedError


def any_equal(given: bytes, wanted: Iterable[bytes]) -> bool:
    """Whether ``given`` is one of ``wanted``, in a time that tells nothing of them."""
    # Digests, because compare_digest tells the length of what it compares.
    digest = hashlib.sha256(given).digest()
    found = [hmac.compare_digest(digest, hashlib.sha256(each).digest()) for each in wanted]
    return any(found)


def _bearer(attempt: Attempt) -> bool:
    word, _, token = attempt.headers.get("authorization", "").partition(" ")
    given = token.strip().encode("utf-8", "surrogateescape")
    right = any_equal(given, attempt.secrets)
    return right and word.lower() == "bearer"


def _none(attempt: Attempt) -> bool:
    return attempt.from_loopback


SCHEMES: Final[Mapping[str, Callable[[Attempt], bool]]] = {"bearer": _bearer, "none": _none}
