"""Where a ref may be by what was accepted: moves that were noted may not have happened."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.record.ref_log import Move, departure, moved_back, moves_by_ref

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
BEGUN = [Move(None, "a"), Move("a", "b"), Move("b", "c")]


def test_a_tip_to_which_accepted_moves_lead_is_right() -> None:
    assert departure(BEGUN, "c") is None


def test_a_log_that_begins_late_begins_with_what_was_there() -> None:
    assert departure([Move("old", "a"), Move("a", "b")], "b") is None


def test_two_pushes_at_once_are_both_accepted_and_one_of_them_happens() -> None:
    both = [*BEGUN, Move("c", "d"), Move("c", "e")]

    for tip in "cde":
        assert departure(both, tip) is None
        assert moved_back(both, tip, ()) is None


def test_a_tip_that_nobody_accepted_is_wrong() -> None:
    assert departure(BEGUN, "x") == "it is at x, and nobody accepted that"


def test_a_push_on_top_of_what_nobody_accepted_is_wrong() -> None:
    said = departure([*BEGUN, Move("x", "y")], "y")

    assert said == "it was at x when y was accepted, and nobody accepted that"


def test_a_tip_that_lies_before_where_a_later_move_began_was_moved_back() -> None:
    assert departure(BEGUN, "a") is None
    assert moved_back(BEGUN, "a", ()) == "b"


@pytest.mark.parametrize(("known", "back"), [((), None), (("c",), "c"), (("b", "other"), None)])
def test_the_last_move_happened_if_something_else_tells_of_it(
    known: tuple[str, ...], back: str | None
) -> None:
    assert moved_back(BEGUN, "b", known) == back


def test_a_draft_that_was_deleted_and_begun_anew_is_right() -> None:
    again = [*BEGUN, Move("c", None), Move(None, "d")]

    assert departure(again, "d") is None


def test_a_draft_that_was_forced_back_with_a_push_is_right() -> None:
    assert departure([*BEGUN, Move("c", "a")], "a") is None


def test_only_accepted_moves_count() -> None:
    def entry(kind: str, ref: str, new: str) -> AuditEntry:
        return AuditEntry(
            kind=kind, actor="ada", at=NOON, subject=ref, entry={"old": None, "new": new}
        )

    found = moves_by_ref(
        [
            entry("ref.accepted", "main", "a"),
            entry("x", "main", "b"),
            entry("ref.accepted", "d", "c"),
        ]
    )

    assert found == {"main": [Move(None, "a")], "d": [Move(None, "c")]}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_whoever_wins_a_race_nothing_is_ever_found_wrong(
    racers: list[int], data: st.DataObject
) -> None:
    """Each round some push from where main is, all are accepted, at most one happens."""
    moves, tip, number = [Move(None, "0")], "0", 0
    for count in racers:
        fresh = [str(number := number + 1) for _ in range(count)]
        moves += [Move(tip, new) for new in fresh]
        tip = data.draw(st.sampled_from([tip, *fresh]))

    assert departure(moves, tip) is None
    assert moved_back(moves, tip, {tip}) is None
