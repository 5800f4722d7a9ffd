"""What exactly a gate lets through: the thing that people see, and that their yes is bound to.

Pure. The effect covers the steps behind the gate up to the next gate: rendered
inputs where they can be rendered already, the source text where they cannot,
the action, the secret references, the blueprint's blob (language, last line).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from xyn_reconciler.desired.expression import (
    ExpressionError,
    Template,
    parse_template,
    references,
)
from xyn_reconciler.model.run import ExecutionPlan, PlannedStep, StepView
from xyn_reconciler.run.given import escape, prompt, render_prompt
from xyn_reconciler.run.scope import RunView, scope

_REFERENCES = ("_ref", "_refs")
"""Keys that end so hold paths of secrets, never values."""

_OF_AN_ITEM: Final = frozenset({"item", "item_index"})

ShellInputs: TypeAlias = Callable[[str | None], Collection[str]]
"""The inputs of an action, by its name, that a shell will read."""


def effect(
    plan: ExecutionPlan,
    run: RunView,
    steps: Mapping[str, StepView],
    gate: str,
    shell_inputs: ShellInputs,
) -> dict[str, Any]:
    """Give the effect of approving a gate now, as JSON; its digest is the effect digest.

    What can be rendered stands there exactly as the step will be given it.
    """
    known = _Known(
        scope(plan, run, steps),
        frozenset(key for key, view in steps.items() if view.status.ended),
    )
    return {
        "blueprint_id": plan.blueprint_id,
        "path": plan.path,
        "blob_id": plan.blob_id,
        "gate": gate,
        "steps": [_shown(step, known, shell_inputs) for step in behind(plan, gate)],
        **_packs(plan),
    }


def _packs(plan: ExecutionPlan) -> dict[str, Any]:
    """What actions of packs will do is theirs to say: which packs these are, and how they are set.

    Nothing where there are none, so that the digests of other plans stay what they are.
    """
    shown = {
        name: {"version": pack.version, "digest": pack.digest, "settings": pack.settings}
        for name, pack in plan.packs.items()
    }
    return {"packs": shown} if shown else {}


def behind(plan: ExecutionPlan, gate: str) -> list[PlannedStep]:
    """The steps that only run after a gate, up to the next gate and without it; plan order."""
    reached = {gate}
    while True:
        more = {
            step.key
            for step in plan.steps
            if step.kind != "gate" and reached.intersection(step.needs)
        } - reached
        if not more:
            return [step for step in plan.steps if step.key in reached - {gate}]
        reached |= more


@dataclass(frozen=True, slots=True)
class _Known:
    """What is certain while a gate waits: nothing of a step that has not ended, nor of an item."""

    roots: Mapping[str, Any]
    ended: frozenset[str]

    def covers(self, template: Template) -> bool:
        """Whether a template gives the same later; with ``default`` it might give another now."""
        return all(
            bool(named.path) and named.path[0] in self.ended
            if named.root == "steps"
            else named.root not in _OF_AN_ITEM
            for named in references(template)
        )


def _shown(step: PlannedStep, known: _Known, shell_inputs: ShellInputs) -> dict[str, Any]:
    quoted = shell_inputs(step.action)
    inputs = {
        name: _rendered(value, known, escape(name, quoted)) for name, value in step.with_.items()
    }
    shown: dict[str, Any] = {
        "key": step.key,
        "kind": step.kind,
        "action": step.action,
        "provider": step.provider,
        "model": step.model,
        "when": step.when,
        "foreach": _rendered(step.foreach, known),
        "idempotency_key": _rendered(step.idempotency_key, known),
        "secrets": sorted(set(_secret_references(inputs))),
        "with": inputs,
        "set": _rendered(step.set_, known),
        "prompt": _prompt(step, known),
        "output_schema": step.output_schema,
        "budget": step.budget,
    }
    return {name: value for name, value in shown.items() if value not in (None, [], {})}


def _rendered(
    value: Any,  # noqa: ANN401 - any JSON value
    known: _Known,
    escaping: Callable[[str], str] | None = None,
) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _rendered(inner, known, escaping) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rendered(inner, known, escaping) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        template = parse_template(value)
        return template.render(known.roots, escape=escaping) if known.covers(template) else value
    except ExpressionError:
        return value


def _prompt(step: PlannedStep, known: _Known) -> str | None:
    if step.prompt is None:
        return None
    try:
        asked = prompt(step)
        return render_prompt(asked, known.roots)[0] if known.covers(asked) else step.prompt
    except ExpressionError:
        return step.prompt


def _secret_references(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith(_REFERENCES):
                yield from map(str, inner if isinstance(inner, list) else [inner])
            else:
                yield from _secret_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_references(inner)
