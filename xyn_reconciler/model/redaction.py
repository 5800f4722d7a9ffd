"""Keep secret values out of logs, rows, artifacts, records and pages (promise P6).

Pure: a redactor is made from an environment and patterns and replaces what it
knows. It is a last guard; secrets are passed by reference in the first place.

It looks at every string that is stored and at every record, so ``secret_finder``
is made to be fast where there is nothing to find.

A redactor learns: whoever opens a secret tells it the value (:meth:`Redactor.learn`),
and everybody who holds it knows it from then on. Nothing is ever unlearnt.

The trap: a value that is too short (``secret_forms.MIN_LENGTH``) is not replaced.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.model.secret_finder import Finder
from xyn_reconciler.model.secret_forms import forms
from xyn_reconciler.model.token_patterns import TOKEN_PATTERNS

REDACTED: Final = "[redacted]"

SECRET_NAME: Final = re.compile(
    r"(^|_)(PASSWORD|PASSWD|PASSPHRASE|SECRETS?|TOKENS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|KEY|PAT|DSN)(_|$)",
    re.IGNORECASE,
)
"""Names of environment variables whose values are taken to be secret."""

SENSITIVE_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-auth-token",
        "x-gitlab-token",
        "x-hub-signature",
        "x-hub-signature-256",
        "x-pagerduty-signature",
        "stripe-signature",
        "webhook-signature",
        "x-webhook-signature",
        "x-signature",
    }
)
"""Header names, in lower case, whose values are never kept."""

_SENSITIVE_NAME: Final = re.compile(
    r"authorization|cookie|signature|hmac|secret|password|(?:^|-)(?:token|api-?key|sig)$"
)


def is_sensitive_header(name: str) -> bool:
    """Whether a header's value is never kept: a known one, or one that is named like those."""
    lower = name.lower()
    return lower in SENSITIVE_HEADERS or _SENSITIVE_NAME.search(lower) is not None


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Give the values of variables that look secret, and the passwords inside URLs."""
    found = []
    for name, value in environment.items():
        if SECRET_NAME.search(name):
            found.append(value)
        elif "://" in value and "@" in value:
            try:
                password = urlsplit(value).password
            except ValueError:
                continue
            if password:
                found.append(password)
    return found


class Redactor:
    """Replaces known secret values and well-known token shapes by ``[redacted]``."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """``values`` are replaced in every form of :func:`forms`; those too short are not."""
        self._values: frozenset[str] = frozenset()
        self._known: frozenset[str] = frozenset()
        self._settle()
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Replace these too from now on, wherever it is held; costs nothing for known ones.

        Others may redact meanwhile; of those who teach it there is one at a time.
        """
        fresh = frozenset(values) - self._values
        if fresh:
            self._values |= fresh
            self._known |= {form for value in fresh for form in forms(value)}
            self._settle()

    def _settle(self) -> None:
        self._finder = Finder(self._known, REDACTED)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Redactor":
        return cls(secret_values(environment))

    def text(self, text: str) -> str:
        return self._finder.replace(text)

    @property
    def longest(self) -> int:
        """Bytes that the longest known value may take, escaped over and over; at least one."""
        return self._finder.longest * _ESCAPED

    def knows(self, data: bytes) -> bool:
        """Whether bytes hold a known value, in any form; shapes of tokens do not count."""
        return self._finder.holds_value(_read(data))

    def bytes(self, data: bytes) -> bytes:
        """Replace in bytes of any encoding that keeps ASCII (UTF-8, Latin-1 ...)."""
        text = _read(data)
        clean = self._finder.replace(text)
        return data if clean == text else clean.encode("utf-8", "surrogateescape")

    def stream(self) -> "RedactingStream":
        """Give what redacts a text that comes in pieces, also where a value is cut in two."""
        return RedactingStream(lambda: self._finder)

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Replace in every string and key of a JSON value, and below sensitive headers' names.

        What holds nothing to replace is given back as it is, not as a copy.
        """
        # One look at all strings together: nearly always that is all there is to do.
        if not self._finder.finds("\0".join(_strings(value))):
            return value
        return self._value(value)

    def _value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        match value:
            case str():
                return self.text(value)
            case dict():
                return {
                    self.text(key): REDACTED
                    if key.lower() in SENSITIVE_HEADERS and isinstance(item, str | list)
                    else self._value(item)
                    for key, item in value.items()
                }
            case list():
                return [self._value(item) for item in value]
        return value

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers with lower-case names, without the sensitive ones."""
        return {
            name.lower(): self.text(value)
            for name, value in headers.items()
            if not is_sensitive_header(name)
        }


_ESCAPED: Final = 12
"""Bytes of one character, at most."""


def _read(data: bytes) -> str:
    """As a text that gives the same bytes again, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


_A_TOKEN: Final = next(pattern.example for pattern in TOKEN_PATTERNS)


def _strings(value: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """Every key and string; for a sensitive header's something that is sure to be found."""
    found: list[str] = []
    waiting = [value]
    for each in waiting:
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, dict):
            found += each
            waiting += each.values()
            if not SENSITIVE_HEADERS.isdisjoint(map(str.lower, each)):
                # Whether there is anything below the name is for the closer look.
                found.append(_A_TOKEN)
        elif isinstance(each, list):
            waiting += each
    return found


class RedactingStream:
    """Redacts a text that comes in pieces; for one thread.

    What may be the beginning of a value, or of a token, is held back until it is
    known: the last word of what came, mostly. :meth:`end` gives it.
    """

    def __init__(self, finder: Callable[[], Finder]) -> None:
        """``finder`` is asked each time: the redactor may have learnt."""
        self._finder = finder
        self._held = ""

    def feed(self, piece: str) -> str:
        """Give as much as is certain of what has come so far, without secrets."""
        finder, text = self._finder(), self._held + piece
        settled = finder.settled(text)
        self._held = text[settled:]
        return finder.replace(text[:settled])

    def end(self) -> str:
        """Give the rest; the stream may be fed anew afterwards."""
        rest, self._held = self._held, ""
        return self._finder().replace(rest)


class SecretInsideError(InvalidError):
    """Bytes that somebody brings hold the value of a live secret: exact bytes are not changed."""

    code = "literal_secret"


class RefusingReader(io.RawIOBase):
    """A readable stream over another one, which raises where a known value comes along."""

    def __init__(self, content: BinaryIO, redactor: Redactor) -> None:
        self._content = content
        self._redactor = redactor
        self._tail = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer has no type before 3.12
        piece = self._content.read(len(buffer))
        if self._redactor.knows(self._tail + piece):
            raise SecretInsideError(
                "these bytes hold a secret of this node, and are not kept: take it out first"
            )
        self._tail = (self._tail + piece)[-self._redactor.longest :]
        buffer[: len(piece)] = piece
        return len(piece)
