from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.review import text_diff
from xyn_reconciler.review.text_diff import Line, TextDiff, diff

LINES = st.lists(
    st.sampled_from(["", "a", "b", "  a: 1", "  - id: x", "    id: y z", "ä\r", "\u202e"])
)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))


def applied(old: str, found: TextDiff) -> str:
    """What the hunks make of the old text, as ``patch`` would; they have to fit it."""
    given, made, at = text_diff.lines_of(old.encode()), list[str](), 0
    for hunk in found.hunks:
        first = next((line.old for line in hunk.lines if line.old is not None), None)
        start = at if first is None else first - 1
        made += given[at:start]
        at = start
        for line in hunk.lines:
            text = line.text + ("\n" if line.ends else "")
            if line.side != "new":
                assert (line.old, text) == (at + 1, given[at])
                at += 1
            if line.side != "old":
                made.append(text)
                assert line.new == len(made)
    return "".join([*made, *given[at:]])


def shown(found: TextDiff) -> list[str]:
    sign = {"same": " ", "old": "-", "new": "+"}
    return [
        text
        for hunk in found.hunks
        for text in (hunk.header, *(f"{sign[line.side]}{line.text}" for line in hunk.lines))
    ]


def marked(line: Line) -> list[str]:
    return [line.text[start:end] for start, end in line.marks]


def of_side(found: TextDiff, side: str) -> list[Line]:
    return [line for hunk in found.hunks for line in hunk.lines if line.side == side]


@given(TEXTS, TEXTS)
def test_the_hunks_make_the_new_text_of_the_old_one(old: str, new: str) -> None:
    found = diff(old.encode(), new.encode())

    assert applied(old, found) == new


@given(TEXTS, TEXTS)
def test_marks_lie_within_their_line_in_order_and_apart(old: str, new: str) -> None:
    for hunk in diff(old.encode(), new.encode()).hunks:
        for line in hunk.lines:
            reached = -1
            for start, end in line.marks:
                assert reached < start < end <= len(line.text)
                reached = end
            assert line.side != "same" or not line.marks


@given(TEXTS, TEXTS)
def test_no_fewer_lines_could_be_changed(old: str, new: str) -> None:
    found = diff(old.encode(), new.encode())

    one, other = text_diff.lines_of(old.encode()), text_diff.lines_of(new.encode())
    longest = longest_common(one, other)
    assert (found.removed, found.added) == (len(one) - longest, len(other) - longest)


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    lengths = [0] * (len(other) + 1)
    for line in one:
        previous = 0
        for index, each in enumerate(other, start=1):
            above = lengths[index]
            lengths[index] = previous + 1 if line == each else max(above, lengths[index - 1])
            previous = above
    return lengths[-1]


@given(TEXTS, TEXTS, st.sets(st.integers(min_value=1, max_value=40)))
def test_lines_that_somebody_speaks_of_are_shown(old: str, new: str, keep: set[int]) -> None:
    found = diff(old.encode(), new.encode(), keep)

    numbers = {line.new for hunk in found.hunks for line in hunk.lines}
    there = range(1, len(text_diff.lines_of(new.encode())) + 1)
    assert keep.intersection(there) <= numbers
    assert applied(old, found) == new


def test_a_change_stands_among_three_lines_of_what_is_around_it() -> None:
    old = "".join(f"line {n}\n" for n in range(1, 31))

    found = diff(old.encode(), old.replace("line 15\n", "line fifteen\n").encode())

    assert shown(found) == [
        "@@ -12,7 +12,7 @@",
        " line 12",
        " line 13",
        " line 14",
        "-line 15",
        "+line fifteen",
        " line 16",
        " line 17",
        " line 18",
    ]


def test_the_words_that_differ_are_marked() -> None:
    found = diff(
        b"  action: ssh.run\n  with: {a: 1}\n", b"  action: container.exec\n  with: {a: 1}\n"
    )

    assert [marked(line) for line in of_side(found, "old")] == [["ssh", "run"]]
    assert [marked(line) for line in of_side(found, "new")] == [["container", "exec"]]


def test_words_that_only_a_space_divides_are_one_mark() -> None:
    found = diff(
        b"it says: good day to everybody there\n", b"it says: bad night to everybody there\n"
    )

    assert [marked(line) for line in of_side(found, "new")] == [["bad night"]]


def test_a_line_that_is_wholly_another_has_no_marks() -> None:
    found = diff(b"alpha\n", b"something: else\n")

    assert all(not line.marks for hunk in found.hunks for line in hunk.lines)


def test_an_item_that_was_put_in_begins_at_its_dash() -> None:
    old = "plan:\n  - id: a\n    kind: gate\n  - id: c\n    kind: gate\n"
    new = "plan:\n  - id: a\n    kind: gate\n  - id: b\n    kind: gate\n  - id: c\n    kind: gate\n"

    found = diff(old.encode(), new.encode())

    assert [line.text for line in of_side(found, "new")] == ["  - id: b", "    kind: gate"]


def test_an_item_that_was_taken_out_begins_at_its_dash() -> None:
    new = "plan:\n  - id: a\n    kind: gate\n  - id: c\n    kind: gate\n"
    old = "plan:\n  - id: a\n    kind: gate\n  - id: b\n    kind: gate\n  - id: c\n    kind: gate\n"

    found = diff(old.encode(), new.encode())

    assert [line.text for line in of_side(found, "old")] == ["  - id: b", "    kind: gate"]


def test_a_line_feed_that_is_missing_at_the_end_is_a_change() -> None:
    found = diff(b"a\nb\n", b"a\nb")

    assert [(line.text, line.ends) for line in of_side(found, "old")] == [("b", True)]
    assert [(line.text, line.ends) for line in of_side(found, "new")] == [("b", False)]


def test_a_file_that_came_is_all_new_and_one_that_went_is_all_old() -> None:
    assert shown(diff(None, b"a\nb\n")) == ["@@ -0,0 +1,2 @@", "+a", "+b"]
    assert shown(diff(b"a\nb\n", None)) == ["@@ -1,2 +0,0 @@", "-a", "-b"]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0", b"caf\xe9\n"])
def test_what_is_no_text_is_said_to_be_binary(data: bytes) -> None:
    assert diff(b"a\n", data) == TextDiff("binary")
    assert diff(data, b"a\n") == TextDiff("binary")


@pytest.mark.parametrize(
    "data", [b"a" * (text_diff.BYTES_MAX + 1), b"\n" * (text_diff.LINES_MAX + 1)]
)
def test_what_is_too_large_is_said_to_be_so(data: bytes) -> None:
    assert diff(None, data) == TextDiff("too_large")


def test_texts_that_have_nothing_in_common_are_replaced_whole_within_the_work_allowed() -> None:
    old = [f"old {n}\n" for n in range(5000)]
    new = [f"new {n}\n" for n in range(5000)]
    head, tail = ["head\n"], ["tail\n"]

    blocks = list(text_diff.blocks(head + old + tail, head + new + tail, work=1000))

    assert blocks == [(1, 5001, 1, 5001)]


def test_a_comparison_that_takes_too_long_is_broken_off() -> None:
    looked = 0

    class Item:
        def __init__(self, value: int) -> None:
            self.value = value

        def __hash__(self) -> int:
            return self.value

        def __eq__(self, other: object) -> bool:
            nonlocal looked
            looked += 1
            return isinstance(other, Item) and self.value == other.value

    old = [Item(n % 2) for n in range(3000)]
    new = [Item(n % 3) for n in range(3000)]

    list(text_diff.blocks(old, new, work=5000))

    assert looked < 5000 + 2 * 3000
