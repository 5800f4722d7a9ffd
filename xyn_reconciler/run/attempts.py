"""An attempt before it begins: what its action is given, its intent, its task."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from xyn_reconciler.action import sub_run
from xyn_reconciler.action.context import Action
from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.run import PlannedStep
from xyn_reconciler.run import limits
from xyn_reconciler.run.compile import mismatch
from xyn_reconciler.run.execute import Task
from xyn_reconciler.run.given import given
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.store.json_text import storable


class Attempts:
    """The attempts that one turn of one run begins."""

    def __init__(
        self,
        journal: Journal,
        now: dt.datetime,
        *,
        worker: str,
        actions: Mapping[str, Action],
        starts_runs: bool,
    ) -> None:
        self.journal = journal
        self.now = now
        self._worker = worker
        self._actions = actions
        self._starts_runs = starts_runs

    def prepared(
        self, planned: PlannedStep, roots: Mapping[str, Any]
    ) -> tuple[dict[str, Any], str | None]:
        """Render what an action is given; raises ``ExpressionError`` where it cannot be given."""
        name = planned.action or planned.kind
        spec = self._spec(name)
        if spec is None:
            what = (
                f"the action {name}" if planned.kind == "action_task" else f"steps of kind {name}"
            )
            raise ExpressionError("not_installed", f"{what} cannot be run on this node")
        inputs = given(planned, spec.shell_inputs, roots)
        problem = mismatch(spec.input_schema, inputs)
        if problem is not None:
            raise ExpressionError("invalid_inputs", f"the inputs of {name} do not fit: {problem}")
        return inputs, self._idempotency_key(planned, roots)

    def _spec(self, name: str) -> ActionSpec | None:
        if name == sub_run.NAME and self._starts_runs:
            return sub_run.SPEC
        action = self._actions.get(name)
        return None if action is None else action.spec

    def _idempotency_key(self, planned: PlannedStep, roots: Mapping[str, Any]) -> str | None:
        """Render the key; a re-run has those of its origin, or (``fresh``) none that was before."""
        if planned.idempotency_key is None:
            return None
        run = self.journal.run
        if run.key_run_id is not None:
            roots = {**roots, "run": {**roots["run"], "run_id": str(run.key_run_id)}}
        key = render_value(planned.idempotency_key, roots)
        text = key if isinstance(key, str) else str(key)
        return f"{run.run_id} {text}" if run.repeats and run.key_run_id is None else text

    def task(
        self,
        planned: PlannedStep,
        index: int | None,
        number: int,
        inputs: dict[str, Any],
        idempotency_key: str | None = None,
    ) -> Task:
        return Task(
            key=planned.key,
            index=index,
            attempt_id=self._attempt_id(planned.key, index, number),
            number=number,
            action=planned.action or planned.kind,
            inputs=inputs,
            idempotency_key=idempotency_key,
            timeout=planned.timeout or limits.STEP_TIMEOUT,
        )

    def _attempt_id(self, key: str, index: int | None, number: int) -> uuid.UUID:
        return uuid.uuid5(self.journal.step_id(key), f"{index}/{number}")

    def intend(
        self, planned: PlannedStep, index: int | None, number: int, idempotency_key: str | None
    ) -> uuid.UUID:
        attempt_id = self._attempt_id(planned.key, index, number)
        self.journal.changes.begun.append(
            {
                "attempt_id": attempt_id,
                "step_id": self.journal.step_id(planned.key),
                "item_index": index,
                "number": number,
                "status": "running",
                "started_at": self.now,
                "worker": self._worker,
                "run_attempt": self.journal.claimed.attempt,
                "idempotency_key": None if idempotency_key is None else storable(idempotency_key),
            }
        )
        return attempt_id
