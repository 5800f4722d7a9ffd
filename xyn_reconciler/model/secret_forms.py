"""How a secret value may be written where it turns up, and one expression that finds them all.

``model.redaction`` replaces these forms. The trap: a value shorter than
:data:`MIN_LENGTH` characters has none, because it would be found in ordinary words.
"""

import base64
import html
import itertools
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote, quote_plus

MIN_LENGTH: Final = 8


def forms(value: str) -> set[str]:
    """Give a value as it may appear: plain, and escaped or encoded as is usual.

    JSON (also inside a string of JSON), URL, HTML, shell, hexadecimal, and the part of
    a base64 text that is the value's alone, wherever in the encoded text it stands.
    Of a value of several lines each line too, but for the marks of a PEM text.
    """
    plain = value.strip()
    if len(plain) < MIN_LENGTH:
        return set()
    parts = {line for line in map(str.strip, plain.splitlines()) if not line.startswith("-----")}
    return {
        form
        for part in {plain, *parts}
        if len(part) >= MIN_LENGTH
        for form in _forms(part)
        if len(form) >= MIN_LENGTH
    }


def _forms(plain: str) -> Iterator[str]:
    raw = _raw(plain)
    yield plain
    yield from _escaped(plain)
    for quoted in (quote(raw, safe=""), quote(raw, safe="/"), quote_plus(raw)):
        yield quoted
        yield re.sub("%..", lambda part: part[0].lower(), quoted)
    yield raw.hex()
    yield raw.hex().upper()
    yield from _inside_base64(raw)


def _escaped(plain: str) -> Iterator[str]:
    as_json = json.dumps(plain)[1:-1]
    yield as_json
    yield as_json.replace("/", "\\/")
    yield json.dumps(as_json)[1:-1]
    yield json.dumps(plain, ensure_ascii=False)[1:-1]
    yield repr(plain)[1:-1]
    as_html = html.escape(plain)
    yield as_html
    yield as_html.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    yield html.escape(plain, quote=False)
    # In single quotes, in double quotes, and without any.
    yield shlex.quote(plain).strip("'")
    yield re.sub(r'(["\\$`])', r"\\\1", plain)
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", plain, flags=re.ASCII)


_LINES_OF_BASE64: Final = (76, 64)
"""Characters in a line as ``base64`` and as ``openssl`` break them."""


def _inside_base64(raw: bytes) -> Iterator[str]:
    """Three bytes become four characters, so there are three ways to stand in a longer text."""
    for before in range(3):
        text = b"\0" * before + raw
        first = (8 * before + 5) // 6
        last = 8 * len(text) // 6
        yield base64.b64encode(text).decode()[first:last]
        yield base64.urlsafe_b64encode(text).decode()[first:last]
    whole = base64.b64encode(raw).decode().rstrip("=")
    for length in _LINES_OF_BASE64:
        if len(whole) > length:
            yield from (whole[at : at + length] for at in range(0, len(whole), length))


def _raw(text: str) -> bytes:
    try:
        # As the environment had it, where that was not UTF-8.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def encodings(form: str) -> Iterator[bytes]:
    """Give a form in the encodings that texts come in."""
    yield _raw(form)
    try:
        yield form.encode("latin-1")
    except UnicodeEncodeError:
        return


def expression(texts: Iterable[str]) -> str:
    """Write one expression for many texts that shares their beginnings; of two, the longer wins.

    A bare alternation would try every text at every place. Without texts it is empty.
    """
    return _written(sorted(set(texts)))


def _written(texts: Sequence[str]) -> str:
    """Write sorted texts; an empty one among them makes what is written optional."""
    ways = []
    for _, group in itertools.groupby(filter(None, texts), lambda text: text[0]):
        alike = list(group)
        # Of sorted texts, what the first and the last have in common all have.
        shared = _shared(alike[0], alike[-1])
        ways.append(re.escape(alike[0][:shared]) + _written([text[shared:] for text in alike]))
    if not ways:
        return ""
    return f"(?:{'|'.join(ways)})" + ("" if texts[0] else "?")


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
