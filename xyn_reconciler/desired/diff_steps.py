"""How the steps of a blueprint differ: what they do, and which gates stand before them.

The trap: a gate that stays in the file may no longer stand before anything. Which
gates a step waits for, through everything that it needs, is compared as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.desired.diff_words import Told, Weight, compare_fields, plain
from xyn_reconciler.desired.expression import ExpressionError, parse_expression, references
from xyn_reconciler.desired.step_order import order
from xyn_reconciler.model.blueprint import (
    ActionTask,
    AgentTask,
    Approvals,
    Blueprint,
    Gate,
    Step,
)

_NAMES: Final = ("id", "kind", "approvals")
"""Keys of a step that are told apart from the others."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a blueprint by id."""

    by_id: Mapping[str, Step]
    part_of: Mapping[str, str]
    """Step -> ``plan`` or ``on_failure``."""
    gates_before: Mapping[str, frozenset[str]]
    """Step that does something -> the gates that it waits for."""
    asked: Mapping[str, frozenset[str]]
    """Gate -> the steps whose ``when`` asks what was decided: a no does not end the run then."""

    @classmethod
    def of(cls, blueprint: Blueprint | None, document: Mapping[str, Any]) -> "Steps":
        if blueprint is None:
            return cls({}, {}, {}, {})
        parts = {"plan": blueprint.plan, "on_failure": blueprint.on_failure}
        by_id = {step.id: step for steps in parts.values() for step in steps}
        ancestors = {
            step: before
            for part in parts
            for step, before in order(part, document.get(part)).ancestors.items()
        }
        gates = {step_id for step_id, step in by_id.items() if isinstance(step, Gate)}
        return cls(
            by_id,
            {step.id: part for part, steps in parts.items() for step in steps},
            {
                step_id: ancestors[step_id] & gates
                for step_id, step in by_id.items()
                if isinstance(step, (ActionTask, AgentTask))
            },
            {
                gate: frozenset(
                    step.id for step in by_id.values() if gate in _decisions_asked(step.when)
                )
                for gate in gates
            },
        )


def step_changes(old: Steps, new: Steps) -> Iterator[Told]:
    """Compare the steps of two versions of a blueprint."""
    for step_id, step in old.by_id.items():
        if step_id not in new.by_id:
            gate = isinstance(step, Gate)
            told: Told = (f"{label(step)} removed", "gate_removed", step_id)
            yield told if gate else plain(told[0])
    for step_id, step in new.by_id.items():
        before = old.by_id.get(step_id)
        if before is None:
            yield _added(step)
        elif before.kind != step.kind:
            if isinstance(before, Gate):
                yield f"gate {step_id} removed", "gate_removed", step_id
            words, weight, name = _added(step)
            yield f"{words}, in place of {label(before)}", weight, name
        else:
            yield from _step(before, step)
    yield from _order(old, new)
    yield from _gates(old, new)


def label(step: Step) -> str:
    return f"gate {step.id}" if isinstance(step, Gate) else f"step {step.id}"


def _model(step: AgentTask) -> str:
    return step.model if step.provider is None else f"{step.provider} {step.model}"


def _added(step: Step) -> Told:
    match step:
        case ActionTask():
            return f"step {step.id} added: {step.action}", "action_added", step.action
        case AgentTask():
            words = f"step {step.id} added: asks {_model(step)}"
            return words, "action_changed", None
        case Gate():
            asked = _who(step)
            return f"gate {step.id} added: {asked}", "gate_added", step.id
    return plain(f"step {step.id} added")


def _who(gate: Gate) -> str:
    approvals = gate.approvals or Approvals()
    return f"{approvals.min} of {' or '.join(approvals.from_any_of)}"


# ── One step ─────────────────────────────────────────────────────────────────────────────────────


def _step(old: Step, new: Step) -> Iterator[Told]:
    if isinstance(old, Gate) and isinstance(new, Gate):
        said = _gate(old, new)
    else:
        said = compare_fields(old, new, _NAMES, _weigh)
    for words, weight, _ in said:
        name = new.id if isinstance(new, Gate) else None
        if isinstance(new, ActionTask) and weight == "action_added":
            name = new.action
        yield f"{label(new)}: {words}", weight, name


def _gate(old: Gate, new: Gate) -> Iterator[Told]:
    """A gate that may be left out, that opens by itself or for more people, is a looser one."""

    def weigh(key: str, _old: object, now: object) -> Weight:
        looser = {
            "when": now is not None,
            "foreach": now is not None,
            "continue_on_error": bool(now),
            "on_timeout": now == "approve",
            "timeout": new.on_timeout == "approve",
        }
        return "gate_loosened" if looser.get(key, False) else "other"

    yield from compare_fields(old, new, _NAMES, weigh)
    before, after = (gate.approvals or Approvals() for gate in (old, new))
    for words, weight, name in compare_fields(before, after, (), _weigh_approvals):
        yield f"approvals {words}", weight, name


def _weigh(key: str, _old: object, _new: object) -> Weight:
    if key == "action":
        return "action_added"
    given = ("with", "provider", "model", "prompt_template", "prompt_file", "foreach", "when")
    return "action_changed" if key in given else "other"


def _weigh_approvals(key: str, old: Any, new: Any) -> Weight:  # noqa: ANN401 - of several keys
    match key:
        case "min":
            looser = new < old
        case "from_any_of":
            looser = not {*new} <= {*old}
        case _:
            looser = bool(new)
    return "gate_loosened" if looser else "other"


# ── Between steps ────────────────────────────────────────────────────────────────────────────────


def _order(old: Steps, new: Steps) -> Iterator[Told]:
    for step_id, part in new.part_of.items():
        if old.part_of.get(step_id, part) != part:
            yield plain(f"step {step_id} moved from {old.part_of[step_id]} to {part}")
    for part in ("plan", "on_failure"):
        before, after = (
            [
                step_id
                for step_id, where in one.part_of.items()
                if where == part == other.part_of.get(step_id)
            ]
            for one, other in ((old, new), (new, old))
        )
        if before != after:
            moved = "steps" if part == "plan" else "steps of on_failure"
            yield plain(f"order of {moved}: {', '.join(before)} -> {', '.join(after)}")


def _gates(old: Steps, new: Steps) -> Iterator[Told]:
    for step_id, gates in new.gates_before.items():
        what = _does(new.by_id[step_id])
        same = step_id in old.gates_before and _does(old.by_id[step_id]) == what
        before = old.gates_before[step_id] if same else _guards(old, what)
        for gate in sorted(before - gates):
            if isinstance(new.by_id.get(gate), Gate):  # a gate that is gone was told already
                words = (
                    f"step {step_id} no longer waits for gate {gate}"
                    if same
                    else f"step {step_id} calls {what} without gate {gate}"
                )
                yield words, "gate_removed", gate
    for gate, steps in new.asked.items():
        if steps and old.asked.get(gate) == frozenset():
            asking = ", ".join(sorted(steps))
            words = f"a no at gate {gate} no longer ends the run: {asking} asks what was decided"
            yield words, "gate_loosened", gate


def _does(step: Step) -> str | None:
    match step:
        case ActionTask():
            return step.action
        case AgentTask():
            return step.provider or step.model
    return None


def _guards(steps: Steps, what: str | None) -> frozenset[str]:
    """The gates that stood before every step that did this; none where nothing did."""
    waited = [
        gates
        for step_id, gates in steps.gates_before.items()
        if _does(steps.by_id[step_id]) == what
    ]
    return frozenset.intersection(*waited) if waited else frozenset()


def _decisions_asked(condition: str | bool | None) -> frozenset[str]:  # noqa: FBT001 - a flag too
    if not isinstance(condition, str):
        return frozenset()
    try:
        found = references(parse_expression(condition))
    except ExpressionError:
        return frozenset()
    return frozenset(
        str(each.path[0])
        for each in found
        if each.root == "steps" and each.path[1:] == ("outputs", "decision")
    )
