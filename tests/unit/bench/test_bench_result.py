"""Rows of the benchmark: medians, ratios, bars, and the shape others read."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.obstacles import OBSTACLES
from bench.plot import plot
from bench.report import page, table
from bench.result import Bar, Result, Row, compare, explained, margin, quantile, rounded

RESULTS = Path(__file__).parents[3] / "bench" / "results.json"
WHY = {"push": "too many commits"}


def row(ratio: float, bar: Bar | None = None) -> Row:
    result = compare("push", "ms", [(10.0, 10.0 * ratio)], {"files": 1}, bar=bar)
    return explained(result.to_json(), WHY)


def test_the_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # In the middle round the machine was ten times as slow, for both.
    result = compare("push", "ms", [(10, 20), (100, 200), (10, 30)], {})

    assert (result.floor, result.value, result.ratio) == (10, 30, 2)
    assert result.conditions == {"rounds": 3}


@pytest.mark.parametrize(
    ("bar", "ratio", "holds"),
    [
        (Bar("<=", 3), 3.0, True),
        (Bar("<=", 3), 3.1, False),
        (Bar(">=", 0.5), 0.5, True),
        (Bar(">=", 0.5), 0.49, False),
    ],
)
def test_a_bar_says_in_which_direction_it_lies(bar: Bar, ratio: float, *, holds: bool) -> None:
    assert row(ratio, bar)["holds"] is holds


@pytest.mark.parametrize(("limit", "holds"), [(15.0, True), (14.9, False)])
def test_a_bar_may_ask_for_the_value_itself_whatever_the_floor(
    limit: float, *, holds: bool
) -> None:
    shown = row(1.5, Bar("<=", limit, than=None))

    assert (shown["bar"], shown["holds"]) == (f"<= {limit:g} ms", holds)


def test_a_row_without_a_bar_carries_neither_bar_nor_holds() -> None:
    assert row(2.0) == {
        "name": "push",
        "value": 20.0,
        "unit": "ms",
        "floor": 10.0,
        "ratio": 2.0,
        "peers": {},
        "conditions": {"rounds": 1, "files": 1},
    }


def test_a_row_that_misses_its_bar_says_why_and_one_that_holds_it_does_not() -> None:
    missed = row(4.0, Bar("<=", 3))
    held = row(2.0, Bar("<=", 3))

    assert (missed["bar"], missed["holds"], missed["why"]) == (
        "<= 3 x floor",
        False,
        "too many commits",
    )
    assert held["holds"] is True
    assert "why" not in held


def test_a_new_reason_takes_the_place_of_the_old_one() -> None:
    old = row(4.0, Bar("<=", 3))

    new = explained(old, {"push": "a slow disk"})

    assert new["why"] == "a slow disk"
    assert list(new) == list(old)


@pytest.mark.parametrize(
    ("bar", "ratio", "far"),
    [
        (Bar("<=", 3), 1.5, 2.0),
        (Bar("<=", 3), 6.0, 0.5),
        (Bar(">=", 0.5), 1.0, 2.0),
        (Bar("<=", 40, than=None), 2.0, 2.0),
        (Bar("<=", 1000, than=None), 100.0, 1.0),
        (Bar(">=", 3, than="DBOS"), 1.5, 0.5),
    ],
)
def test_a_margin_of_two_is_twice_as_good_as_asked(bar: Bar, ratio: float, far: float) -> None:
    assert margin(row(ratio, bar)) == far


def test_nothing_where_nothing_was_allowed_is_just_enough() -> None:
    none = Result(
        name="jobs", value=0, unit="jobs", conditions={}, bar=Bar("<=", 0, than=None)
    ).to_json()

    assert (none["holds"], margin(none)) == (True, 1.0)


def test_a_quantile_is_one_of_the_values() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]

    assert quantile(values, 0.5) == 3.0
    assert quantile(values, 0.95) == 5.0
    assert quantile([7.0], 0.5) == 7.0


@pytest.mark.parametrize(
    ("value", "shown"), [(1234.56, 1235.0), (12.345, 12.3), (0.012345, 0.0123), (0.0, 0.0)]
)
def test_figures_keep_three_digits_that_count(value: float, shown: float) -> None:
    assert rounded(value) == shown


def test_the_page_names_what_is_missed_and_the_machine_once() -> None:
    first, second = row(4.0, Bar("<=", 3)), row(2.0)
    for number, each in enumerate((first, second)):
        each["conditions"] |= {"cores": 2, "filesystem": "ext4", "events": number}

    shown = page([first, second], {"events": "no answer within 10 s"})

    assert "**push**: too many commits" in shown
    assert "**events**: no answer within 10 s" in shown
    assert "0 of 1 bars hold" in shown
    assert shown.count("ext4") == 1
    assert shown.count("- files: 1") == 1
    assert "- events: 1" in shown


def test_the_table_has_a_line_for_each_row_and_empty_cells_where_nothing_is_asked() -> None:
    _, missed, free = table([row(4.0, Bar("<=", 3)), row(2.0)]).splitlines()

    assert missed.endswith("<= 3 x floor  no")
    assert free.endswith("2.00")


def test_the_plot_has_a_dot_for_each_row_with_a_bar_on_the_right_where_it_holds() -> None:
    drawn = plot([row(1.0, Bar("<=", 3)), row(6.0, Bar("<=", 3)), row(2.0)])
    drawing = ET.fromstring(drawn)  # noqa: S314 - we have just made it

    held, missed = drawing.iter("{http://www.w3.org/2000/svg}circle")
    (bar,) = (
        line
        for line in drawing.iter("{http://www.w3.org/2000/svg}line")
        if line.get("class") == "bar"
    )
    assert (held.get("class"), missed.get("class")) == ("yes", "no")
    assert float(missed.get("cx", 0)) < float(bar.get("x1", 0)) < float(held.get("cx", 0))


def test_every_row_on_record_that_misses_its_bar_says_what_stands_in_the_way() -> None:
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))

    silent = [
        row["name"] for row in rows if row.get("holds") is False and not OBSTACLES.get(row["name"])
    ]

    assert rows
    assert silent == []
