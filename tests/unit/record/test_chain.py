"""The audit's chain: whatever is done to its lines shows."""

import datetime as dt
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.audit import AuditEntry, line_digest
from xyn_reconciler.record.audit import Link
from xyn_reconciler.record.chain import Chain

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def chained(names: Sequence[str]) -> tuple[list[bytes], Link]:
    lines, link = list[bytes](), Link()
    for name in names:
        entry = AuditEntry(kind="policy.decided", actor=name, at=NOON, entry={"said": name})
        line = entry.line(link.sequence + 1, link.digest)
        lines.append(line.encode())
        link = Link(link.sequence + 1, line_digest(line))
    return lines, link


def is_whole(lines: Sequence[bytes], claimed: Link) -> bool:
    chain = Chain()
    wrong = chain.take(lines)
    return not wrong and chain.arrive(claimed) is None


names = st.lists(st.text(max_size=8), min_size=1, max_size=8)


@given(names)
def test_what_was_written_is_whole(names: list[str]) -> None:
    lines, link = chained(names)

    chain = Chain()

    assert chain.take(lines) == []
    assert chain.arrive(link) is None
    assert [entry.actor for _, entry in chain.entries] == names


@given(names, st.data())
def test_any_line_that_is_changed_is_found(names: list[str], data: st.DataObject) -> None:
    lines, link = chained(names)
    at = data.draw(st.integers(0, len(lines) - 1))
    where = data.draw(st.integers(0, len(lines[at]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != lines[at][where]))
    changed = lines[at][:where] + bytes([byte]) + lines[at][where + 1 :]

    assert not is_whole([*lines[:at], changed, *lines[at + 1 :]], link)


@given(names, st.data())
def test_any_lines_that_are_taken_out_are_found(names: list[str], data: st.DataObject) -> None:
    lines, link = chained(names)
    left = data.draw(st.lists(st.booleans(), min_size=len(lines), max_size=len(lines)))

    kept = [line for line, stays in zip(lines, left, strict=True) if stays]

    assert is_whole(kept, link) == (kept == lines)


@given(names, st.data())
def test_any_other_order_is_found(names: list[str], data: st.DataObject) -> None:
    lines, link = chained(names)

    order = data.draw(st.permutations(lines))

    assert is_whole(order, link) == (order == lines)


@given(names, st.data())
def test_a_line_that_is_put_in_is_found(names: list[str], data: st.DataObject) -> None:
    lines, link = chained(names)
    at = data.draw(st.integers(0, len(lines)))
    fresh = AuditEntry(kind="policy.decided", actor="eve", at=NOON)
    previous = line_digest(lines[at - 1].decode()) if at else Link().digest
    forged = fresh.line(at + 1, previous).encode()

    for more in (forged, lines[at - 1]):
        assert not is_whole([*lines[:at], more, *lines[at:]], link)


def test_one_fault_is_told_once_and_the_rest_is_read_all_the_same() -> None:
    lines, link = chained(["ada", "bob", "cyd", "dan"])

    chain = Chain()
    wrong = chain.take([lines[0], b"{}", *lines[2:]])

    assert wrong == [
        "line 2 of the chain is no audit entry",
        "line 3 of the chain stands where line 2 has to be",
    ]
    assert chain.arrive(link) is None
