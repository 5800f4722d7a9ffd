"""Two texts as hunks of lines, with the words marked that differ.

Pure, and the same hunks every time: the pages show them, the API and ``xynctl review
diff`` give them out. The trap: drafts are pushed by strangers and agents, so that all
of this is bounded. Two texts that would take too long to be compared are shown as one
taken out and the other put in, which is as true, only longer.
"""

import re
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

CONTEXT: Final = 3
"""Unchanged lines that are shown around each change."""
BYTES_MAX: Final = 512 * 1024
LINES_MAX: Final = 20_000
"""Of one side: what is larger or longer is not compared."""
WORK_MAX: Final = 400_000
"""Steps of one comparison: about a quarter of a second of one core."""
MARKED_MAX: Final = 4_000
"""Characters of a changed block, old and new together, whose words are compared."""
MARKED_OF_ALL: Final = 40_000
"""The same of a whole file: what comes later has no marks."""

_WORD: Final = re.compile(r"\w+|[^\S\n]+|.", re.DOTALL)
_ANOTHER_LINE: Final = 0.7
"""Where more than this part of a line differs, it is another line: its colour says so."""

_PIECES: Final = 4
"""A line that differs in more places than these is read whole."""

Side = Literal["same", "old", "new"]
Mark = tuple[int, int]
"""From and to, in characters of a line."""
_Block = tuple[int, int, int, int]
"""From and to in the old, from and to in the new sequence."""
_Marks = dict[int, tuple[Mark, ...]]
"""By the line of a block."""
_NONE: Final[tuple[_Marks, _Marks]] = ({}, {})
_Reached = dict[int, int]
"""Diagonal (old index less new one) -> how far into the old sequence a way on it has come."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk; ``old`` and ``new`` are its numbers, from 1, where it has them."""

    side: Side
    old: int | None
    new: int | None
    text: str
    """Without its line feed."""
    marks: tuple[Mark, ...] = ()
    """What differs within it, in order, without overlap."""
    ends: bool = True
    """False for a last line without a line feed."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Neighbouring lines: changed ones and what stands around them."""

    lines: tuple[Line, ...]

    @property
    def header(self) -> str:
        """``@@ -3,7 +3,8 @@``, as unified diffs have it."""
        old = [line.old for line in self.lines if line.old is not None]
        new = [line.new for line in self.lines if line.new is not None]
        first = [numbers[0] if numbers else 0 for numbers in (old, new)]
        return f"@@ -{first[0]},{len(old)} +{first[1]},{len(new)} @@"


@dataclass(frozen=True, slots=True)
class TextDiff:
    """A file before and after; only of a ``text`` there are hunks."""

    kind: Literal["text", "binary", "too_large"]
    hunks: tuple[Hunk, ...] = ()
    added: int = 0
    removed: int = 0


def diff(old: bytes | None, new: bytes | None, keep: Collection[int] = ()) -> TextDiff:
    """Compare a file with what it was; None where it is not there.

    ``keep`` are lines of the new text that are to be in a hunk, changed or not:
    somebody has something to say of them.
    """
    if max(len(old or b""), len(new or b"")) > BYTES_MAX:
        return TextDiff("too_large")
    try:
        before, after = lines_of(old), lines_of(new)
    except ValueError:
        return TextDiff("binary")
    if max(len(before), len(after)) > LINES_MAX:
        return TextDiff("too_large")
    lines = _lines(before, after)
    return TextDiff(
        "text",
        tuple(_hunks(lines, frozenset(keep))),
        added=sum(line.side == "new" for line in lines),
        removed=sum(line.side == "old" for line in lines),
    )


def lines_of(data: bytes | None) -> list[str]:
    """The lines of a text, each with its line feed; ``ValueError`` where it is none."""
    if data is not None and b"\0" in data:
        raise ValueError("a text holds no zero byte")
    return re.findall(r"[^\n]*\n|[^\n]+", (data or b"").decode())


# ── Lines ────────────────────────────────────────────────────────────────────────────────────────


def _lines(before: Sequence[str], after: Sequence[str]) -> list[Line]:
    """All lines of both in order; what is taken out stands before what is put in."""
    found: list[Line] = []
    at = other = compared = 0
    for start, end, new_start, new_end in [
        *_slid(before, after, list(blocks(before, after, WORK_MAX))),
        (len(before), len(before), len(after), len(after)),
    ]:
        found += (
            _line("same", at + step, other + step, before[at + step]) for step in range(start - at)
        )
        old, new = before[start:end], after[new_start:new_end]
        length = sum(map(len, old)) + sum(map(len, new))
        marks = _marks(old, new) if length <= min(MARKED_MAX, MARKED_OF_ALL - compared) else _NONE
        compared += length if old and new else 0
        found += _changed(old, new, start, new_start, marks)
        at, other = end, new_end
    return found


def _line(side: Side, old: int | None, new: int | None, text: str) -> Line:
    """Make a line of indices, which count from 0."""
    number, other = (None if index is None else index + 1 for index in (old, new))
    return Line(side, number, other, text.removesuffix("\n"), ends=text.endswith("\n"))


def _changed(
    old: Sequence[str], new: Sequence[str], at: int, other: int, marks: tuple[_Marks, _Marks]
) -> Iterator[Line]:
    for index, text in enumerate(old):
        yield replace(_line("old", at + index, None, text), marks=marks[0].get(index, ()))
    for index, text in enumerate(new):
        yield replace(_line("new", None, other + index, text), marks=marks[1].get(index, ()))


def _hunks(lines: Sequence[Line], keep: frozenset[int]) -> Iterator[Hunk]:
    told = [n for n, line in enumerate(lines) if line.side != "same" or line.new in keep]
    hunk: list[Line] = []
    shown = 0
    for index in told:
        if hunk and index - CONTEXT > shown:
            yield Hunk(tuple(hunk))
            hunk = []
        start = max(index - CONTEXT, shown)
        shown = max(min(index + CONTEXT + 1, len(lines)), shown)
        hunk += lines[start:shown]
    if hunk:
        yield Hunk(tuple(hunk))


def _slid(before: Sequence[str], after: Sequence[str], found: Sequence[_Block]) -> Iterator[_Block]:
    """Move what was only put in, or only taken out, to where a person would see it begin.

    Between two equal neighbours there is a choice; a list's item begins at its dash.
    """
    behind = 0
    for number, block in enumerate(found):
        following = found[number + 1][0] if number + 1 < len(found) else len(before)
        start, end, new_start, new_end = block
        text, first, last = (after, new_start, new_end) if start == end else (before, start, end)
        if start < end and new_start < new_end:
            behind = end
            yield block
            continue
        steps = [0]
        while (
            start + steps[-1] > behind and text[first + steps[-1] - 1] == text[last + steps[-1] - 1]
        ):
            steps.append(steps[-1] - 1)
        steps.append(0)
        while end + steps[-1] < following and text[first + steps[-1]] == text[last + steps[-1]]:
            steps.append(steps[-1] + 1)
        best = min(steps, key=lambda step: (_indent(text[first + step]), -step))
        behind = end + best
        yield start + best, end + best, new_start + best, new_end + best


def _indent(text: str) -> int:
    """How far a line is indented; an empty one begins nothing."""
    words = text.lstrip()
    return len(text) - len(words) if words else BYTES_MAX


# ── Words ────────────────────────────────────────────────────────────────────────────────────────


def _marks(old: Sequence[str], new: Sequence[str]) -> tuple[_Marks, _Marks]:
    """Mark what differs within a changed block, on both sides."""
    if not old or not new:
        return _NONE
    one, other = "".join(old), "".join(new)
    words, new_words = _WORD.findall(one), _WORD.findall(other)
    differing = list(blocks(words, new_words, WORK_MAX))
    return (
        _of_lines(old, _spans(words, [block[:2] for block in differing])),
        _of_lines(new, _spans(new_words, [block[2:] for block in differing])),
    )


def _spans(words: Sequence[str], ranges: Sequence[tuple[int, int]]) -> list[Mark]:
    """Ranges of words as ranges of characters; what only spaces divide is one."""
    ends = [0]
    for word in words:
        ends.append(ends[-1] + len(word))
    found: list[Mark] = []
    reached = 0
    for start, end in ranges:
        if start == end:
            continue
        if found and all(word.isspace() and word != "\n" for word in words[reached:start]):
            found[-1] = (found[-1][0], ends[end])
        else:
            found.append((ends[start], ends[end]))
        reached = end
    return found


def _of_lines(lines: Sequence[str], spans: Sequence[Mark]) -> _Marks:
    found: _Marks = {}
    at = 0
    for index, line in enumerate(lines):
        length = len(line.removesuffix("\n"))
        marks = [
            (max(start - at, 0), min(end - at, length))
            for start, end in spans
            if max(start, at) < min(end, at + length)
        ]
        differs = sum(end - start for start, end in marks)
        if 0 < len(marks) <= _PIECES and differs <= length * _ANOTHER_LINE:
            found[index] = tuple(marks)
        at += len(line)
    return found


# ── What differs between two sequences (Myers 1986, the greedy way) ──────────────────────────────


def blocks(old: Sequence[Hashable], new: Sequence[Hashable], work: int) -> Iterator[_Block]:
    """What is replaced by what; after ``work`` steps, all between the equal ends."""
    least = min(len(old), len(new))
    head = next((n for n in range(least) if old[n] != new[n]), least)
    tail = next((n for n in range(least - head) if old[-1 - n] != new[-1 - n]), least - head)
    middle, new_middle = old[head : len(old) - tail], new[head : len(new) - tail]
    at = other = head
    for same, new_same, length in [
        *_equal(middle, new_middle, work),
        (len(middle), len(new_middle), 0),
    ]:
        if at < head + same or other < head + new_same:
            yield at, head + same, other, head + new_same
        at, other = head + same + length, head + new_same + length


def _equal(
    old: Sequence[Hashable], new: Sequence[Hashable], work: int
) -> list[tuple[int, int, int]]:
    """Runs that both have, as (old index, new index, length); none where that takes too long."""
    rounds: list[_Reached] = [{1: 0}]
    while work > 0:
        reached: _Reached = {}
        for diagonal in range(1 - len(rounds), len(rounds), 2):
            came = _came(rounds[-1], diagonal, len(old), len(new))
            if came is None:
                continue
            at = start = came[0]
            while at < len(old) and at - diagonal < len(new) and old[at] == new[at - diagonal]:
                at += 1
            reached[diagonal] = at
            work -= 1 + at - start
            if at == len(old) and at - diagonal == len(new):
                return _way_back([*rounds, reached], len(old), len(new))
        rounds.append(reached)
    return []


def _came(before: _Reached, diagonal: int, length: int, new_length: int) -> tuple[int, int] | None:
    """Where the way on a diagonal begins, and on which one it was the round before."""
    put_in, taken_out = before.get(diagonal + 1), before.get(diagonal - 1)
    if put_in is not None and put_in - diagonal > new_length:
        put_in = None
    if taken_out is not None and taken_out < length and (put_in is None or taken_out >= put_in):
        return taken_out + 1, diagonal - 1
    return None if put_in is None else (put_in, diagonal + 1)


def _way_back(
    rounds: Sequence[_Reached], length: int, new_length: int
) -> list[tuple[int, int, int]]:
    found = []
    diagonal, at = length - new_length, length
    for before in reversed(rounds[:-1]):
        came = _came(before, diagonal, length, new_length)
        if came is None:
            raise AssertionError("each way was come by")
        start, previous = came
        if at > start:
            found.append((start, start - diagonal, at - start))
        diagonal, at = previous, before[previous]
    return found[::-1]
