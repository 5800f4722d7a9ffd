"""How answers look: JSON, a table, or names alone, on standard output.

Remarks on standard error.
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

_COLORS: Final = {
    "completed": "32",
    "approved": "32",
    "running": "36",
    "waiting": "33",
    "interrupted": "33",
    "failed": "31",
    "rejected": "31",
    "passed": "32",
    "validated": "32",
    "promoted": "32",
    "cancelled": "90",
    "skipped": "90",
}
_WIDEST: Final = 60
_WIDEST_LAST: Final = 200
"""Of the last column, which pushes no other away and says why."""
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")
_PAINT: Final = re.compile(r"(\x1b\[(?:0|3[1-6]|90)m)")

Row = Mapping[str, Any]


def remark(text: str) -> None:
    """Say something that is not the answer; where nobody listens any more, nothing is said."""
    with contextlib.suppress(OSError):
        sys.stderr.write(_tame(text.rstrip("\n")) + "\n")
        sys.stderr.flush()


def passed_on(text: str) -> None:
    """Say what somebody else says, piece by piece; it commands no terminal."""
    with contextlib.suppress(OSError):
        sys.stderr.write("\n".join(map(plain, text.split("\n"))))
        sys.stderr.flush()


def answer(text: str) -> None:
    """Print what was asked for: as it is to a program; a terminal gets our colors and no orders."""
    text = text.rstrip("\n")
    if sys.stdout.isatty():
        parts = _PAINT.split(text)
        text = "".join(part if _PAINT.fullmatch(part) else _tame(part) for part in parts)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def json_text(value: object) -> str:
    """Write JSON for people and programs: what a terminal would obey or hide is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def print_list(
    rows: Sequence[Row],
    columns: Mapping[str, Callable[[Row], object]],
    *,
    name: str,
    form: str,
    empty: str,
) -> None:
    """Print rows as ``json`` (an array), ``name`` (one a line) or ``table``.

    ``empty`` is a remark for a person who sees an empty table: the next command.
    """
    if form == "json":
        answer(json_text(list(rows)))
    elif form == "name":
        for row in rows:
            answer(str(row[name]))
    elif rows:
        answer(table(rows, columns))
    else:
        remark(empty)


def print_one(row: Row, *, name: str, form: str) -> None:
    """Print one thing as ``json``, ``name`` or a line for each field that says something."""
    if form == "json":
        answer(json_text(row))
    elif form == "name":
        answer(str(row[name]))
    else:
        width = max(map(len, row))
        for key, value in row.items():
            if value not in (None, "", [], {}):
                answer(f"{key:<{width}}  {paint(plain(value))}")


def table(rows: Sequence[Row], columns: Mapping[str, Callable[[Row], object]]) -> str:
    """Lay out rows in columns as wide as their widest cell; long cells are cut.

    Of a moment it says whole seconds: who needs more asks for ``json``.
    """
    titles = [title.upper() for title in columns]
    most = [*[_WIDEST] * (len(titles) - 1), _WIDEST_LAST]
    cells = [
        [_cut(plain(read(row)), n) for read, n in zip(columns.values(), most, strict=True)]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [titles, *cells]
    ]
    return "\n".join(paint(line) if number else line for number, line in enumerate(lines))


def paint(text: str) -> str:
    """Color the statuses of a line, on a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    for word, color in _COLORS.items():
        text = text.replace(f" {word}", f" \x1b[{color}m{word}\x1b[0m")
    return text


def plain(value: object) -> str:
    """Say a value in one line that commands no terminal."""
    match value:
        case None:
            return "-"
        case str():
            text = value
        case bool():
            return "yes" if value else "no"
        case _:
            text = (
                json.dumps(value, ensure_ascii=False)
                if isinstance(value, dict | list)
                else str(value)
            )
    # A terminal obeys control characters; what came from outside must not command it.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _tame(text: str) -> str:
    """Keep lines and tabs, and write out whatever else commands a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def _cut(text: str, most: int) -> str:
    if moment := _MOMENT.fullmatch(text):
        return f"{moment[1]}Z"
    return text if len(text) <= most else text[: most - 1] + "…"
