"""Keep secret values out of logs, rows, artifacts, records and pages (promise P6).

Pure: a redactor is made from an environment and patterns and replaces what it
knows. It is a last guard; secrets are passed by reference in the first place.
The trap: a value shorter than eight characters is not replaced, because it
would be found in ordinary words.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from xyn_reconciler.model.token_patterns import TOKEN_PATTERNS

REDACTED: Final = "[redacted]"
MIN_LENGTH: Final = 8

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


def _forms(value: str) -> set[str]:
    """A value as it may appear: plain, JSON-escaped, URL-quoted, base64 and hex."""
    raw = value.encode("utf-8", "surrogatepass")
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value, safe="", errors="surrogatepass"),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
    }


class Redactor:
    """Replaces known secret values and well-known token shapes by ``[redacted]``."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if len(value) >= MIN_LENGTH for form in _forms(value)}
        # Longest first: of two values one may begin with the other.
        literal = [re.escape(form) for form in sorted(forms, key=len, reverse=True)]
        self._text = re.compile("|".join([*literal, *(p.regex for p in TOKEN_PATTERNS)]))
        self._bytes = re.compile(self._text.pattern.encode("utf-8", "surrogatepass"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Redactor":
        return cls(secret_values(environment))

    def text(self, text: str) -> str:
        return self._text.sub(REDACTED, text)

    def bytes(self, data: bytes) -> bytes:
        """Replace in bytes of any encoding that keeps ASCII (UTF-8, Latin-1 ...)."""
        return self._bytes.sub(REDACTED.encode(), data)

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Replace in every string and key of a JSON value, and below sensitive headers' names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(key): REDACTED
                if key.lower() in SENSITIVE_HEADERS and isinstance(item, str)
                else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers with lower-case names, without the sensitive ones."""
        return {
            name.lower(): self.text(value)
            for name, value in headers.items()
            if name.lower() not in SENSITIVE_HEADERS
        }
