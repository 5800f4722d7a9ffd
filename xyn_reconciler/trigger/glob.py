"""``disk-*``: the patterns of a trigger's ``match``.

``*`` is any run of characters, also none, and ``?`` is one character; case
counts and the whole text must fit. There are no sets and no escapes (a literal
``*`` is what ``when`` is for).

The trap: ``fnmatch`` makes a regular expression of the pattern, and several
``*`` in it backtrack against one another, so that one alert can hold up a
worker. Here each piece between two stars is placed once, leftmost, which is
always right, and never moved again.
"""

from functools import lru_cache


def is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def matches(pattern: str, text: str) -> bool:
    """Say whether all of ``text`` fits, in time that the number of stars does not multiply."""
    first, *rest = _pieces(pattern)
    if not rest:
        return len(first) == len(text) and _fits(first, text, 0)
    *middle, last = rest
    if len(first) + len(last) > len(text) or not _fits(first, text, 0):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = _find(piece, text, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return _fits(last, text, end)


@lru_cache(maxsize=4096)
def _pieces(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("*"))


def _fits(piece: str, text: str, at: int) -> bool:
    if "?" not in piece:
        return text.startswith(piece, at)
    return all(wanted in ("?", text[at + i]) for i, wanted in enumerate(piece))


def _find(piece: str, text: str, start: int, end: int) -> int:
    if "?" not in piece:
        return text.find(piece, start, end)
    last = end - len(piece)
    return next((at for at in range(start, last + 1) if _fits(piece, text, at)), -1)
