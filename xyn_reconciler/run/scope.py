"""What expressions can name while a run goes on: the roots, as JSON.

Pure. The trap: a skipped step has no ``outputs`` and a step that did not fail
has no ``error``. They are left out, not null, so that a lookup is undefined
and fails the step which asks, instead of passing nothing on (language, Semantics).
"""

import contextlib
import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.desired.unknown import Unknown
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import ExecutionPlan, PlanNode, RunStatus, StepStatus, StepView


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What a decision needs to know of a run itself."""

    run_id: uuid.UUID
    revision: str
    actor: str
    inputs: dict[str, Any]
    event: dict[str, Any] | None = None
    """The envelope of the event that started it."""
    status: RunStatus = RunStatus.RUNNING
    error: dict[str, Any] | None = None
    """Set while ``on_failure`` runs: why the run has failed."""
    deadline_at: dt.datetime | None = None
    cancel_requested: bool = False
    repeats: bool = False
    """Whether it is a re-run."""
    key_run_id: uuid.UUID | None = None
    """The run whose id stands in its idempotency keys; ``None``: its own."""


def event_roots(node: PlanNode, event: Event | Mapping[str, Any] | None) -> dict[str, Any]:
    """The roots that ``from`` of an input may name."""
    roots: dict[str, Any] = {"node": node_root(node)}
    if event is not None:
        roots["event"] = event.envelope() if isinstance(event, Event) else dict(event)
    return roots


def node_root(node: PlanNode) -> dict[str, Any]:
    return {"id": node.id, "env_id": node.env_id, "stage": node.stage, "vars": node.vars}


def scope(plan: ExecutionPlan, run: RunView, steps: Mapping[str, StepView]) -> dict[str, Any]:
    """All roots for a step of this run."""
    about: dict[str, Any] = {
        "run_id": str(run.run_id),
        "blueprint_id": plan.blueprint_id,
        "revision": run.revision,
        "actor": run.actor,
    }
    if run.error is not None:
        about["error"] = {name: run.error.get(name) for name in ("code", "message", "step")}
    roots = event_roots(plan.node, run.event) | {"inputs": run.inputs, "run": about}
    return with_vars(plan, roots) | {"steps": {key: step_root(view) for key, view in steps.items()}}


def with_vars(plan: ExecutionPlan, roots: Mapping[str, Any]) -> dict[str, Any]:
    """Add ``vars``, rendered; one that has no value is left out, and fails who asks for it."""
    found: dict[str, Any] = {}
    for name, value in plan.vars.items():
        with contextlib.suppress(ExpressionError):
            found[name] = render_value(value, roots)
    return {**roots, "vars": found}


def step_root(view: StepView) -> dict[str, Any]:
    if isinstance(view.outputs, Unknown):
        return view.outputs  # in a replay: nobody knows how it would end either
    root: dict[str, Any] = {"status": str(view.status)}
    if view.status in {StepStatus.COMPLETED, StepStatus.FAILED} and view.outputs is not None:
        root["outputs"] = view.outputs
    if view.status is StepStatus.FAILED and view.error is not None:
        root["error"] = view.error
    return root


def item_scope(roots: Mapping[str, Any], item: Any, index: int) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """The roots inside one item of a ``foreach``."""
    return {**roots, "item": item, "item_index": index}
