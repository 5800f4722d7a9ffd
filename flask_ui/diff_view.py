"""A review's text diff as its page shows it: lines in pieces, with what was said of them below.

Pure. Characters that a browser would hide, or that would turn the order of others
around (``U+202E``: what is read is not what is run), are shown by their code points.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.review.text_diff import Hunk, Line, Mark, TextDiff

LINES_SHOWN: Final = 900
"""Lines of all files together that one page shows; it stays below 60 KiB compressed."""
LINE_SHOWN: Final = 1_000
"""Characters of a line that a page shows."""

_HIDDEN: Final = {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that show nothing of themselves."""
_PLAIN: Final = {"\t"}


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line of a hunk, with what was found and said of it."""

    line: Line
    pieces: tuple[tuple[str, bool], ...]
    """Texts, and whether each differs."""
    findings: tuple[Any, ...] = ()
    comments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file; ``hunks`` is None where it would be too much for one page."""

    path: str
    diff: TextDiff
    hunks: tuple[tuple[str, tuple[ShownLine, ...]], ...] | None
    findings: tuple[Any, ...]
    """Those at no line that is shown; ``comments`` likewise."""
    comments: tuple[Any, ...]

    @property
    def lines(self) -> int:
        return sum(len(hunk.lines) for hunk in self.diff.hunks)


def places(path: str, *said: Iterable[Any]) -> set[int]:
    """Give the lines of a file that findings and comments speak of."""
    return {
        each.line for all_of in said for each in all_of if each.path == path and each.line is not None
    }


def files(
    diffs: Sequence[tuple[str, TextDiff]],
    findings: Sequence[Any],
    comments: Sequence[Any],
    *,
    most: int = LINES_SHOWN,
) -> list[ShownFile]:
    """Put findings and comments (``path``, ``line``) to the lines; the first files are shown whole."""
    found = []
    for path, diff in diffs:
        lines = sum(len(hunk.lines) for hunk in diff.hunks)
        found.append(_file(path, diff, findings, comments, shown=lines <= most))
        most -= lines if lines <= most else 0
    return found


def _file(
    path: str, diff: TextDiff, findings: Sequence[Any], comments: Sequence[Any], *, shown: bool
) -> ShownFile:
    here = [each for each in findings if each.path == path]
    said = [each for each in comments if each.path == path]
    hunks = tuple((hunk.header, _lines(hunk, here, said)) for hunk in diff.hunks) if shown else None
    there = {line.new for hunk in diff.hunks for line in hunk.lines} if shown else set()
    return ShownFile(
        path,
        diff,
        hunks,
        findings=tuple(each for each in here if each.line not in there),
        comments=tuple(each for each in said if each.line not in there),
    )


def _lines(hunk: Hunk, findings: Sequence[Any], comments: Sequence[Any]) -> tuple[ShownLine, ...]:
    return tuple(
        ShownLine(
            line,
            pieces(line.text, line.marks),
            findings=tuple(e for e in findings if e.line == line.new and line.new is not None),
            comments=tuple(e for e in comments if e.line == line.new and line.new is not None),
        )
        for line in hunk.lines
    )


def pieces(text: str, marks: Sequence[Mark]) -> tuple[tuple[str, bool], ...]:
    """Cut a line at its marks; a very long one ends with how much more there is."""
    found: list[tuple[str, bool]] = []
    at, end = 0, min(len(text), LINE_SHOWN)
    for start, stop in marks:
        found += [(text[at : min(start, end)], False), (text[min(start, end) : min(stop, end)], True)]
        at = min(stop, end)
    found.append((text[at:end], False))
    if len(text) > end:
        found.append((f" … and {len(text) - end} more characters", False))
    return tuple((visible(piece), differs) for piece, differs in found if piece)


def visible(text: str) -> str:
    """Show what hides: ``␍`` at the end of a line of Windows, else ``‹U+202E›``."""
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in _PLAIN or unicodedata.category(character) not in _HIDDEN:
        return character
    return "␍" if character == "\r" else f"‹U+{ord(character):04X}›"
