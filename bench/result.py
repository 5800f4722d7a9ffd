"""One measured figure beside its floor, and whether it holds its bar. Pure.

``bench/results.json`` is a list of these. A row without a bar carries neither
``bar`` nor ``holds``; one that misses its bar says why (:mod:`.obstacles`).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Row = dict[str, Any]
"""One row as ``results.json`` has it."""

FLOOR: Final = "floor"


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to be: ``relation`` is ``<=`` or ``>=``.

    ``than`` is what the limit counts in: ``floor`` (or what stands in the
    floor's place), or ``None`` for the unit of the value itself.
    """

    relation: str
    limit: float
    than: str | None = FLOOR

    def text(self, unit: str) -> str:
        """Write it as a person would: ``<= 3 x floor``, ``<= 15 ms``."""
        tail = unit if self.than is None else f"x {self.than}"
        return f"{self.relation} {rounded(self.limit):g} {tail}".rstrip()

    def holds(self, figure: float) -> bool:
        return figure <= self.limit if self.relation == "<=" else figure >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A figure: ``value`` and ``floor`` in ``unit``, ``ratio`` of the first to the second."""

    name: str
    value: float
    unit: str
    conditions: Mapping[str, Any]
    """How it was measured, and on what; never a path."""
    floor: float | None = None
    ratio: float | None = None
    bar: Bar | None = None
    peers: Mapping[str, float] = field(default_factory=dict)
    """The same figure of others, by name and version."""

    def to_json(self) -> Row:
        """Give the row of ``results.json``, but for ``why``."""
        row: Row = {
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "floor": None if self.floor is None else rounded(self.floor),
            "ratio": None if self.ratio is None else rounded(self.ratio),
        }
        if self.bar is not None:
            figure = self.value if self.bar.than is None else self.ratio
            assert figure is not None, "a bar that counts in floors needs one"
            row |= {"bar": self.bar.text(self.unit), "holds": self.bar.holds(figure)}
        return row | {
            "peers": {name: rounded(value) for name, value in self.peers.items()},
            "conditions": dict(self.conditions),
        }


def compare(
    name: str,
    unit: str,
    rounds: Sequence[tuple[float, float]],
    conditions: Mapping[str, Any],
    *,
    bar: Bar | None = None,
    peers: Mapping[str, float] | None = None,
) -> Result:
    """Make a result of ``(floor, value)`` of each round; all three figures are medians."""
    return Result(
        name=name,
        value=statistics.median(value for _, value in rounds),
        unit=unit,
        floor=statistics.median(floor for floor, _ in rounds),
        ratio=statistics.median(value / floor for floor, value in rounds),
        conditions={"rounds": len(rounds), **conditions},
        bar=bar,
        peers=peers or {},
    )


def explained(row: Row, obstacles: Mapping[str, str]) -> Row:
    """Give the row with ``why`` where it misses its bar, and only there."""
    kept = {key: value for key, value in row.items() if key != "why"}
    if kept.get("holds") is not False:
        return kept
    why = {"why": obstacles.get(row["name"], "not known yet")}
    tail = {key: kept.pop(key) for key in ("peers", "conditions")}
    return kept | why | tail


def margin(row: Row) -> float:
    """How far on the right side of its bar a row is: 2 is twice as good as asked, 0.5 half."""
    relation, limit, *than = row["bar"].split()
    figure = row["ratio"] if than[:1] == ["x"] else row["value"]
    better, worse = (float(limit), figure) if relation == "<=" else (figure, float(limit))
    if worse == 0:
        return 1.0 if better == 0 else math.inf
    return float(better / worse)


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value below which ``share`` (0 to 1) of the values lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rounded(value: float) -> float:
    """Keep three digits that count, and every digit before the point."""
    if value == 0 or not math.isfinite(value):
        return value
    digits = 2 - math.floor(math.log10(abs(value)))
    return round(value, max(0, digits))
