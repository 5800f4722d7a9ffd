"""Which steps have ended before a step begins: the order that ``needs`` gives.

Pure, and patient: it is asked about documents that a model refused as well, so
that one push shows all problems at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xyn_reconciler.desired.place import Place


@dataclass(frozen=True, slots=True)
class Ordered:
    """One step that has an id, and what it waits for."""

    place: Place
    id: str
    step: Mapping[str, Any]
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """The steps of ``plan`` or of ``on_failure``, with all that each waits for."""

    steps: tuple[Ordered, ...]
    ancestors: Mapping[str, frozenset[str]]
    cycles: tuple[tuple[Place, tuple[str, ...]], ...]
    """Where a cycle closes, and the steps along it."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(step.id for step in self.steps)

    def is_known(self, step_id: str) -> bool:
        """Whether all that a step waits for is there: else one mistake would be told as many."""
        return not self.cycles and not any(
            need not in self.ancestors
            for step in self.steps
            if step.id == step_id or step.id in self.ancestors[step_id]
            for need in step.needs
        )

    def later(self, step_id: str) -> frozenset[str]:
        """The step itself and those that wait for it."""
        return frozenset(other for other, before in self.ancestors.items() if step_id in before) | {
            step_id
        }


def each_step(document: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Every step of ``plan`` and ``on_failure`` that is a mapping, with its place."""
    for part in ("plan", "on_failure"):
        steps = document.get(part)
        for index, step in enumerate(steps if isinstance(steps, list) else []):
            if isinstance(step, dict):
                yield (part, index), step


def order(part: str, steps: object) -> Order:
    """Read the order of a list of steps; what is no step with an id is left out."""
    found: list[Ordered] = []
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        if not isinstance(step, dict) or not isinstance(step.get("id"), str):
            continue
        needs = step.get("needs")
        if isinstance(needs, list):
            before = tuple(need for need in needs if isinstance(need, str))
        else:
            before = (found[-1].id,) if found else ()
        found.append(Ordered((part, index), step["id"], step, before))
    needs_of: dict[str, tuple[str, ...]] = {}
    for step in found:
        needs_of.setdefault(step.id, step.needs)  # of equal ids the first counts
    cycles = tuple(_cycles(found, needs_of))
    return Order(tuple(found), _ancestors(needs_of), cycles)


def _ancestors(needs_of: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    ancestors: dict[str, frozenset[str]] = {}
    for start in needs_of:
        waiting, seen = [*needs_of[start]], set[str]()
        while waiting:
            step = waiting.pop()
            if step in seen or step not in needs_of:
                continue
            seen.add(step)
            if step in ancestors:
                seen |= ancestors[step]
            else:
                waiting.extend(needs_of[step])
        ancestors[start] = frozenset(seen)
    return ancestors


def _cycles(
    steps: Sequence[Ordered], needs_of: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Place, tuple[str, ...]]]:
    """Each cycle once, at the entry of ``needs`` that closes it."""
    done: set[str] = set()
    place_of = {step.id: step for step in reversed(steps)}
    for first in needs_of:
        path: list[str] = []
        waiting: list[tuple[str, Iterator[str]]] = []
        if first not in done:
            path.append(first)
            waiting.append((first, iter(needs_of[first])))
        while waiting:
            step, left = waiting[-1]
            need = next(left, None)
            if need is None:
                waiting.pop()
                path.pop()
                done.add(step)
            elif need in path:
                yield _closing(place_of[step], need), (*path[path.index(need) :], need)
            elif need in needs_of and need not in done:
                path.append(need)
                waiting.append((need, iter(needs_of[need])))


def _closing(step: Ordered, need: str) -> Place:
    needs = step.step.get("needs")
    if isinstance(needs, list) and need in needs:
        return (*step.place, "needs", needs.index(need))
    return (*step.place, "needs")
