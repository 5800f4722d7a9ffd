"""What a review's page shows, in the order and the pieces in which it is shown.

Pure. The text diff has under its lines what was found and said of them. Characters
that a browser would hide, or that would turn the order of others around (``U+202E``:
what is read is not what is run), are shown by their code points.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.model.dto import CommentDto, FindingDto, IterationDto, ReviewDto, VoteDto
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
    findings: tuple[FindingDto, ...] = ()
    comments: tuple[CommentDto, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file; ``hunks`` is None where it would be too much for one page."""

    path: str
    diff: TextDiff
    hunks: tuple[tuple[str, tuple[ShownLine, ...]], ...] | None
    findings: tuple[FindingDto, ...]
    """Those at no line that is shown; ``comments`` likewise."""
    comments: tuple[CommentDto, ...]

    @property
    def lines(self) -> int:
        return sum(len(hunk.lines) for hunk in self.diff.hunks)


def files(
    diffs: Sequence[tuple[str, TextDiff]],
    findings: Sequence[FindingDto],
    comments: Sequence[CommentDto],
    *,
    most: int = LINES_SHOWN,
) -> list[ShownFile]:
    """Put findings and comments to the lines; files that would make it too many are not cut up."""
    found = []
    for path, diff in diffs:
        lines = sum(len(hunk.lines) for hunk in diff.hunks)
        found.append(_file(path, diff, findings, comments, shown=lines <= most))
        most -= lines if lines <= most else 0
    return found


def _file(
    path: str,
    diff: TextDiff,
    findings: Sequence[FindingDto],
    comments: Sequence[CommentDto],
    *,
    shown: bool,
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


def _lines(
    hunk: Hunk, findings: Sequence[FindingDto], comments: Sequence[CommentDto]
) -> tuple[ShownLine, ...]:
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
        found += [
            (text[at : min(start, end)], False),
            (text[min(start, end) : min(stop, end)], True),
        ]
        at = min(stop, end)
    found.append((text[at:end], False))
    if len(text) > end:
        found.append((f" … and {len(text) - end} more characters", False))
    return tuple((visible(piece), differs) for piece, differs in found if piece)


def visible(text: str) -> str:
    """Show what hides: ``␍`` at the end of a line of Windows, else ``<U+202E>``."""
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in _PLAIN or unicodedata.category(character) not in _HIDDEN:
        return character
    return "␍" if character == "\r" else f"<U+{ord(character):04X}>"


# ── what was said ────────────────────────────────────────────────────────────────────────────────

Told = Literal["pushed", "voted", "said"]


def story(review: ReviewDto) -> list[tuple[Told, Any]]:
    """Tell who pushed, decided and said what, in the order in which it happened."""
    told: list[tuple[Told, IterationDto | VoteDto | CommentDto]] = [
        *(("pushed", each) for each in review.iterations),
        *(("voted", each) for each in review.approvals),
        *(("said", each) for each in review.comments),
    ]
    return sorted(told, key=lambda each: each[1].created_at)


def why_dead(vote: VoteDto, review: ReviewDto) -> str | None:
    """Say why a yes or no does not count; None where it does."""
    if vote.counts:
        return None
    if vote.used_by is not None:
        return f"it allowed the promotion {vote.used_by[:8]}"
    if vote.effect_digest != review.effect_digest:
        return "it was for something else: what this would change has changed since"
    last = [each for each in review.approvals if each.principal == vote.principal]
    if last and last[-1].decision_id != vote.decision_id:
        return f"{vote.principal} has {last[-1].decision} it since"
    return f"{vote.principal} is no person of principals.yaml any more"


def effect_rows(effects: Mapping[str, Any]) -> list[tuple[str, list[Any], list[Any]]]:
    """Give what promotion would gain and lose, by kind; kinds that do not change are left out."""
    return [
        (kind, effects[kind]["gained"], effects[kind]["lost"])
        for kind in ("triggers", "schedules", "actions", "hosts", "secrets", "gates")
        if effects[kind]["gained"] or effects[kind]["lost"]
    ]
