"""How a secret value may be written where it turns up, and one expression that finds them all.

``model.redaction`` replaces these forms, and finds them in a text as :mod:`.unescaped` reads it:
what only escapes characters (JSON, URLs, HTML, a shell) needs no form of its own. The trap: a
value shorter than :data:`MIN_LENGTH` characters has none, because it would be found in ordinary
words.
"""

import base64
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from xyn_reconciler.model.unescaped import unescaped

MIN_LENGTH: Final = 8


def forms(value: str) -> set[str]:
    """Give a value as it may appear: plain, and encoded as is usual.

    Hexadecimal, and the part of a base64 text that is the value's alone, wherever in the
    encoded text it stands. Of a value of several lines each line too, but for the marks of a
    PEM text.
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
        # What is unescaped may be shorter than what somebody thought of.
        if len(form) > MIN_LENGTH // 2
    }


def _forms(plain: str) -> Iterator[str]:
    for text in {plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))}:
        yield text
        yield unescaped(text)
        yield unescaped(text.replace(" ", "+"))
        raw = _raw(text)
        for apart in ("", ":", " ") if len(raw) <= _IN_ONE_LINE else ("",):
            digits = raw.hex(apart) if apart else raw.hex()
            yield digits
            yield digits.upper()
        yield from _inside_base64(raw)
        yield from _latin_1(text)


_IN_ONE_LINE: Final = 64
"""Bytes: what shows digits of bytes apart shows no more of them without a break."""
_LINES_OF_BASE64: Final = (76, 64)
"""Characters in a line as ``base64`` and as ``openssl`` break them, should one stand alone."""


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
            lines = (whole[at : at + length] for at in range(0, len(whole), length))
            yield from (line for line in lines if len(line) >= MIN_LENGTH)


def _latin_1(text: str) -> Iterator[str]:
    """As bytes of Latin-1 are read by who takes them for UTF-8, and keeps what is none."""
    try:
        yield text.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return


def _raw(text: str) -> bytes:
    try:
        # As the environment had it, where that was not UTF-8.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


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
