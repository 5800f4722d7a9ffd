"""A run in its worker's hand: what is known of it, and what is not written yet.

The worker changes the journal, :meth:`Journal.write` writes all changes in the
caller's transaction: the run, its steps and tries, the events that tell of
them, the outbox. Between two writes nothing outside this process knows of a
change, so whatever has an effect outside comes after a write.

The trap: outputs, errors and inputs are redacted when they come in, not when
they are written. A later step sees what a worker after a crash would see.
"""

import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final, Protocol

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.event import Event, isoformat
from xyn_reconciler.model.internal_events import (
    ArtifactAttached,
    ArtifactCreated,
    EventData,
    RunStarted,
    internal_event,
)
from xyn_reconciler.model.run import (
    RUN_CHANGES,
    ExecutionPlan,
    RunStatus,
    StepStatus,
    StepView,
    step_id,
)
from xyn_reconciler.run import limits
from xyn_reconciler.run.scope import RunView
from xyn_reconciler.store import claims, notice, outbox
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.claims import Claimed, Held, StepRest
from xyn_reconciler.store.database import Connection

LOG_NAMESPACE: Final = uuid.UUID("0f4b5a3e-5a0f-4f0c-8c53-3d6f7f0b9a21")


class Redactor(Protocol):
    """Takes secrets out of what is stored; ``model.redaction.Redactor`` is one."""

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Give a JSON value without secrets."""
        ...

    def text(self, text: str) -> str:
        """Give a text without secrets."""
        ...


def log_artifact_id(run_id: uuid.UUID) -> uuid.UUID:
    """The id of a run's log: one artifact a run, which grows until the run ends."""
    return uuid.uuid5(LOG_NAMESPACE, str(run_id))


class Journal:
    """One claim of one run, from its taking up until it is given back."""

    def __init__(
        self,
        claimed: Claimed,
        plan: ExecutionPlan,
        event: Event | None,
        steps: dict[str, StepView],
        rest: Mapping[str, StepRest],
        redactor: Redactor,
    ) -> None:
        self.claimed = claimed
        self.plan = plan
        self.steps = steps
        self.redactor = redactor
        self.run = RunView(
            run_id=claimed.run_id,
            revision=claimed.revision,
            actor=claimed.actor,
            inputs=claimed.inputs,
            event=None if event is None else event.envelope(),
            status=claimed.status,
            error=claimed.error,
            deadline_at=claimed.deadline_at,
            cancel_requested=claimed.cancel_requested_at is not None,
        )
        self.cancelled_by = claimed.cancelled_by
        self.columns: dict[str, dict[str, Any]] = {
            key: {
                "wait_reason": one.wait_reason,
                "started_at": one.started_at,
                "completed_at": one.completed_at,
                "logs_artifact_id": one.logs_artifact_id,
                "inputs": one.inputs,
            }
            for key, one in rest.items()
        }
        self.over = False
        """Whether the run has ended or is given back: nothing more may be written."""
        self._kinds = {step.key: step.kind for step in (*plan.steps, *plan.on_failure)}
        self._changed: set[str] = set()
        self._run_values: dict[str, Any] = {}
        self._begun: list[dict[str, Any]] = []
        self._finished: list[dict[str, Any]] = []
        self._events: list[Event] = []
        self._lines: list[str] = []
        self._to_record = False

    @property
    def run_id(self) -> uuid.UUID:
        return self.claimed.run_id

    def step_id(self, key: str) -> uuid.UUID:
        return step_id(self.run_id, key)

    @property
    def untouched(self) -> bool:
        """Whether nothing at all happened since the run was taken up."""
        return not (self._changed or self._events or self._begun or self._finished)

    # ── changes ──────────────────────────────────────────────────────────────────────────────────

    def set_run(self, status: RunStatus | None = None, **values: Any) -> None:  # noqa: ANN401 - columns
        """Change columns of the run; a status only as :data:`RUN_CHANGES` allows."""
        if status is not None and status is not self.run.status:
            if status not in RUN_CHANGES[self.run.status]:
                raise ValueError(f"a run that is {self.run.status} cannot become {status}")
            self._run_values["status"] = str(status)
            self.run = dataclasses.replace(self.run, status=status)
        self._run_values |= values
        seen = {name: values[name] for name in ("error", "deadline_at") if name in values}
        if seen:
            self.run = dataclasses.replace(self.run, **seen)

    def set_going(self, now: dt.datetime) -> None:
        """Make a run that was created or waited a running one; the first change does this."""
        claimed = self.claimed
        if claimed.started_at is None:
            seconds = limits.run_timeout(self.plan.node, self.plan.timeout)
            self.set_run(started_at=now, deadline_at=now + dt.timedelta(seconds=seconds))
            self.tell(RunStarted(blueprint_id=self.plan.blueprint_id), now)
        elif claimed.waiting_since is not None and claimed.deadline_at is not None:
            # The time it waited for people does not count.
            self.set_run(deadline_at=claimed.deadline_at + (now - claimed.waiting_since))
        self.set_run(RunStatus.RUNNING, wait_reason=None, available_at=None, waiting_since=None)

    def next_moment(self) -> dt.datetime | None:
        """When something will be due by itself: a retry, a gate's end, the run's own."""
        moments = [self.run.deadline_at]
        for view in self.steps.values():
            if view.status is StepStatus.WAITING:
                moments += [view.available_at, view.expires_at]
            moments += [item.available_at for item in view.items or ()]
        return min((moment for moment in moments if moment is not None), default=None)

    def change(self, key: str, **changes: Any) -> None:  # noqa: ANN401 - fields of a view, columns
        """Change a step: fields of its view, and columns beside them."""
        columns = self.columns[key]
        for name in [name for name in changes if name in columns]:
            columns[name] = changes.pop(name)
        self.steps[key] = self.steps[key].model_copy(update=changes)
        self._changed.add(key)

    def end(
        self,
        key: str,
        status: StepStatus,
        now: dt.datetime,
        *,
        outputs: Any = None,  # noqa: ANN401 - any JSON value
        error: dict[str, Any] | None = None,
    ) -> None:
        """End a step. Any end clears the interruptions of all others: somebody got somewhere."""
        self.change(
            key,
            status=status,
            outputs=outputs,
            error=error,
            available_at=None,
            interruptions=0,
            wait_reason=None,
            completed_at=now,
        )
        for other, view in self.steps.items():
            if view.interruptions and not view.status.ended:
                self.change(other, interruptions=0)

    def begin_attempt(self, values: dict[str, Any]) -> None:
        self._begun.append(values)

    def finish_attempt(self, values: dict[str, Any]) -> None:
        self._finished.append(values)

    def learn(self, held: Held, gates: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what people did meanwhile."""
        if held.cancel_requested_at is not None and not self.run.cancel_requested:
            self.run = dataclasses.replace(self.run, cancel_requested=True)
            self.cancelled_by = held.cancelled_by
        for key, changes in gates.items():
            self.steps[key] = self.steps[key].model_copy(update=dict(changes))

    # ── telling ──────────────────────────────────────────────────────────────────────────────────

    def tell(self, data: EventData, now: dt.datetime, *, key: str | None = None) -> None:
        """Emit one of the platform's events about the run, or about a step of it."""
        step = None if key is None else self.step_id(key)
        self._events.append(
            internal_event(
                data,
                resource_id=str(step or self.run_id),
                env_id=self.plan.node.env_id,
                now=now,
                correlation_id=self.claimed.correlation_id,
                run_id=self.run_id,
                step_id=step,
                hops=self.claimed.hops,
            )
        )

    def tell_step(self, kind: type[Any], key: str, now: dt.datetime, **more: Any) -> None:  # noqa: ANN401 - fields of the event
        """Emit one of the events that tell of a step's attempt."""
        view = self.steps[key]
        self.tell(kind(key=key, kind=self._kinds[key], attempt=view.attempt, **more), now, key=key)

    def log(self, now: dt.datetime, message: str, *, step: str | None = None) -> None:
        """Add a line to the run's log."""
        line = {
            "at": isoformat(now),
            "run_id": str(self.run_id),
            "step": step,
            "correlation_id": self.claimed.correlation_id,
            "message": self.redactor.text(message),
        }
        self._lines.append(json.dumps(line, ensure_ascii=False) + "\n")

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def write(self, connection: Connection, now: dt.datetime, emit: EmitEvents) -> None:
        """Write every change; the caller holds the run's row and commits."""
        if self._run_values:
            claims.save_run(connection, self.run_id, self._run_values)
        claims.insert_attempts(connection, self._begun)
        claims.finish_attempts(connection, self._finished)
        claims.save_steps(connection, [self._row(key) for key in sorted(self._changed)])
        emit(connection, self._events)
        if self._to_record:
            outbox.put(connection, "run", [self.run_id], now)
        if not self.untouched:
            notice.notify(connection, notice.RUN, str(self.run_id))
        self._run_values, self._begun, self._finished, self._events = {}, [], [], []
        self._changed.clear()
        self._to_record = False

    def give_back(self, **values: Any) -> None:  # noqa: ANN401 - columns
        """End the claim with the next write."""
        self.set_run(leased_by=None, leased_until=None, **values)
        self.over = True

    def record(self) -> None:
        """Ask the committer to record the run as the next write leaves it."""
        self._to_record = True

    def keep_log(self, connection: Connection, store: ArtifactStore, now: dt.datetime) -> None:
        """Store the log so far as the run's artifact; every step of it points there."""
        artifact_id = log_artifact_id(self.run_id)
        before = self._log_before(connection, store, artifact_id)
        content = before + self._new_lines(limits.MAX_LOG - len(before))
        sha256, length = store.put(content, limit=2 * limits.MAX_LOG)
        artifact = Artifact(
            artifact_id=artifact_id,
            name=f"run-{self.run_id}.ndjson",
            kind="log",
            content_type="application/x-ndjson",
            created_at=now,
            created_by="system",
            byte_length=length,
            sha256=sha256,
            run_id=self.run_id,
        )
        if claims.save_log(connection, artifact):
            created = ArtifactCreated(
                name=artifact.name, kind="log", sha256=sha256, byte_length=length
            )
            attached = ArtifactAttached(
                name=artifact.name, kind="log", run_id=str(self.run_id), step_id=None
            )
            self._tell_of_log(created, artifact_id, now)
            self._tell_of_log(attached, artifact_id, now)
        self._lines.clear()
        for key, columns in self.columns.items():
            if columns["logs_artifact_id"] is None and columns["started_at"] is not None:
                self.change(key, logs_artifact_id=artifact_id)

    def _log_before(
        self, connection: Connection, store: ArtifactStore, artifact_id: uuid.UUID
    ) -> bytes:
        if all(columns["logs_artifact_id"] is None for columns in self.columns.values()):
            return b""
        sha256 = claims.log_content(connection, artifact_id)
        if sha256 is None or not store.exists(sha256):
            return b""
        with store.open(sha256) as file:
            return file.read()

    def _new_lines(self, room: int) -> bytes:
        kept: list[bytes] = []
        for number, line in enumerate(self._lines):
            data = line.encode("utf-8", "backslashreplace")
            room -= len(data)
            if room < 0:
                left_out = len(self._lines) - number
                kept.append(f'{{"message": "{left_out} more lines were not kept"}}\n'.encode())
                break
            kept.append(data)
        return b"".join(kept)

    def _tell_of_log(self, data: EventData, artifact_id: uuid.UUID, now: dt.datetime) -> None:
        self._events.append(
            internal_event(
                data,
                resource_id=str(artifact_id),
                env_id=self.plan.node.env_id,
                now=now,
                correlation_id=self.claimed.correlation_id,
                run_id=self.run_id,
                hops=self.claimed.hops,
            )
        )

    def _row(self, key: str) -> dict[str, Any]:
        view = self.steps[key]
        return {
            "step_id": self.step_id(key),
            "status": str(view.status),
            "attempt": view.attempt,
            "interruptions": view.interruptions,
            "available_at": view.available_at,
            "outputs": view.outputs,
            "error": view.error,
            **self.columns[key],
        }
