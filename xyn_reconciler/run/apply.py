"""Apply decisions and outcomes to a journal: the one place where both become changes.

Thin: each decision has one method, named after it. Transforms are executed
here, being pure; every other step becomes a :class:`Task` with its intent in
the journal, for the worker to launch after its commit.
"""

import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from xyn_reconciler.action import sub_run
from xyn_reconciler.action.context import Action
from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.model.errors import PermanentError, StepError, XynError
from xyn_reconciler.model.internal_events import (
    StepInterrupted,
    StepStarted,
)
from xyn_reconciler.model.run import (
    PlannedStep,
    RunStatus,
    StepStatus,
)
from xyn_reconciler.run import decisions as decided
from xyn_reconciler.run import limits, run_ends
from xyn_reconciler.run.asking import Asking
from xyn_reconciler.run.attempts import Attempts
from xyn_reconciler.run.decide import expression_failure, foreach_items, has_ended
from xyn_reconciler.run.execute import Outcome, Task
from xyn_reconciler.run.items import item_of, set_item, settle_items
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.run.retry import Failure, retry_at
from xyn_reconciler.run.scope import item_scope, scope
from xyn_reconciler.run.step_ends import StepEnds
from xyn_reconciler.store.stories import NO_REST, child_run_id

_SUB_RUN_FAILED: Final = "sub_run_failed"


class Application:
    """What one turn does to one journal."""

    def __init__(
        self,
        journal: Journal,
        now: dt.datetime,
        *,
        worker: str,
        actions: Mapping[str, Action],
        jitter: Callable[[], float],
        launch: Callable[[Journal, uuid.UUID, uuid.UUID, Mapping[str, Any]], None] | None,
    ) -> None:
        """``launch`` starts a run (its id, the step's, the step's inputs) in this transaction."""
        self.journal = journal
        self.now = now
        self.tasks: list[Task] = []
        """To be launched after the commit, their intents being in the journal."""
        self._ends = StepEnds(journal, now)
        self._asking = Asking(journal, now, actions)
        self._attempts = Attempts(
            journal, now, worker=worker, actions=actions, starts_runs=launch is not None
        )
        self._jitter = jitter
        self._launch = launch

    def apply(self, decision: decided.Decision) -> None:  # noqa: C901, PLR0912 - one case a decision
        """Make one decision come true; a :class:`Signal` is the worker's."""
        match decision:
            case decided.Start(key, items):
                self._start(key, items)
            case decided.Skip(key, reason):
                self._ends.skip(key, reason)
            case decided.Complete(key, outputs):
                self._ends.complete(key, self._clean(outputs))
            case decided.Fail(key, error, outputs):
                self._ends.fail(key, error, outputs)
            case decided.OpenGate(key):
                self._asking.open(key)
            case decided.ExpireGate(key, verdict):
                self._asking.expire(key, verdict)
            case decided.Interrupt():
                self._interrupt(decision)
            case decided.Resolve(key, resolution):
                self._resolve(key, resolution)
            case decided.Return(key, index):
                self._return(key, index)
            case decided.Cancel(key):
                self._ends.cancel(key)
            case decided.BeginFailure(error):
                run_ends.begin_failure(self.journal, self.now, error)
            case decided.Wait():
                run_ends.wait(self.journal, self.now, decision)
            case decided.Finish():
                run_ends.finish(self.journal, self.now, decision)

    def refresh_gates(self) -> None:
        """Ask anew at gates that wait, where what they let through is not what it was."""
        self._asking.refresh()

    # ── steps ────────────────────────────────────────────────────────────────────────────────────

    def _planned(self, key: str) -> PlannedStep:
        return self.journal.planned[key]

    def _clean(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        return self.journal.redactor.value(value)

    def _roots(self) -> dict[str, Any]:
        return scope(self.journal.plan, self.journal.run, self.journal.steps)

    def _start(self, key: str, items: tuple[int, ...] | None) -> None:
        planned = self._planned(key)
        roots = self._roots()
        if items is None:
            self._start_once(planned, roots)
            return
        values = foreach_items(planned, roots)
        for index in items:
            self._start_item(planned, item_scope(roots, values[index], index), index)
        settle_items(self.journal, key)

    def _begin(self, planned: PlannedStep) -> None:
        """Note that another attempt of a step begins."""
        journal, key = self.journal, planned.key
        began = journal.rest.get(key, NO_REST)["started_at"] or self.now
        journal.change(
            key,
            status=StepStatus.RUNNING,
            attempt=journal.steps[key].attempt + 1,
            available_at=None,
            rest={"wait_reason": None, "started_at": began},
        )
        self.journal.tell_step(StepStarted, planned.key, self.now)

    def _start_once(self, planned: PlannedStep, roots: Mapping[str, Any]) -> None:
        self._begin(planned)
        try:
            if planned.kind == "transform":
                began = time.perf_counter()
                outputs = render_value(planned.set_, roots)
                self._ends.took(planned.key, time.perf_counter() - began)
                self._ends.complete(planned.key, self._clean(outputs))
                return
            inputs, key = self._attempts.prepared(planned, roots)
        except ExpressionError as error:
            self._ends.fail(planned.key, expression_failure(error))
            return
        self.journal.change(planned.key, rest={"inputs": self.journal.redactor.value(inputs)})
        number = self.journal.steps[planned.key].attempt
        self._intend(planned, None, number, inputs, key)

    def _start_item(self, planned: PlannedStep, roots: Mapping[str, Any], index: int) -> None:
        journal = self.journal
        if journal.steps[planned.key].status is not StepStatus.RUNNING:
            self._begin(planned)
        item = item_of(self.journal, planned.key, index)
        number = item.attempt + 1
        set_item(
            self.journal,
            planned.key,
            item.model_copy(
                update={
                    "attempt": number,
                    "status": StepStatus.RUNNING,
                    "available_at": None,
                    "error": None,
                }
            ),
        )
        try:
            if planned.kind == "transform":
                outputs = render_value(planned.set_, roots)
                task = self._attempts.intend(planned, index, number, None)
                self._end_item(planned, index, task, outputs, None)
                return
            inputs, key = self._attempts.prepared(planned, roots)
        except ExpressionError as error:
            task = self._attempts.intend(planned, index, number, None)
            failure = Failure(error.failure_code, error.message, temporary=False)
            self._end_item(planned, index, task, None, failure, final=True)
            return
        self._intend(planned, index, number, inputs, key)

    def _intend(
        self,
        planned: PlannedStep,
        index: int | None,
        number: int,
        inputs: dict[str, Any],
        idempotency_key: str | None,
    ) -> None:
        self._attempts.intend(planned, index, number, idempotency_key)
        task = self._attempts.task(planned, index, number, inputs, idempotency_key)
        if planned.action == sub_run.NAME:
            self._start_run(task)
            return
        self.tasks.append(task)
        where = "" if index is None else f", item {index}"
        self.journal.log(self.now, f"attempt {number}{where} began", step=planned.key)

    def _resolve(self, key: str, resolution: str) -> None:
        self.journal.log(self.now, f"a person chose: {resolution}", step=key)
        self.journal.change(key, resolution=None, rest={"wait_reason": None})
        if resolution == "retry":
            self.journal.change(key, status=StepStatus.CREATED, interruptions=0)
        elif resolution == "done":
            self._ends.complete(key, None)
        else:
            self._ends.fail(key, {"code": "interrupted", "message": "a person gave this step up"})

    def _interrupt(self, decision: decided.Interrupt) -> None:
        view = self.journal.steps[decision.key]
        items = tuple(
            item.model_copy(update={"status": StepStatus.INTERRUPTED})
            if item.status is StepStatus.RUNNING
            else item
            for item in view.items or ()
        )
        self.journal.change(
            decision.key,
            status=StepStatus.CREATED if decision.again else StepStatus.INTERRUPTED,
            interruptions=decision.interruptions,
            items=items or None,
            rest={"wait_reason": None if decision.again else decision.reason},
        )
        self.journal.tell_step(StepInterrupted, decision.key, self.now, will_retry=decision.again)
        self.journal.log(self.now, "interrupted: its worker is gone", step=decision.key)

    # ── outcomes ─────────────────────────────────────────────────────────────────────────────────

    def settle(self, outcome: Outcome, *, stopped: bool) -> None:
        """Take in how a task ended; ``stopped`` where its run had told it to stop."""
        task, failure = outcome.task, outcome.failure
        planned = self._planned(task.key)
        self._ends.took(task.key, outcome.seconds, _asked(outcome))
        for used in outcome.footprints:
            self.journal.use(
                task.key, used.metric, used.quantity, used.unit, self.now, dims=used.dims
            )
        for artifact in outcome.artifacts:
            self.journal.keep(artifact, self.now, key=task.key)
        for line in outcome.lines:
            self.journal.log(self.now, line, step=task.key)
        if task.index is not None:
            self._end_item(
                planned, task.index, task.attempt_id, outcome.outputs, failure, final=stopped
            )
            settle_items(self.journal, task.key)
        elif failure is None:
            outputs = self._clean(outcome.outputs)
            self._ends.end_row(task.attempt_id, "completed", outputs=outputs)
            self._ends.complete(task.key, outputs)
        elif stopped:
            self._ends.end_row(task.attempt_id, "cancelled", error=failure.to_json())
            self._ends.cancel(task.key)
        else:
            self._settle_failure(planned, task, failure)

    def _settle_failure(self, planned: PlannedStep, task: Task, failure: Failure) -> None:
        failures = self.journal.steps[task.key].failures + 1
        again = retry_at(planned.retry, failure, failures, self.now, self._jitter())
        error = self.journal.redactor.value(failure.to_json())
        self._ends.end_row(task.attempt_id, "failed", error=error, retry_at=again)
        self.journal.change(task.key, failures=failures)
        if again is None:
            self._ends.fail(task.key, error)
            return
        self.journal.change(
            task.key,
            status=StepStatus.WAITING,
            available_at=again,
            error=error,
            interruptions=0,
            rest={"wait_reason": "retry"},
        )
        self._ends.tell_failure(task.key, error, will_retry=True)

    # ── runs that steps start ────────────────────────────────────────────────────────────────────

    def _start_run(self, task: Task) -> None:
        """Start a run in the transaction of its step; the step then waits for it, or is done."""
        journal = self.journal
        step_id = journal.step_id(task.key)
        run_id = child_run_id(step_id, task.index, task.number)
        try:
            if journal.claimed.hops >= limits.MAX_DEPTH:
                raise PermanentError(
                    "too_deep", f"{limits.MAX_DEPTH} runs lie behind this one: is it a loop?"
                )
            assert self._launch is not None  # noqa: S101 - see attempts.prepared
            self._launch(journal, run_id, step_id, task.inputs)
        except XynError as error:
            code = error.failure_code if isinstance(error, StepError) else error.code
            failure = Failure(code, error.message, temporary=False, details=error.details)
            self.settle(Outcome(task, None, failure), stopped=False)
            return
        journal.log(self.now, f"started run {run_id}", step=task.key)
        if task.inputs.get("wait", True):
            self._await(task, {"run_id": str(run_id), "status": str(RunStatus.CREATED)})
        else:
            self.settle(Outcome(task, {"run_id": str(run_id)}, None), stopped=False)

    def _await(self, task: Task, awaited: dict[str, Any]) -> None:
        timeout = self._planned(task.key).timeout
        until = None if timeout is None else self.now + dt.timedelta(seconds=timeout)
        changes = {"status": StepStatus.WAITING, "awaited": awaited, "available_at": until}
        if task.index is None:
            self.journal.change(task.key, rest={"wait_reason": "run"}, **changes)
            return
        item = item_of(self.journal, task.key, task.index)
        set_item(self.journal, task.key, item.model_copy(update=changes))

    def _return(self, key: str, index: int | None) -> None:
        """Take in how the run ended that a step waited for, or that it took too long."""
        planned, view = self._planned(key), self.journal.steps[key]
        awaited, number = view.awaited, view.attempt
        if index is not None:
            item = item_of(self.journal, key, index)
            awaited, number = item.awaited, item.attempt
            set_item(
                self.journal, key, item.model_copy(update={"awaited": None, "available_at": None})
            )
        else:
            self.journal.change(key, awaited=None, available_at=None)
        assert awaited is not None  # noqa: S101 - decide asks only of steps that wait
        failure = None
        if not has_ended(awaited):
            self.journal.changes.cancels.append(uuid.UUID(awaited["run_id"]))
            message = f"run {awaited['run_id']} took longer than the step may, and was cancelled"
            failure = Failure("timeout", message, temporary=True)
        elif awaited["status"] != RunStatus.COMPLETED:
            error: dict[str, Any] = awaited.get("error") or {"message": "it has no outputs"}
            if error.get("code") == _SUB_RUN_FAILED:
                # Of a run within a run within this one: what was wrong there, and no story of it.
                error = error["details"]["error"]
            failure = Failure(
                _SUB_RUN_FAILED,
                f"run {awaited['run_id']} ended {awaited['status']}: {error.get('message')}",
                temporary=False,
                details={"run_id": awaited["run_id"], "status": awaited["status"], "error": error},
            )
        outputs = {name: awaited.get(name) for name in ("run_id", "status", "outputs")}
        task = self._attempts.task(planned, index, number, {})
        self.settle(Outcome(task, None if failure else outputs, failure), stopped=False)

    # ── items of a foreach ───────────────────────────────────────────────────────────────────────

    def _end_item(
        self,
        planned: PlannedStep,
        index: int,
        attempt_id: uuid.UUID,
        outputs: Any,  # noqa: ANN401 - any JSON value
        failure: Failure | None,
        *,
        final: bool = False,
    ) -> None:
        item = item_of(self.journal, planned.key, index)
        if failure is None:
            outputs = self.journal.redactor.value(outputs)
            self._ends.end_row(attempt_id, "completed", outputs=outputs)
            done = {"status": StepStatus.COMPLETED, "outputs": outputs, "error": None}
            set_item(self.journal, planned.key, item.model_copy(update=done))
            return
        failures = item.failures + 1
        again = (
            None if final else retry_at(planned.retry, failure, failures, self.now, self._jitter())
        )
        error = self.journal.redactor.value(failure.to_json())
        self._ends.end_row(attempt_id, "failed", error=error, retry_at=again)
        changes = {
            "status": StepStatus.FAILED if again is None else StepStatus.WAITING,
            "failures": failures,
            "available_at": again,
            "error": error,
        }
        set_item(self.journal, planned.key, item.model_copy(update=changes))
        self.journal.log(self.now, f"item {index} failed: {failure.message}", step=planned.key)


def _asked(outcome: Outcome) -> dict[str, Any] | None:
    """Whom an attempt asked, where it asked a model."""
    dims = next((u.dims for u in outcome.footprints if u.metric == "request_count"), {})
    found = {name: dims[name] for name in ("provider", "model") if name in dims}
    return found or None
