"""A run in its worker's hand: what is known of it, and what is not written yet.

The worker changes the journal, :meth:`Journal.write` puts all changes into the
:class:`~xyn_reconciler.store.turns.Turn` that one transaction saves: the run,
its steps and tries, gates, what was used up; events are handed out beside it.
Nothing here touches a database, so a turn that could not be committed is taken
back by :meth:`Journal.restore` and done again.

The trap: outputs, errors and inputs are redacted when they come in, not when
they are written. A later step sees what a worker after a crash would see.
"""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from xyn_reconciler.action import sub_run
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.event import Event
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
    PlannedStep,
    RunStatus,
    StepStatus,
    StepView,
    step_id,
)
from xyn_reconciler.run import limits
from xyn_reconciler.run.execute import Redactor
from xyn_reconciler.run.run_log import RunLog, Stored, log_artifact_id
from xyn_reconciler.run.scope import RunView
from xyn_reconciler.store.claims import Claimed, Held
from xyn_reconciler.store.json_rows import Row
from xyn_reconciler.store.news import News
from xyn_reconciler.store.stories import NO_REST, Story
from xyn_reconciler.store.turns import Turn


@dataclasses.dataclass(slots=True)
class _Changes:
    """What the next commit brings."""

    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    steps: set[str] = dataclasses.field(default_factory=set)
    begun: list[Row] = dataclasses.field(default_factory=list)
    finished: list[Row] = dataclasses.field(default_factory=list)
    opened: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    cancels: list[uuid.UUID] = dataclasses.field(default_factory=list)
    """Runs that this one started and that are to end with it."""
    decided: list[Row] = dataclasses.field(default_factory=list)
    changed: list[Row] = dataclasses.field(default_factory=list)
    kept: list[Row] = dataclasses.field(default_factory=list)
    events: list[Event] = dataclasses.field(default_factory=list)
    record: bool = False
    log: bool = False
    """Whether the log so far is to be stored before this is written."""

    @property
    def quiet(self) -> bool:
        """Whether nothing at all happened, but that the run was looked at."""
        return not (self.steps or self.begun or self.finished or self.events)


class Journal:
    """One claim of one run, from its taking up until it is given back."""

    def __init__(
        self, claimed: Claimed, plan: ExecutionPlan, story: Story | None, redactor: Redactor
    ) -> None:
        """Without a ``story`` no step has one: the run was just created."""
        self.claimed = claimed
        self.plan = plan
        self.redactor = redactor
        self.planned: dict[str, PlannedStep] = {
            step.key: step for step in (*plan.steps, *plan.on_failure)
        }
        self.run = RunView(
            run_id=claimed.run_id,
            revision=claimed.revision,
            actor=claimed.actor,
            inputs=claimed.inputs,
            key_run_id=claimed.key_run_id,
            repeats=claimed.origin_run_id is not None,
            event=claimed.event,
            status=claimed.status,
            error=claimed.error,
            deadline_at=claimed.deadline_at,
            cancel_requested=claimed.cancel_requested_at is not None,
        )
        self.cancelled_by = claimed.cancelled_by
        self.steps: dict[str, StepView] = (
            {key: StepView(key=key) for key in self.planned}
            if story is None
            else {key: _with_ends(self.planned[key], view) for key, view in story.views.items()}
        )
        self.rest: dict[str, dict[str, Any]] = {} if story is None else story.rest
        """What stands in a step's row beside its view; see :data:`store.stories.NO_REST`."""
        self.effect_digests: dict[str, str] = {} if story is None else dict(story.effect_digests)
        """Of the gates that wait, by step key."""
        self.over = False
        """Whether the run has ended or is given back: nothing more may be written."""
        self.unchanged = False
        """Whether the run waits again for just what it had waited for."""
        self.changes = _Changes()
        self._row: dict[str, Any] = {
            name: getattr(claimed, name)
            for name in (
                "status",
                "wait_reason",
                "started_at",
                "deadline_at",
                "available_at",
                "waiting_since",
                "error",
                "warnings",
                "concurrency_key",
            )
        } | {"outputs": None, "completed_at": None}
        self._alone = (
            plan.concurrency is None
            and claimed.parent_step_id is None
            and not any(step.action == sub_run.NAME for step in self.planned.values())
        )
        self._step_ids: dict[str, uuid.UUID] = {}
        before = None if story is None else story.log
        self.lines = RunLog(claimed.run_id, claimed.correlation_id, redactor, before)
        self._used: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._kept = self._state()

    @property
    def run_id(self) -> uuid.UUID:
        return self.claimed.run_id

    @property
    def concurrency_key(self) -> str | None:
        """What it shares a limit with other runs by."""
        key: str | None = self._row["concurrency_key"]
        return key

    def step_id(self, key: str) -> uuid.UUID:
        found = self._step_ids.get(key)
        if found is None:
            found = self._step_ids[key] = step_id(self.run_id, key)
        return found

    def restore(self) -> None:
        """Forget everything since the last :meth:`settle`: its transaction came to nothing."""
        steps, rest, self.run, self.cancelled_by, row, used, seen, lines, self.over = self._kept
        self.steps, self.rest, self._row = dict(steps), dict(rest), dict(row)
        self._used, self.effect_digests = dict(used), dict(seen)
        self.lines.cut(lines)
        self.changes = _Changes()

    def settle(self) -> None:
        """Take what was written for good: its transaction is committed."""
        self.changes = _Changes()
        self._kept = self._state()

    def _state(self) -> tuple[Any, ...]:
        return (
            dict(self.steps),
            dict(self.rest),
            self.run,
            self.cancelled_by,
            dict(self._row),
            dict(self._used),
            dict(self.effect_digests),
            len(self.lines),
            self.over,
        )

    # ── changes ──────────────────────────────────────────────────────────────────────────────────

    def set_run(self, status: RunStatus | None = None, **values: Any) -> None:  # noqa: ANN401 - columns
        """Change columns of the run; a status only as :data:`RUN_CHANGES` allows."""
        if status is not None and status is not self.run.status:
            if status not in RUN_CHANGES[self.run.status]:
                raise ValueError(f"a run that is {self.run.status} cannot become {status}")
            values["status"] = status
        self._row |= values
        self.changes.run |= values
        seen = {name: values[name] for name in ("status", "error", "deadline_at") if name in values}
        if seen:
            self.run = dataclasses.replace(self.run, **seen)

    def set_going(self, now: dt.datetime) -> None:
        """Make a run that was created or waited a running one; the first change does this."""
        claimed = self.claimed
        if claimed.started_at is None:
            seconds = limits.run_timeout(self.plan.node, self.plan.timeout)
            self.set_run(started_at=now, deadline_at=now + dt.timedelta(seconds=seconds))
            self.tell(RunStarted(blueprint_id=self.plan.blueprint_id), now)
            self.use("", "run.count", 1, "count", now)
        elif claimed.waiting_since is not None and claimed.deadline_at is not None:
            # The time it waited for people does not count.
            self.set_run(deadline_at=claimed.deadline_at + (now - claimed.waiting_since))
        if claimed.status is RunStatus.WAITING:
            # Its newest record says that it waits: a rebuild must not take it for waiting still.
            self.changes.record = True
        self.set_run(RunStatus.RUNNING, wait_reason=None, available_at=None, waiting_since=None)

    def put_off(self, by: dt.timedelta) -> None:
        """Give the run that much longer."""
        if self.run.deadline_at is not None:
            self.set_run(deadline_at=self.run.deadline_at + by)

    def next_moment(self) -> dt.datetime | None:
        """When something will be due by itself: a retry, a gate's end, the run's own."""
        moments = [self.run.deadline_at]
        for view in self.steps.values():
            if view.status is StepStatus.WAITING:
                moments += [view.available_at, view.expires_at]
            if view.items:
                moments += [item.available_at for item in view.items]
        return min((moment for moment in moments if moment is not None), default=None)

    def change(self, key: str, *, rest: Mapping[str, Any] | None = None, **changes: Any) -> None:  # noqa: ANN401 - fields of a view
        """Change a step: fields of its view, and what stands beside them in its row."""
        if changes:
            self.steps[key] = self.steps[key].model_copy(update=changes)
        if rest:
            self.rest[key] = {**self.rest.get(key, NO_REST), **rest}
        self.changes.steps.add(key)

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
            rest={"wait_reason": None, "completed_at": now},
        )
        for other, view in self.steps.items():
            if view.interruptions and not view.status.ended:
                self.change(other, interruptions=0)

    def learn(self, held: Held, news: News) -> None:
        """Take over what people did meanwhile."""
        if held.cancel_requested_at is not None and not self.run.cancel_requested:
            self.run = dataclasses.replace(self.run, cancel_requested=True)
            self.cancelled_by = held.cancelled_by
        for key, gate in news.gates.items():
            self.steps[key] = self.steps[key].model_copy(update=gate.changes)
        for key, resolution in news.resolutions.items():
            self.steps[key] = self.steps[key].model_copy(update={"resolution": resolution})
        for key, view in self.steps.items() if news.children else ():
            self.steps[key] = _with_children(view, news.children)

    @property
    def stands_alone(self) -> bool:
        """Whether what it does next concerns no other run, and nobody can have changed it.

        But for a cancel, and a claim that was lost: those are found out in writing. What was
        changed before a turn would be taken back with it, so then it does not.
        """
        return (
            self._alone
            and not self.changes.run
            and not self.run.cancel_requested
            and not self.listens()
        )

    def listens(self) -> bool:
        """Whether people or other runs may have changed something that it waits for."""
        return any(
            view.status is StepStatus.INTERRUPTED
            or (view.status is StepStatus.WAITING and view.available_at is None)
            for view in self.steps.values()
        )

    # ── telling ──────────────────────────────────────────────────────────────────────────────────

    def tell(
        self,
        data: EventData,
        now: dt.datetime,
        *,
        key: str | None = None,
        resource: uuid.UUID | None = None,
    ) -> None:
        """Emit one of the platform's events about the run, a step of it, or what that left."""
        step = None if key is None else self.step_id(key)
        self.changes.events.append(
            internal_event(
                data,
                resource_id=str(resource or step or self.run_id),
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
        attempt = self.steps[key].attempt
        self.tell(kind(key=key, kind=self.planned[key].kind, attempt=attempt, **more), now, key=key)

    def use(
        self,
        key: str,
        metric: str,
        quantity: float,
        unit: str,
        now: dt.datetime,
        *,
        dims: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what a step (or, with an empty key, the run) used up.

        Written when the claim ends, one row a metric, step and model: what a worker
        that dies had noted is lost with it (seed 5.3.2: best effort). Numbers in
        ``dims`` are parts of the quantity, and add up as it does.
        """
        kind, ref = _source(self.planned[key]) if key else ("blueprint", self.plan.blueprint_id)
        if dims is not None and "provider" in dims:
            ref = f"{dims['provider']}/{dims['model']}"
        before = self._used.get((key, metric, ref))
        if before is not None:
            quantity += before["quantity"]
            dims = _added(before["dims"], dims)
        self._used[key, metric, ref] = {
            "run_id": self.run_id,
            "key": key,
            "metric": metric,
            "source_kind": kind,
            "source_ref": ref,
            "quantity": quantity,
            "unit": unit,
            "class": "informational",
            "dims": dims,
            "occurred_at": now,
        }

    def log(self, now: dt.datetime, message: str, *, step: str | None = None) -> None:
        """Add a line to the run's log."""
        self.lines.add(now, step, message)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def hand_over(self, now: dt.datetime, under_way: Sequence[uuid.UUID]) -> None:
        """Give a run that goes on to whoever takes it up next, with attempts that did not end."""
        for attempt_id in under_way:
            self.changes.finished.append(
                {
                    "attempt_id": attempt_id,
                    "status": "interrupted",
                    "completed_at": now,
                    "outputs": None,
                    "error": None,
                }
            )
        self.set_run(available_at=now)
        self.give_back()

    @property
    def to_be_written(self) -> bool:
        """Whether there is a change; a run that was only looked at is left as it was."""
        return not self.changes.quiet or (bool(self.changes.run) and not self.unchanged)

    def give_back(self) -> None:
        """End the claim with the next write."""
        self.over = True

    def write(self, turn: Turn, now: dt.datetime, *, worker: str, lease: dt.timedelta) -> None:
        """Put every change into a turn; the caller holds the run's row and commits."""
        changes = self.changes
        if changes.run or self.over:
            turn.runs.append(
                {
                    "run_id": self.run_id,
                    **self._row,
                    "attempt": self.claimed.attempt,
                    "leased_by": None if self.over else worker,
                    "leased_until": None if self.over else now + lease,
                }
            )
        # In one order everywhere: two transactions never wait for one another.
        turn.steps += [self._step_row(key) for key in self.planned if key in changes.steps]
        turn.begun += changes.begun
        turn.finished += changes.finished
        turn.opened += changes.opened
        turn.decided += changes.decided
        turn.changed += changes.changed
        turn.kept += changes.kept
        if self.over:
            turn.footprints += self._used.values()
        if changes.record:
            turn.recorded.append({"kind": "run", "subject": self.run_id, "created_at": now})

    def keep(self, artifact: Artifact, now: dt.datetime, *, key: str) -> None:
        """Note what a step kept, and tell of it."""
        row = dataclasses.asdict(artifact)
        self.changes.kept.append(row)
        common = {"name": artifact.name, "kind": artifact.kind}
        told = (
            ArtifactCreated(
                **common, sha256=artifact.sha256 or "", byte_length=artifact.byte_length or 0
            ),
            ArtifactAttached(**common, run_id=str(self.run_id), step_id=str(self.step_id(key))),
        )
        for data in told:
            self.tell(data, now, key=key, resource=artifact.artifact_id)

    def keep_log(self, stored: Stored, now: dt.datetime) -> None:
        """Make the stored log the run's artifact; every step of it points there (seed 32.1)."""
        sha256, length = stored
        artifact_id = log_artifact_id(self.run_id)
        self.changes.kept.append(
            {
                "artifact_id": artifact_id,
                "name": f"run-{self.run_id}.ndjson",
                "kind": "log",
                "content_type": "application/x-ndjson",
                "byte_length": length,
                "created_at": now,
                "created_by": "system",
                "run_id": self.run_id,
                "step_id": None,
                "sha256": sha256,
                "metadata": {},
            }
        )
        for key, view in self.steps.items():
            begun = view.attempt or view.status is not StepStatus.CREATED
            if begun and self.rest.get(key, NO_REST)["logs_artifact_id"] is None:
                self.change(key, rest={"logs_artifact_id": artifact_id})

    def _step_row(self, key: str) -> dict[str, Any]:
        view = self.steps[key]
        return {
            "step_id": self.step_id(key),
            "status": view.status,
            "attempt": view.attempt,
            "interruptions": view.interruptions,
            "available_at": view.available_at,
            "outputs": view.outputs,
            "error": view.error,
            "resolution": view.resolution,
            **self.rest.get(key, NO_REST),
        }


def _with_children(view: StepView, children: Mapping[str, dict[str, Any]]) -> StepView:
    if view.awaited is not None:
        return view.model_copy(update={"awaited": _newer(view.awaited, children)})
    if any(item.awaited for item in view.items or ()):
        items = tuple(
            item.model_copy(update={"awaited": _newer(item.awaited, children)})
            if item.awaited
            else item
            for item in view.items or ()
        )
        return view.model_copy(update={"items": items})
    return view


def _with_ends(step: PlannedStep, view: StepView) -> StepView:
    """Give each item that waits for a run the moment until which it may."""
    if step.timeout is None or not any(item.awaited for item in view.items or ()):
        return view
    longest = dt.timedelta(seconds=step.timeout)
    items = tuple(
        item.model_copy(update={"available_at": item.awaited["created_at"] + longest})
        if item.awaited
        else item
        for item in view.items or ()
    )
    return view.model_copy(update={"items": items})


def _newer(awaited: dict[str, Any], children: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return children.get(awaited["run_id"], awaited)


def _added(
    before: Mapping[str, Any] | None, dims: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    if before is None or dims is None:
        return dims
    return {**before, **dims} | {
        name: before[name] + value
        for name, value in dims.items()
        if type(value) is int and type(before.get(name)) is int
    }


def _source(step: PlannedStep) -> tuple[str, str]:
    """Name what used something up: by kind and, in it, by what rollups are made of."""
    if step.kind == "action_task":
        return step.kind, str(step.action)
    if step.kind == "agent_task":
        asked = step.model if step.provider is None else f"{step.provider}/{step.model}"
        return step.kind, str(asked)
    return step.kind, step.key
