"""What happened to runs so far, as the worker that takes them up reads it: plans, steps, tries."""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.run import ExecutionPlan, ItemView, StepStatus, StepView
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.news import GateNews, load_children, load_gates


def load_plans(connection: Connection, digests: Iterable[str]) -> dict[str, ExecutionPlan]:
    """Read compiled plans."""
    rows = connection.exec_driver_sql(
        "SELECT digest, plan FROM plans WHERE digest = ANY(%s)", (list(digests),)
    )
    return {digest: ExecutionPlan.model_validate(plan) for digest, plan in rows}


def load_plan(connection: Connection, digest: str) -> ExecutionPlan:
    """Read one compiled plan; raises ``KeyError`` for an unknown digest, which no run has."""
    return load_plans(connection, [digest])[digest]


NO_REST: Final[Mapping[str, Any]] = {
    "wait_reason": None,
    "started_at": None,
    "completed_at": None,
    "logs_artifact_id": None,
    "inputs": None,
}
"""What stands in a step's row beside its view, before anything happened to it."""


@dataclass(frozen=True, slots=True)
class Story:
    """All that happened to the steps of a run so far, by key, in the plan's order."""

    views: dict[str, StepView]
    rest: dict[str, dict[str, Any]]
    """Beside the views, as :data:`NO_REST` has it."""
    effect_digests: dict[str, str]
    """Of the gates that wait, by step key."""
    log: str | None
    """The sha256 of its log so far."""


def load_stories(connection: Connection, run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Story]:
    """Read the steps of runs; a decided gate with its decision."""
    if not run_ids:
        return {}
    steps: dict[uuid.UUID, list[Any]] = {run_id: [] for run_id in run_ids}
    for row in connection.exec_driver_sql(_LOAD_STEPS, (list(run_ids),)):
        steps[row.run_id].append(row)
    tries: dict[uuid.UUID, list[Any]] = {}
    for row in connection.exec_driver_sql(_LOAD_ATTEMPTS, (list(run_ids),)):
        tries.setdefault(row.step_id, []).append(row)
    gates = load_gates(connection, run_ids)
    children = load_children(connection, run_ids)
    logs: dict[uuid.UUID, str] = {
        row.run_id: row.sha256
        for row in connection.exec_driver_sql(
            "SELECT run_id, sha256 FROM artifacts WHERE run_id = ANY(%s) AND kind = 'log'",
            (list(run_ids),),
        )
    }
    return {
        run_id: Story(
            {row.key: _view(row, tries, gates.get(run_id, {}), children) for row in rows},
            {row.key: _rest(row) for row in rows},
            {key: gate.effect_digest for key, gate in gates.get(run_id, {}).items()},
            logs.get(run_id),
        )
        for run_id, rows in steps.items()
    }


_LOAD_STEPS: Final = (
    "SELECT run_id, step_id, key, status, wait_reason, attempt, interruptions, available_at,"
    " started_at, completed_at, logs_artifact_id, inputs, outputs, error, resolution"
    " FROM steps WHERE run_id = ANY(%s) ORDER BY run_id, position"
)
_LOAD_ATTEMPTS: Final = (
    "SELECT a.step_id, a.item_index, a.number, a.status, a.outputs, a.error"
    " FROM attempts a JOIN steps s USING (step_id) WHERE s.run_id = ANY(%s)"
    " ORDER BY a.step_id, a.item_index, a.number"
)


def _view(
    row: Any,  # noqa: ANN401 - a row of _LOAD_STEPS
    tries: Mapping[uuid.UUID, Sequence[Any]],
    gates: Mapping[str, GateNews],
    children: Mapping[uuid.UUID, dict[str, Any]],
) -> StepView:
    own = tries.get(row.step_id, ())
    fields: dict[str, Any] = {
        "key": row.key,
        "status": StepStatus(row.status),
        "attempt": row.attempt,
        "available_at": row.available_at,
        "outputs": row.outputs,
        "error": row.error,
        "interruptions": row.interruptions,
        "resolution": row.resolution,
        "failures": sum(one.status == "failed" for one in own),
        "items": _items(own, row, children),
    }
    if not fields["items"]:
        fields["awaited"] = children.get(child_run_id(row.step_id, None, row.attempt))
    gate = gates.get(row.key)
    return StepView(**(fields if gate is None else fields | gate.changes))


def _rest(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of _LOAD_STEPS
    return {name: getattr(row, name) for name in NO_REST}


def _items(
    tries: Sequence[Any],
    step: Any,  # noqa: ANN401 - a row of _LOAD_STEPS
    children: Mapping[uuid.UUID, dict[str, Any]],
) -> tuple[ItemView, ...] | None:
    """Fold the tries of a ``foreach`` step into items; the last try of each tells its status."""
    items: dict[int, ItemView] = {}
    for one in tries:
        if one.item_index is None:
            continue
        before = items.get(one.item_index)
        again = (one.error or {}).get("retry_at")
        awaited = children.get(child_run_id(step.step_id, one.item_index, one.number))
        waits = again or (awaited is not None and one.status == "running")
        items[one.item_index] = ItemView(
            index=one.item_index,
            status=StepStatus.WAITING if waits else StepStatus(one.status),
            attempt=one.number,
            failures=(before.failures if before else 0) + (one.status == "failed"),
            available_at=dt.datetime.fromisoformat(again) if again else None,
            outputs=one.outputs,
            error=one.error,
            awaited=awaited if one.status == "running" else None,
        )
    return tuple(items[index] for index in sorted(items)) or None


CHILD_NAMESPACE: Final = uuid.UUID("3d1b1c0e-52f5-4a39-8a0b-6d2f6c1f7e55")


def child_run_id(step_id: uuid.UUID, index: int | None, number: int) -> uuid.UUID:
    """The id of the run that an attempt of a step, or of an item of it, starts."""
    return uuid.uuid5(CHILD_NAMESPACE, f"{step_id}/{index}/{number}")
