"""Show rows: a table for the terminal, a page for the documentation. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.result import Row

PLOT: Final = "images/benchmarks.svg"
"""Beside the page."""

_HEAD: Final = ("what", "Xyn", "floor", "ratio", "bar", "holds")


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out in columns."""
    lines = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def results(rows: Sequence[Row]) -> str:
    """Write ``bench/results.json``."""
    return json.dumps(rows, indent=2) + "\n"


def page(rows: Sequence[Row], unmeasured: Mapping[str, str]) -> str:
    """Write ``docs/benchmarks.md``; ``unmeasured`` says what could not be measured, and why."""
    machine = _common(rows)
    holding = sum(row["holds"] for row in rows if "holds" in row)
    asked = sum("holds" in row for row in rows)
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; the same figures stand in `bench/results.json`.",
        "",
        "Each floor is the same work written by hand, measured in the same run in turns with Xyn:",
        "as many commits, as many bytes, fsync on. Ratios are what counts; they are medians of the",
        "rounds' own ratios, so they are not quite the quotient of the two medians beside them.",
        "Where something else stands in the floor's place, the bar names it.",
        "",
        f"{holding} of {asked} bars hold.",
        "",
        f"![How far each figure is on the right side of its bar]({PLOT})",
        "",
        f"| {' | '.join(_HEAD)} |",
        f"|{'---|' * len(_HEAD)}",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
        "",
        *_peers(rows),
        *_misses(rows),
        *_unmeasured(unmeasured),
        "## How each was measured",
        "",
        *(line for row in rows for line in _method(row, machine)),
        "## On what",
        "",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in machine.items()),
    ]
    return "\n".join(lines) + "\n"


def _common(rows: Sequence[Row]) -> dict[str, Any]:
    """What is the same in every row's conditions: the machine."""
    if not rows:
        return {}
    first = rows[0]["conditions"]
    return {
        name: value
        for name, value in first.items()
        if all(row["conditions"].get(name) == value for row in rows) and name != "rounds"
    }


def _cells(row: Row) -> tuple[str, ...]:
    floor, ratio, holds = row["floor"], row["ratio"], row.get("holds")
    return (
        row["name"],
        f"{row['value']:g} {row['unit']}",
        "" if floor is None else f"{floor:g} {row['unit']}",
        "" if ratio is None else f"{ratio:.2f}",
        row.get("bar", ""),
        "" if holds is None else ("yes" if holds else "no"),
    )


def _peers(rows: Sequence[Row]) -> list[str]:
    said = [
        f"- {row['name']}: {name} {value:g} {row['unit']}"
        for row in rows
        for name, value in row["peers"].items()
    ]
    if not said:
        return ["DBOS and Absurd are measured beside it by `make bench PEERS=1`.", ""]
    return ["## Peers, in the same rounds on the same Postgres", "", *said, ""]


def _misses(rows: Sequence[Row]) -> list[str]:
    missed = [row for row in rows if row.get("holds") is False]
    if not missed:
        return []
    said = [f"- **{row['name']}**: {row['why']}" for row in missed]
    return ["## What misses its bar, and why", "", *said, ""]


def _unmeasured(unmeasured: Mapping[str, str]) -> list[str]:
    if not unmeasured:
        return []
    said = [f"- **{name}**: {why}" for name, why in unmeasured.items()]
    return ["## What could not be measured in this run", "", *said, ""]


def _method(row: Row, machine: Mapping[str, Any]) -> list[str]:
    own = {name: value for name, value in row["conditions"].items() if name not in machine}
    return [
        f"### {row['name']}",
        "",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in own.items()),
        "",
    ]
