"""One measured figure beside its floor, and whether it holds its bar. Pure.

``bench/results.json`` is a list of these. A row without a bar carries neither
``bar`` nor ``holds``; one that misses its bar says why.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Bar:
    """What a ratio of value to floor has to be: ``relation`` is ``<=`` or ``>=``."""

    relation: str
    factor: float

    def __str__(self) -> str:
        return f"{self.relation} {self.factor:g} x floor"

    def holds(self, ratio: float) -> bool:
        return ratio <= self.factor if self.relation == "<=" else ratio >= self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A figure: ``value`` and ``floor`` in ``unit``, ``ratio`` of the first to the second."""

    name: str
    value: float
    unit: str
    floor: float
    ratio: float
    conditions: Mapping[str, Any]
    """How it was measured, and on what; never a path."""
    bar: Bar | None = None
    obstacle: str | None = None
    """What stands in the way, said only where the bar is missed."""
    peers: Mapping[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        return None if self.bar is None else self.bar.holds(self.ratio)

    def to_json(self) -> dict[str, Any]:
        """Give the row of ``results.json``."""
        row: dict[str, Any] = {
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "floor": rounded(self.floor),
            "ratio": rounded(self.ratio),
        }
        if self.bar is not None:
            row |= {"bar": str(self.bar), "holds": self.holds}
        if self.holds is False:
            row["why"] = self.obstacle or "not known yet"
        return row | {"peers": dict(self.peers), "conditions": dict(self.conditions)}


def compare(
    name: str,
    unit: str,
    rounds: Sequence[tuple[float, float]],
    conditions: Mapping[str, Any],
    *,
    bar: Bar | None = None,
    obstacle: str | None = None,
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
        obstacle=obstacle,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value below which ``share`` (0 to 1) of the values lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rounded(value: float) -> float:
    """Keep three digits that count, and every digit before the point."""
    if value == 0:
        return 0.0
    digits = 2 - math.floor(math.log10(abs(value)))
    return round(value, max(0, digits))
