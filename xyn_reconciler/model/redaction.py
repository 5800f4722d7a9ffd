"""Keep secret values out of logs, rows, artifacts, records and pages (promise P6).

Pure: a redactor is made from an environment and patterns and replaces what it
knows. It is a last guard; secrets are passed by reference in the first place.

It looks at every string that is stored and at every record, so it is made to be
fast where there is nothing to find: the values stand in one expression that
shares their beginnings, and a token's expression is asked for its literal
beginning first.

The trap: a value shorter than eight characters is not replaced, because it
would be found in ordinary words.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, AnyStr, Final, Generic
from urllib.parse import quote, quote_plus, urlsplit

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
        known = {form for value in values for form in forms(value)}
        as_bytes = {raw.decode("latin-1") for form in known for raw in _encodings(form)}
        values_in_text = _values_expression(known)
        values_in_bytes = _values_expression(as_bytes).encode("latin-1")
        self._text = _Finder(
            re.compile(values_in_text) if values_in_text else None,
            _TEXT_TOKENS,
            REDACTED,
            "".join,
        )
        self._bytes = _Finder(
            re.compile(values_in_bytes) if values_in_bytes else None,
            _BYTES_TOKENS,
            REDACTED.encode(),
            b"".join,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Redactor":
        return cls(secret_values(environment))

    def text(self, text: str) -> str:
        return self._text.replace(text)

    def bytes(self, data: bytes) -> bytes:
        """Replace in bytes of any encoding that keeps ASCII (UTF-8, Latin-1 ...)."""
        return self._bytes.replace(data)

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Replace in every string and key of a JSON value, and below sensitive headers' names.

        What holds nothing to replace is given back as it is, not as a copy.
        """
        # One look at all strings together: nearly always that is all there is to do.
        if not self._text.finds("\0".join(_strings(value))):
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


_A_TOKEN: Final = next(pattern.example for pattern in TOKEN_PATTERNS)


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """Every key and string; for a sensitive header's something that is sure to be found."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as items:
                for key, item in items.items():
                    yield key
                    if key.lower() in SENSITIVE_HEADERS and isinstance(item, str | list):
                        yield _A_TOKEN
                    waiting.append(item)
            case list() as items:
                waiting += items


# ── values ───────────────────────────────────────────────────────────────────────────────────────


def forms(value: str) -> set[str]:
    """Give a value as it may appear: plain, and escaped or encoded as is usual.

    JSON (also inside a string of JSON), URL, HTML, hexadecimal, and the part of a
    base64 text that is the value's alone, wherever in the encoded text it stands.
    """
    plain = value.strip()
    if len(plain) < MIN_LENGTH:
        return set()
    raw = _raw(plain)
    quoted = {
        quote(raw, safe=""),
        quote(raw, safe="/"),
        quote_plus(raw),
    }
    escaped = json.dumps(plain)[1:-1]
    found = {
        plain,
        escaped,
        json.dumps(escaped)[1:-1],
        json.dumps(plain, ensure_ascii=False)[1:-1],
        html.escape(plain),
        *quoted,
        *(re.sub("%..", lambda part: part[0].lower(), each) for each in quoted),
        raw.hex(),
        raw.hex().upper(),
        *_inside_base64(raw),
    }
    return {form for form in found if len(form) >= MIN_LENGTH}


def _inside_base64(raw: bytes) -> Iterator[str]:
    """Three bytes become four characters, so there are three ways to stand in a longer text."""
    for before in range(3):
        text = b"\0" * before + raw
        first = (8 * before + 5) // 6
        last = 8 * len(text) // 6
        yield base64.b64encode(text).decode()[first:last]
        yield base64.urlsafe_b64encode(text).decode()[first:last]


def _raw(text: str) -> bytes:
    try:
        # As the environment had it, where that was not UTF-8.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _encodings(form: str) -> Iterator[bytes]:
    yield _raw(form)
    try:
        yield form.encode("latin-1")
    except UnicodeEncodeError:
        return


def _values_expression(texts: Iterable[str]) -> str:
    """Write one expression for many texts that shares their beginnings; of two, the longer wins.

    A bare alternation would try every text at every place. Without texts it is empty.
    """
    root: _Node = {}
    for text in texts:
        node = root
        for character in text:
            node = node.setdefault(character, {})
        node[""] = {}
    return _written(root)


_Node = dict[str, "_Node"]


def _written(node: _Node) -> str:
    ways = []
    for character in sorted(node.keys() - {""}):
        literal, rest = re.escape(character), node[character]
        while len(rest) == 1 and "" not in rest:
            ((following, rest),) = rest.items()
            literal += re.escape(following)
        ways.append(literal + _written(rest))
    if not ways:
        return ""
    return f"(?:{'|'.join(ways)})" + ("?" if "" in node else "")


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Token(Generic[AnyStr]):
    """One shape: ``hint`` finds where it may begin, quickly, ``whole`` says whether it does."""

    sign: re.Pattern[AnyStr]
    """Found in every text that has the shape, and in few others: asked before all else."""
    hint: re.Pattern[AnyStr]
    skip: int
    """Characters between where the hint and where the shape begin."""
    whole: re.Pattern[AnyStr]

    def find(self, text: AnyStr, start: int) -> tuple[int, int] | None:
        """The first place at or after ``start``, as (begin, end)."""
        while (hint := self.hint.search(text, start)) is not None:
            whole = self.whole.match(text, hint.start() + self.skip)
            if whole is not None:
                return whole.span()
            start = hint.start() + 1
        return None


def _hint(regex: str) -> tuple[str, int]:
    """Give an expression without the look behind that it begins with, and what that would skip.

    Python looks for a literal beginning quickly, and tries a look behind everywhere.
    """
    behind = re.match(r"\(\?<(?P<kind>[!=])(?P<what>(?:\[[^\]]*\]|[^()\[\]])*)\)", regex)
    if behind is None:
        return regex, 0
    rest = regex[behind.end() :]
    if behind["kind"] == "!":
        return rest, 0
    # Of those that must stand before there are only literal ones.
    return behind["what"] + rest, len(behind["what"])


_SIGNS: Final = {"a Stripe key": "k_live_|k_test_|whsec_"}
"""For hints that begin with letters so common that Python would look at each of them."""

_TEXT_TOKENS: Final = [
    _Token(
        re.compile(_SIGNS.get(pattern.name, hint)),
        re.compile(hint),
        skip,
        re.compile(pattern.regex),
    )
    for pattern in TOKEN_PATTERNS
    for hint, skip in [_hint(pattern.regex)]
]
_BYTES_TOKENS: Final = [
    _Token(
        re.compile(token.sign.pattern.encode()),
        re.compile(token.hint.pattern.encode()),
        token.skip,
        re.compile(token.whole.pattern.encode()),
    )
    for token in _TEXT_TOKENS
]


class _Finder(Generic[AnyStr]):
    """Values and tokens, in text or in bytes."""

    def __init__(
        self,
        values: re.Pattern[AnyStr] | None,
        tokens: list[_Token[AnyStr]],
        instead: AnyStr,
        join: Callable[[Iterable[AnyStr]], AnyStr],
    ) -> None:
        self._values: re.Pattern[AnyStr] | None = values
        # Bound once: most texts have no sign of any, and are asked for all of them.
        self._tokens: list[tuple[Callable[[AnyStr], re.Match[AnyStr] | None], _Token[AnyStr]]] = [
            (token.sign.search, token) for token in tokens
        ]
        self._instead: AnyStr = instead
        self._join: Callable[[Iterable[AnyStr]], AnyStr] = join

    def finds(self, text: AnyStr) -> bool:
        if self._values is not None and self._values.search(text) is not None:
            return True
        for sign, token in self._tokens:
            if sign(text) is not None and token.find(text, 0) is not None:
                return True
        return False

    def replace(self, text: AnyStr) -> AnyStr:
        if self._values is not None:
            text = self._values.sub(lambda _: self._instead, text)
        for sign, token in self._tokens:
            if sign(text) is not None:
                text = self._without(text, token)
        return text

    def _without(self, text: AnyStr, token: _Token[AnyStr]) -> AnyStr:
        found = token.find(text, 0)
        if found is None:
            return text
        kept: list[AnyStr] = []
        at = 0
        while found is not None:
            begin, end = found
            kept += [text[at:begin], self._instead]
            at = end
            found = token.find(text, max(end, begin + 1))
        kept.append(text[at:])
        return self._join(kept)
