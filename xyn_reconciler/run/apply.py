"""Apply decisions and outcomes to a journal: the one place where both become changes.

Thin: each decision has one method, named after it. Transforms are executed
here, being pure; every other step becomes a :class:`Task` with its intent in
the journal, for the worker to launch after its commit.
"""

import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from xyn_reconciler.action.context import Action
from xyn_reconciler.desired.expression import ExpressionError, render_value
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError, StepError, XynError
from xyn_reconciler.model.internal_events import (
    GateApproved,
    GateRejected,
    GateRequested,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunWaiting,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepInterrupted,
    StepSkipped,
    StepStarted,
)
from xyn_reconciler.model.run import (
    GateApprovals,
    ItemView,
    PlannedStep,
    RunStatus,
    StepStatus,
    digest,
)
from xyn_reconciler.run import decisions as decided
from xyn_reconciler.run import limits, sub_run
from xyn_reconciler.run.compile import mismatch
from xyn_reconciler.run.decide import expression_failure, foreach_items, has_ended
from xyn_reconciler.run.effect import effect
from xyn_reconciler.run.execute import Outcome, Task
from xyn_reconciler.run.given import given
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.run.retry import Failure, retry_at
from xyn_reconciler.run.scope import item_scope, scope
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.claims import NO_REST, child_run_id
from xyn_reconciler.store.json_text import storable


class Application:
    """What one turn does to one journal."""

    def __init__(
        self,
        journal: Journal,
        now: dt.datetime,
        *,
        worker: str,
        actions: Mapping[str, Action],
        artifacts: ArtifactStore,
        jitter: Callable[[], float],
        launch: Callable[[Journal, uuid.UUID, uuid.UUID, Mapping[str, Any]], None] | None,
    ) -> None:
        """``launch`` starts a run (its id, the step's, the step's inputs) in this transaction."""
        self.journal = journal
        self.now = now
        self.tasks: list[Task] = []
        """To be launched after the commit, their intents being in the journal."""
        self._worker = worker
        self._actions = actions
        self._artifacts = artifacts
        self._jitter = jitter
        self._launch = launch

    def apply(self, decision: decided.Decision) -> None:  # noqa: C901, PLR0912 - one case a decision
        """Make one decision come true; a :class:`Signal` is the worker's."""
        match decision:
            case decided.Start(key, items):
                self._start(key, items)
            case decided.Skip(key, reason):
                self._skip(key, reason)
            case decided.Complete(key, outputs):
                self._complete(key, outputs)
            case decided.Fail(key, error, outputs):
                self._fail(key, error, outputs)
            case decided.OpenGate(key):
                self._open_gate(key)
            case decided.ExpireGate(key, verdict):
                self._expire_gate(key, verdict)
            case decided.Interrupt():
                self._interrupt(decision)
            case decided.Resolve(key, resolution):
                self._resolve(key, resolution)
            case decided.Return(key, index):
                self._return(key, index)
            case decided.Cancel(key):
                self._cancel(key)
            case decided.BeginFailure(error):
                self._begin_failure(error)
            case decided.Wait():
                self._wait(decision)
            case decided.Finish():
                self._finish(decision)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────

    def _planned(self, key: str) -> PlannedStep:
        return self.journal.planned[key]

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
        self._settle_items(key)

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
                self._took(planned.key, time.perf_counter() - began)
                self._complete(planned.key, outputs)
                return
            inputs, key = self._prepared(planned, roots)
        except ExpressionError as error:
            self._fail(planned.key, expression_failure(error))
            return
        self.journal.change(planned.key, rest={"inputs": self.journal.redactor.value(inputs)})
        number = self.journal.steps[planned.key].attempt
        self._intend(planned, None, number, inputs, key)

    def _start_item(self, planned: PlannedStep, roots: Mapping[str, Any], index: int) -> None:
        journal = self.journal
        if journal.steps[planned.key].status is not StepStatus.RUNNING:
            self._begin(planned)
        item = self._item(planned.key, index)
        number = item.attempt + 1
        self._set_item(
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
                task = self._row(planned, index, number, None)
                self._end_item(planned, index, task, outputs, None)
                return
            inputs, key = self._prepared(planned, roots)
        except ExpressionError as error:
            task = self._row(planned, index, number, None)
            failure = Failure(error.failure_code, error.message, temporary=False)
            self._end_item(planned, index, task, None, failure, final=True)
            return
        self._intend(planned, index, number, inputs, key)

    def _prepared(
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
        if name == sub_run.NAME and self._launch is not None:
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

    def _intend(
        self,
        planned: PlannedStep,
        index: int | None,
        number: int,
        inputs: dict[str, Any],
        idempotency_key: str | None,
    ) -> None:
        self._row(planned, index, number, idempotency_key)
        task = self._task(planned, index, number, inputs, idempotency_key)
        if planned.action == sub_run.NAME:
            self._start_run(task)
            return
        self.tasks.append(task)
        where = "" if index is None else f", item {index}"
        self.journal.log(self.now, f"attempt {number}{where} began", step=planned.key)

    def _task(
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

    def _row(
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

    def _skip(self, key: str, reason: str) -> None:
        self.journal.end(key, StepStatus.SKIPPED, self.now)
        self.journal.tell_step(StepSkipped, key, self.now, reason=reason)
        self.journal.log(self.now, f"skipped: {reason}", step=key)

    def _took(self, key: str, seconds: float) -> None:
        self.journal.use(key, "wall_ms", round(seconds * 1000, 3), "ms", self.now)

    def _count(self, key: str) -> None:
        self.journal.use(key, "step.count", 1, "count", self.now)

    def _complete(self, key: str, outputs: Any) -> None:  # noqa: ANN401 - any JSON value
        self._count(key)
        outputs = self.journal.redactor.value(outputs)
        self.journal.end(key, StepStatus.COMPLETED, self.now, outputs=outputs)
        self.journal.tell_step(StepCompleted, key, self.now)
        self.journal.log(self.now, "completed", step=key)

    def _fail(self, key: str, error: dict[str, Any], outputs: Any = None) -> None:  # noqa: ANN401 - any JSON value
        self._count(key)
        error = self.journal.redactor.value(error)
        outputs = self.journal.redactor.value(outputs)
        self.journal.end(key, StepStatus.FAILED, self.now, outputs=outputs, error=error)
        self._tell_failure(key, error, will_retry=False)

    def _tell_failure(self, key: str, error: Mapping[str, Any], *, will_retry: bool) -> None:
        self.journal.tell_step(
            StepFailed,
            key,
            self.now,
            code=str(error["code"]),
            message=str(error["message"]),
            will_retry=will_retry,
        )
        again = "; it will be tried again" if will_retry else ""
        self.journal.log(self.now, f"failed: {error['code']}: {error['message']}{again}", step=key)

    def _cancel(self, key: str) -> None:
        self._cancel_runs_of(key)
        self.journal.end(key, StepStatus.CANCELLED, self.now)
        self.journal.tell_step(StepCancelled, key, self.now)
        self.journal.log(self.now, "cancelled", step=key)

    def _resolve(self, key: str, resolution: str) -> None:
        self.journal.log(self.now, f"a person chose: {resolution}", step=key)
        self.journal.change(key, resolution=None, rest={"wait_reason": None})
        if resolution == "retry":
            self.journal.change(key, status=StepStatus.CREATED, interruptions=0)
        elif resolution == "done":
            self._complete(key, None)
        else:
            self._fail(key, {"code": "interrupted", "message": "a person gave this step up"})

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
        self._took(task.key, outcome.seconds)
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
            self._settle_items(task.key)
        elif failure is None:
            self._end_row(task.attempt_id, "completed", outputs=outcome.outputs)
            self._complete(task.key, outcome.outputs)
        elif stopped:
            self._end_row(task.attempt_id, "cancelled", error=failure.to_json())
            self._cancel(task.key)
        else:
            self._settle_failure(planned, task, failure)

    def _settle_failure(self, planned: PlannedStep, task: Task, failure: Failure) -> None:
        failures = self.journal.steps[task.key].failures + 1
        again = retry_at(planned.retry, failure, failures, self.now, self._jitter())
        error = self.journal.redactor.value(failure.to_json())
        self._end_row(task.attempt_id, "failed", error=error, retry_at=again)
        self.journal.change(task.key, failures=failures)
        if again is None:
            self._fail(task.key, error)
            return
        self.journal.change(
            task.key,
            status=StepStatus.WAITING,
            available_at=again,
            error=error,
            interruptions=0,
            rest={"wait_reason": "retry"},
        )
        self._tell_failure(task.key, error, will_retry=True)

    def _end_row(
        self,
        attempt_id: uuid.UUID,
        status: str,
        *,
        outputs: Any = None,  # noqa: ANN401 - any JSON value
        error: dict[str, Any] | None = None,
        retry_at: dt.datetime | None = None,
    ) -> None:
        if error is not None and retry_at is not None:
            error = error | {"retry_at": retry_at.isoformat()}
        self.journal.changes.finished.append(
            {
                "attempt_id": attempt_id,
                "status": status,
                "completed_at": self.now,
                "outputs": self.journal.redactor.value(outputs),
                "error": self.journal.redactor.value(error),
            }
        )

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
            assert self._launch is not None  # noqa: S101 - see _spec
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
        if task.index is None:
            changes = {"status": StepStatus.WAITING, "awaited": awaited}
            self.journal.change(task.key, **changes, rest={"wait_reason": "run"})
            return
        item = self._item(task.key, task.index)
        changes = {"status": StepStatus.WAITING, "awaited": awaited}
        self._set_item(task.key, item.model_copy(update=changes))

    def _return(self, key: str, index: int | None) -> None:
        """Take in how the run ended that a step waited for."""
        planned, view = self._planned(key), self.journal.steps[key]
        awaited, number = view.awaited, view.attempt
        if index is not None:
            item = self._item(key, index)
            awaited, number = item.awaited, item.attempt
            self._set_item(key, item.model_copy(update={"awaited": None}))
        else:
            self.journal.change(key, awaited=None)
        assert awaited is not None  # noqa: S101 - decide asks only of steps that wait
        failure = None
        if awaited["status"] != RunStatus.COMPLETED:
            reason = (awaited.get("error") or {}).get("message", "it has no outputs")
            failure = Failure(
                "sub_run_failed",
                f"run {awaited['run_id']} ended {awaited['status']}: {reason}",
                temporary=False,
                details={name: awaited.get(name) for name in ("run_id", "status", "error")},
            )
        outputs = {name: awaited.get(name) for name in ("run_id", "status", "outputs")}
        task = self._task(planned, index, number, {})
        self.settle(Outcome(task, None if failure else outputs, failure), stopped=False)

    def _cancel_runs_of(self, key: str) -> None:
        view = self.journal.steps[key]
        awaited = [view.awaited, *(item.awaited for item in view.items or ())]
        self.journal.changes.cancels += [
            uuid.UUID(one["run_id"]) for one in awaited if one is not None and not has_ended(one)
        ]

    # ── items of a foreach ───────────────────────────────────────────────────────────────────────

    def _item(self, key: str, index: int) -> ItemView:
        items = self.journal.steps[key].items or ()
        return next((item for item in items if item.index == index), ItemView(index=index))

    def _set_item(self, key: str, item: ItemView) -> None:
        others = {one.index: one for one in self.journal.steps[key].items or ()}
        items = others | {item.index: item}
        self.journal.change(key, items=tuple(items[index] for index in sorted(items)))

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
        item = self._item(planned.key, index)
        if failure is None:
            outputs = self.journal.redactor.value(outputs)
            self._end_row(attempt_id, "completed", outputs=outputs)
            done = {"status": StepStatus.COMPLETED, "outputs": outputs, "error": None}
            self._set_item(planned.key, item.model_copy(update=done))
            return
        failures = item.failures + 1
        again = (
            None if final else retry_at(planned.retry, failure, failures, self.now, self._jitter())
        )
        error = self.journal.redactor.value(failure.to_json())
        self._end_row(attempt_id, "failed", error=error, retry_at=again)
        changes = {
            "status": StepStatus.FAILED if again is None else StepStatus.WAITING,
            "failures": failures,
            "available_at": again,
            "error": error,
        }
        self._set_item(planned.key, item.model_copy(update=changes))
        self.journal.log(self.now, f"item {index} failed: {failure.message}", step=planned.key)

    def _settle_items(self, key: str) -> None:
        """With no item under way the step waits: for a retry, or to be looked at at once."""
        items = self.journal.steps[key].items or ()
        if any(item.status is StepStatus.RUNNING for item in items):
            return
        awaits = any(item.awaited for item in items)
        retries = [item.available_at for item in items if item.available_at is not None]
        self.journal.change(
            key,
            status=StepStatus.WAITING,
            available_at=min(retries, default=None),
            rest={"wait_reason": "run" if awaits else "retry"},
        )

    # ── gates ────────────────────────────────────────────────────────────────────────────────────

    def _open_gate(self, key: str) -> None:
        planned, journal = self._planned(key), self.journal
        shown = journal.redactor.value(effect(journal.plan, journal.run, journal.steps, key))
        effect_digest = journal.effect_digests[key] = digest(shown)
        approvals = planned.approvals or GateApprovals()
        expires_at = (
            None if planned.timeout is None else self.now + dt.timedelta(seconds=planned.timeout)
        )
        journal.changes.opened.append(
            {
                "step_id": journal.step_id(key),
                "run_id": journal.run_id,
                "requested_at": self.now,
                "effect_digest": effect_digest,
                "effect": shown,
                "approvals": approvals.model_dump(mode="json"),
                "form": planned.form,
                "expires_at": expires_at,
                "on_timeout": planned.on_timeout,
            }
        )
        journal.change(
            key,
            status=StepStatus.WAITING,
            expires_at=expires_at,
            rest={"wait_reason": "gate", "started_at": self.now},
        )
        asked = GateRequested(
            key=key,
            blueprint_id=journal.plan.blueprint_id,
            effect_digest=effect_digest,
            min=approvals.min,
            from_any_of=list(approvals.from_any_of),
        )
        journal.tell(asked, self.now, key=key)
        journal.log(
            self.now, f"waits for {approvals.min} of {list(approvals.from_any_of)}", step=key
        )

    def refresh_gates(self) -> None:
        """Ask anew at gates that wait, where what they let through is not what it was.

        Steps beside a gate may end while it waits; an approval of before dies with that.
        """
        journal = self.journal
        waiting = [
            key
            for key, view in journal.steps.items()
            if view.status is StepStatus.WAITING and journal.planned[key].kind == "gate"
        ]
        for key in waiting:
            shown = journal.redactor.value(effect(journal.plan, journal.run, journal.steps, key))
            effect_digest = digest(shown)
            if effect_digest == journal.effect_digests[key]:
                continue
            journal.effect_digests[key] = effect_digest
            seen = {"effect_digest": effect_digest, "effect": shown}
            step_id = journal.step_id(key)
            opened = [row for row in journal.changes.opened if row["step_id"] == step_id]
            if opened:
                opened[0].update(seen)
                continue
            undecided = {"decision": None, "decided_at": None, "decided_because": None}
            journal.changes.changed.append({"step_id": step_id, **seen, **undecided})
            journal.change(key, decision=None, decided_because=None, outputs=None)
            journal.log(self.now, "lets something else through now: asked anew", step=key)

    def _expire_gate(self, key: str, decision: str) -> None:
        journal = self.journal
        journal.changes.decided.append(
            {
                "step_id": journal.step_id(key),
                "decision": decision,
                "decided_at": self.now,
                "decided_because": "timeout",
            }
        )
        outputs: dict[str, Any] = {
            "decision": decision,
            "approvers": [],
            "comment": None,
            "form": None,
        }
        journal.change(key, decision=decision, decided_because="timeout", outputs=outputs)
        common = {
            "key": key,
            "blueprint_id": journal.plan.blueprint_id,
            "effect_digest": journal.effect_digests[key],
        }
        if decision == "approved":
            journal.tell(GateApproved(**common, approvers=[]), self.now, key=key)
        else:
            journal.tell(GateRejected(**common, by=None), self.now, key=key)
        journal.log(self.now, f"nobody decided in time: {decision}", step=key)

    # ── the run ──────────────────────────────────────────────────────────────────────────────────

    def _begin_failure(self, error: dict[str, Any]) -> None:
        # What on_failure does has limits of its own; the run's time is over or does not matter.
        self.journal.set_run(error=self.journal.redactor.value(error), deadline_at=None)
        self.journal.log(self.now, f"the run has failed: {error['code']}: {error['message']}")

    def _wait(self, wait: decided.Wait) -> None:
        journal = self.journal
        same = journal.claimed.status is RunStatus.WAITING and journal.changes.quiet
        journal.set_run(
            RunStatus.WAITING,
            wait_reason=wait.reason,
            available_at=wait.until,
            waiting_since=self.now if wait.for_people else None,
        )
        if not same:
            journal.tell(
                RunWaiting(
                    blueprint_id=journal.plan.blueprint_id, reason=wait.reason, step=wait.step
                ),
                self.now,
            )
            journal.log(self.now, f"waits: {wait.reason}", step=wait.step)
            journal.keep_log(self._artifacts, self.now)
            journal.changes.record = True
        # What was due before and is not any more has to be written.
        due_at = journal.claimed.available_at
        journal.unchanged = same and (due_at is None or due_at > self.now)
        journal.give_back()

    def _finish(self, finish: decided.Finish) -> None:
        journal = self.journal
        outputs = journal.redactor.value(finish.outputs)
        journal.set_run(
            finish.status,
            outputs=outputs,
            error=finish.error,
            warnings=finish.warnings,
            completed_at=self.now,
            wait_reason=None,
            available_at=None,
            waiting_since=None,
        )
        blueprint_id = journal.plan.blueprint_id
        if finish.status is RunStatus.COMPLETED:
            told = RunCompleted(blueprint_id=blueprint_id, warnings=finish.warnings)
            journal.tell(told, self.now)
        elif finish.status is RunStatus.CANCELLED:
            by = journal.cancelled_by or "system"
            journal.tell(RunCancelled(blueprint_id=blueprint_id, by=by), self.now)
        else:
            error = finish.error or {}
            journal.tell(
                RunFailed(
                    blueprint_id=blueprint_id,
                    code=str(error.get("code")),
                    message=str(error.get("message")),
                    step=error.get("step"),
                ),
                self.now,
            )
        journal.log(self.now, f"the run has ended: {finish.status}")
        journal.keep_log(self._artifacts, self.now)
        journal.changes.record = True
        journal.give_back()
