"""Rows of the benchmark: medians, ratios, bars, and the shape others read."""

import pytest

from bench.report import page, table
from bench.result import Bar, Result, compare, quantile, rounded


def row(ratio: float, bar: Bar | None = None, obstacle: str | None = None) -> Result:
    rounds = [(10.0, 10.0 * ratio)]
    return compare("push", "ms", rounds, {"files": 1}, bar=bar, obstacle=obstacle)


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
    assert row(ratio, bar).holds is holds


def test_a_row_without_a_bar_carries_neither_bar_nor_holds() -> None:
    assert row(2.0).to_json() == {
        "name": "push",
        "value": 20.0,
        "unit": "ms",
        "floor": 10.0,
        "ratio": 2.0,
        "peers": {},
        "conditions": {"rounds": 1, "files": 1},
    }


def test_a_row_that_misses_its_bar_says_why_and_one_that_holds_it_does_not() -> None:
    missed = row(4.0, Bar("<=", 3), "too many commits").to_json()
    held = row(2.0, Bar("<=", 3), "too many commits").to_json()

    assert (missed["bar"], missed["holds"], missed["why"]) == (
        "<= 3 x floor",
        False,
        "too many commits",
    )
    assert held["holds"] is True
    assert "why" not in held


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
    machine = {"cores": 2, "filesystem": "ext4"}
    missed = row(4.0, Bar("<=", 3), "too many commits")
    results = [
        Result(
            name=missed.name,
            value=missed.value,
            unit=missed.unit,
            floor=missed.floor,
            ratio=missed.ratio,
            conditions={**missed.conditions, **machine},
            bar=missed.bar,
            obstacle=missed.obstacle,
        )
    ]

    shown = page(results, machine)

    assert "| push | 40 ms | 10 ms | 4.00 | <= 3 x floor | no |" in shown
    assert "- **push**: too many commits" in shown
    assert shown.count("ext4") == 1


def test_the_table_has_a_line_for_every_row() -> None:
    assert [line.split()[0] for line in table([row(2.0)]).splitlines()] == ["what", "push"]
