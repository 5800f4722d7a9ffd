"""Phrases that problems share, so that every one of them speaks the same way."""

import difflib
from collections.abc import Collection

_LONGEST_NAME = 64
"""Nobody mistypes a longer one, and comparing costs the product of both lengths."""


def nearest(name: str, known: Collection[str]) -> str | None:
    """Give the known name that was probably meant."""
    if len(name) > _LONGEST_NAME:
        return None
    near = difflib.get_close_matches(name, [k for k in known if len(k) <= _LONGEST_NAME], n=1)
    return near[0] if near else None


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`` (did you mean "x"?)`` for the nearest known name, else nothing; meant to be appended."""
    near = nearest(name, known)
    return "" if near is None else f' (did you mean "{near}"?)'


def quoted(name: str) -> str:
    """A name in double quotes, on one line: shortened where it is too long to read."""
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in name[:_LONGEST_NAME]
    )
    return f'"{shown}"' if len(name) <= _LONGEST_NAME else f'"{shown}…"'
