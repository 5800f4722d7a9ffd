"""Show results: a table for the terminal, a page for the documentation. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.result import Result, rounded

_HEAD = ("what", "Xyn", "floor", "ratio", "bar", "holds")


def table(results: Sequence[Result]) -> str:
    """Lay the rows out in columns."""
    rows = [_HEAD, *map(_cells, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def page(results: Sequence[Result], machine: Mapping[str, Any]) -> str:
    """Write ``docs/benchmarks.md``."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; the same figures stand in `bench/results.json`.",
        "",
        "Each floor is the same work written by hand, measured in the same run in turns with Xyn:",
        "as many commits, as many bytes, fsync on. Ratios are what counts; they are medians of the",
        "rounds' own ratios, so they are not quite the quotient of the two medians beside them.",
        "",
        f"| {' | '.join(_HEAD)} |",
        f"|{'---|' * len(_HEAD)}",
        *(f"| {' | '.join(_cells(result))} |" for result in results),
        "",
        *_misses(results),
        "## How each was measured",
        "",
        *(line for result in results for line in _method(result, machine)),
        "## On what",
        "",
        *(f"- {name}: {value}" for name, value in machine.items()),
    ]
    return "\n".join(lines) + "\n"


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.name,
        f"{rounded(result.value):g} {result.unit}",
        f"{rounded(result.floor):g} {result.unit}",
        f"{result.ratio:.2f}",
        "" if result.bar is None else str(result.bar),
        "" if result.holds is None else ("yes" if result.holds else "no"),
    )


def _misses(results: Sequence[Result]) -> list[str]:
    missed = [result for result in results if result.holds is False]
    if not missed:
        return []
    return [
        "## What misses its bar, and why",
        "",
        *(f"- **{result.name}**: {result.obstacle or 'not known yet'}" for result in missed),
        "",
    ]


def _method(result: Result, machine: Mapping[str, Any]) -> list[str]:
    own = {name: value for name, value in result.conditions.items() if name not in machine}
    return [
        f"### {result.name}",
        "",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in own.items()),
        "",
    ]
