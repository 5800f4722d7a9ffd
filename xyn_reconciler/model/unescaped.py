r"""Read a text as if nothing in it were escaped: by JSON, URLs, HTML, YAML, a shell, or several.

Whatever wrote a value down, and how many times over, the value reads the same here:
``unescaped(escape(value)) == unescaped(value)``. So a value is found that was escaped in a way
which nobody has listed. Lines of base64 are read as one. Pure; ``model.redaction`` relies on it.

The trap: it is no decoder. Backslashes are gone, also those of a value, and so are doubled quotes:
what is looked for has to be read in the same way.
"""

import html
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Final, TypeAlias

_IN_LINES: Final = r"(?<=[A-Za-z0-9_+/-]{16}[\r\n])"
_SIGN: Final = re.compile(rf"""[\\%&'\r\n](?:(?<=[\\%&])|(?<=')(?=['"])|{_IN_LINES})""")
"""Found in every text that reads otherwise, and in few others: asked before all else."""
_ESCAPED: Final = re.compile(
    # Its first character stands before all else: Python looks for one of few quickly. Of
    # characters that belong together so many are read at once: memory is bounded.
    r"[\\%&'\r\n](?:"
    r"(?<=\\)\\*(?:u[0-9A-Fa-f]{4}(?:\\+u[0-9A-Fa-f]{4}){0,4000}|U[0-9A-Fa-f]{8}"
    r"|x[0-9A-Fa-f]{2}(?:\\+x[0-9A-Fa-f]{2}){0,4000}|[^\\]?)"
    r"|(?<=%)(?:25)*[0-9A-Fa-f]{2}(?:%(?:25)*[0-9A-Fa-f]{2}){0,4000}"
    r"|(?<=&)(?:amp;)*(?:\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,7});"
    r"""|(?<=')(?:"'"'|')+"""
    rf"|{_IN_LINES}\s*(?=[A-Za-z0-9_+/=-]{{2}}))"
)
_BEGUN: Final = re.compile(r"(?:[\\%&]\S*|(?<=[A-Za-z0-9_+/-]{16})\s+)\Z")
"""The end of a text that may be the first part of something escaped."""
_SHORT: Final = 16
_DEPTH: Final = 5
"""How many ways of escaping within one another are read."""
_DIGITS: Final = re.compile(r"[uUx]([0-9A-Fa-f]+)|%(?:25)*([0-9A-Fa-f]{2})")
_ENCODINGS: Final = {"u": "utf-16-be", "U": "utf-32-be", "x": "utf-8", "%": "utf-8"}
_NAMED: Final = dict(zip("nrtbfav0", "\n\r\t\b\f\a\v\0", strict=True))

Span: TypeAlias = tuple[int, int]
_Edge: TypeAlias = tuple[int, int, int, int]
"""Where something stands in the text that is read, and where it stood: two spans."""


def unescaped(text: str) -> str:
    """Give a text as it reads; itself where nothing in it is escaped."""
    for _ in range(_DEPTH):
        if _SIGN.search(text) is None:
            return text
        read = _ESCAPED.sub(_read, text)
        if read == text:
            return text
        text = read
    return text


def with_places(text: str) -> tuple[str, Callable[[Span], Span]]:
    """Give a text as it reads, and what tells of a span in it where that stood."""
    passes = list[list[_Edge]]()
    for _ in range(_DEPTH):
        read, edges = _pass(text)
        if read == text:
            break
        passes.insert(0, edges)
        text = read

    def place(span: Span) -> Span:
        for edges in passes:
            span = _before(span, edges)
        return span

    return text, place


def certain(text: str) -> str:
    """Give a text without its end where that may be the first part of something escaped."""
    begun = _BEGUN.search(text, max(0, len(text) - 64))
    return text if begun is None else text[: begun.start()]


def _pass(text: str) -> tuple[str, list[_Edge]]:
    parts, edges, at, length = list[str](), list[_Edge](), 0, 0
    for found in _ESCAPED.finditer(text):
        begin, end = found.span()
        read = _read(found)
        parts += [text[at:begin], read]
        length += begin - at
        edges.append((length, length + len(read), begin, end))
        length += len(read)
        at = end
    parts.append(text[at:])
    return "".join(parts), edges


def _before(span: Span, edges: list[_Edge]) -> Span:
    begin, end = span
    at = bisect_right(edges, begin, key=itemgetter(0)) - 1
    if at >= 0:
        _, read_end, stood, stood_end = edges[at]
        begin = stood if begin < read_end else begin - read_end + stood_end
    at = bisect_left(edges, end, key=itemgetter(0)) - 1
    if at >= 0:
        _, read_end, _, stood_end = edges[at]
        end = stood_end if end <= read_end else end - read_end + stood_end
    return begin, end


def _read(found: re.Match[str]) -> str:
    text = found[0]
    # Most are short, and of few kinds; a long one may be as long as the text.
    return _known(text) if len(text) <= _SHORT else _meant(text)


@lru_cache(maxsize=1024)
def _known(text: str) -> str:
    return _meant(text)


def _meant(text: str) -> str:
    kind, digits = text[0], _DIGITS.findall(text)
    if kind == "\\":
        kind = text.lstrip("\\")[:1]
        if kind not in _ENCODINGS or not digits:
            return _NAMED.get(kind, kind)
    if kind in _ENCODINGS:
        return _decoded(bytes.fromhex("".join(a or b for a, b in digits)), _ENCODINGS[kind])
    if kind == "&":
        return html.unescape(f"&{text[1:].replace('amp;', '')}")
    return "'" if kind == "'" else ""


def _decoded(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, "surrogatepass" if encoding == "utf-16-be" else "strict")
    except UnicodeDecodeError:
        # ``\xe9`` of Python and JavaScript, and URLs that are as old.
        return raw.decode("latin-1")
