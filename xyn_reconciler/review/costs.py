"""What runs would have used up, estimated from what past runs did use up. Pure.

A step that would run is taken to use what it used on average; a step without a past
adds nothing, and is named.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from xyn_reconciler.review.history import RunRecord
from xyn_reconciler.review.replay import Replayed

_DIGITS = 3
_RAN = ("completed", "failed", "unknown")


@dataclass(frozen=True, slots=True)
class Basis:
    """Footprints of past runs."""

    runs: Counter[str]
    """By blueprint."""
    used: dict[str, dict[tuple[str, str, str], float]]
    """Blueprint -> (step, metric, unit) -> quantity of all its runs; step ``""``: the run's own."""

    @classmethod
    def of(cls, records: Iterable[RunRecord]) -> "Basis":
        runs: Counter[str] = Counter()
        used: dict[str, dict[tuple[str, str, str], float]] = defaultdict(lambda: defaultdict(float))
        for record in records:
            blueprint = record.line["run"]["blueprint_id"]
            runs[blueprint] += 1
            for row in record.line.get("footprints", ()):
                used[blueprint][row["key"], row["metric"], row["unit"]] += row["quantity"]
        return cls(runs, used)


class Costs:
    """Adds up both sides, by blueprint."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self._sums: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
        self._without: dict[str, set[str]] = defaultdict(set)

    def add(
        self, side: Literal["main", "draft"], blueprint_id: str, found: Replayed | None
    ) -> None:
        """Add one run; ``None``: it goes as its past runs went."""
        sides = self._sums.setdefault(blueprint_id, {"main": {}, "draft": {}})
        used, runs = self._basis.used.get(blueprint_id, {}), self._basis.runs[blueprint_id]
        ran = None
        if found is not None:
            ran = {step.key for step in found.steps if step.status in _RAN} | {""}
            past = {key for key, _, _ in used}
            self._without[blueprint_id] |= {
                step.key
                for step in found.steps
                if step.status in _RAN and step.key not in past and step.kind != "gate"
            }
        for (key, metric, unit), quantity in used.items():
            if ran is None or key in ran:
                total = sides[side].get((metric, unit), 0.0)
                sides[side][metric, unit] = total + quantity / runs

    def to_json(self) -> dict[str, Any]:
        """Give both sides by blueprint, and how many past runs that rests on."""
        return {
            blueprint: {
                "past_runs": self._basis.runs[blueprint],
                **{
                    side: {
                        metric: {"quantity": round(quantity, _DIGITS), "unit": unit}
                        for (metric, unit), quantity in sorted(sums.items())
                    }
                    for side, sums in sides.items()
                },
                "steps_without_past": sorted(self._without[blueprint]),
            }
            for blueprint, sides in sorted(self._sums.items())
        }
