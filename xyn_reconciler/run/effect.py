"""What exactly a gate lets through: the thing that people see, and that their yes is bound to.

Pure. The effect covers the steps behind the gate up to the next gate: rendered
inputs where they can be rendered already, the source text where they cannot,
the action, the secret references, the blueprint's blob (language, last line).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.model.run import ExecutionPlan, PlannedStep, StepView
from xyn_reconciler.run.scope import RunView, scope

_REFERENCES = ("_ref", "_refs")
"""Keys that end so hold paths of secrets, never values."""


def effect(
    plan: ExecutionPlan, run: RunView, steps: Mapping[str, StepView], gate: str
) -> dict[str, Any]:
    """Give the effect of approving a gate now, as JSON; its digest is the effect digest."""
    roots = scope(plan, run, steps)
    return {
        "blueprint_id": plan.blueprint_id,
        "path": plan.path,
        "blob_id": plan.blob_id,
        "gate": gate,
        "steps": [_shown(step, roots) for step in behind(plan, gate)],
    }


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


def _shown(step: PlannedStep, roots: Mapping[str, Any]) -> dict[str, Any]:
    sources: dict[str, dict[str, Any]] = {
        "action_task": {"with": step.with_},
        "transform": {"set": step.set_},
        "agent_task": {"prompt": step.prompt, "output_schema": step.output_schema},
    }
    shown: dict[str, Any] = {
        "key": step.key,
        "kind": step.kind,
        "action": step.action,
        "provider": step.provider,
        "model": step.model,
        "when": step.when,
        "foreach": _rendered(step.foreach, roots),
        "idempotency_key": _rendered(step.idempotency_key, roots),
        "secrets": sorted(set(_secret_references(step.with_))),
    }
    shown = {name: value for name, value in shown.items() if value not in (None, [])}
    return shown | {
        name: _rendered(value, roots) for name, value in sources[step.kind].items() if value
    }


def _rendered(value: Any, roots: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _rendered(inner, roots) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rendered(inner, roots) for inner in value]
    try:
        return render_value(value, roots)
    except ExpressionError:
        return value


def _secret_references(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith(_REFERENCES):
                yield from inner if isinstance(inner, list) else [str(inner)]
            else:
                yield from _secret_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_references(inner)
