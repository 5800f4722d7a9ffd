"""Every event that Xyn itself emits, each with its schema.

``docs/reference/events.md`` is made of this list.

An event whose name is not here cannot be emitted: :func:`internal_event` is the
one way to make one.
"""

import datetime as dt
import uuid
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict

from xyn_reconciler.model.event import SYSTEM_ACTOR, Event
from xyn_reconciler.model.ids import new_id


class EventData(BaseModel):
    """The ``data`` of one kind of event; the docstring of each is its line in the reference."""

    model_config = ConfigDict(extra="forbid")
    event_name: ClassVar[str]
    resource_type: ClassVar[str]


class EventReceived(EventData):
    """An event from outside was stored."""

    event_name = "xyn.event.received"
    resource_type = "event"
    name: str
    source: str
    runs: int


class RunCreated(EventData):
    """A run was created and waits for a worker."""

    event_name = "xyn.run.created"
    resource_type = "run"
    blueprint_id: str
    revision: str
    event_id: str | None


class RunStarted(EventData):
    """A worker took up a run for the first time."""

    event_name = "xyn.run.started"
    resource_type = "run"
    blueprint_id: str


class RunWaiting(EventData):
    """A run waits, for people at a gate, a retry's delay, or a word on an interrupted step."""

    event_name = "xyn.run.waiting"
    resource_type = "run"
    blueprint_id: str
    reason: str
    step: str | None


class RunCompleted(EventData):
    """A run ended well; ``warnings`` counts steps that failed under ``continue_on_error``."""

    event_name = "xyn.run.completed"
    resource_type = "run"
    blueprint_id: str
    warnings: int


class RunFailed(EventData):
    """A run failed; ``code`` and ``step`` say where."""

    event_name = "xyn.run.failed"
    resource_type = "run"
    blueprint_id: str
    code: str
    message: str
    step: str | None


class RunCancelled(EventData):
    """A run was cancelled."""

    event_name = "xyn.run.cancelled"
    resource_type = "run"
    blueprint_id: str
    by: str


class _StepData(EventData):
    resource_type = "step"
    key: str
    kind: str
    attempt: int


class StepStarted(_StepData):
    """An attempt of a step began."""

    event_name = "xyn.step.started"


class StepCompleted(_StepData):
    """A step completed."""

    event_name = "xyn.step.completed"


class StepFailed(_StepData):
    """An attempt of a step failed; ``will_retry`` says whether another follows."""

    event_name = "xyn.step.failed"
    code: str
    message: str
    will_retry: bool


class StepSkipped(_StepData):
    """A step was skipped; ``reason`` says why."""

    event_name = "xyn.step.skipped"
    reason: str


class StepCancelled(_StepData):
    """A step was cancelled with its run."""

    event_name = "xyn.step.cancelled"


class StepInterrupted(_StepData):
    """A step was found running without a live worker."""

    event_name = "xyn.step.interrupted"
    will_retry: bool


class GateRequested(EventData):
    """A gate waits for people."""

    event_name = "xyn.gate.requested"
    resource_type = "gate"
    key: str
    blueprint_id: str
    effect_digest: str
    min: int
    from_any_of: list[str]


class GateApproved(EventData):
    """A gate was approved, by ``approvers`` or by its timeout."""

    event_name = "xyn.gate.approved"
    resource_type = "gate"
    key: str
    blueprint_id: str
    effect_digest: str
    approvers: list[str]


class GateRejected(EventData):
    """A gate was rejected, by a person or by its timeout."""

    event_name = "xyn.gate.rejected"
    resource_type = "gate"
    key: str
    blueprint_id: str
    effect_digest: str
    by: str | None


class ReconcileStarted(EventData):
    """The reconciler takes up a revision."""

    event_name = "xyn.reconcile.started"
    resource_type = "revision"
    revision: str
    from_revision: str | None


class ReconcileSucceeded(EventData):
    """A revision is active."""

    event_name = "xyn.reconcile.succeeded"
    resource_type = "revision"
    revision: str
    activated: int
    retired: int


class ReconcileFailed(EventData):
    """A revision was refused; the last good one stays active."""

    event_name = "xyn.reconcile.failed"
    resource_type = "revision"
    revision: str
    reason: str
    problems: list[str]


class BlueprintActivated(EventData):
    """A blueprint is active in a new form."""

    event_name = "xyn.blueprint.activated"
    resource_type = "blueprint"
    blueprint_id: str
    path: str
    revision: str


class BlueprintRetired(EventData):
    """A blueprint was taken out of service; its runs stay."""

    event_name = "xyn.blueprint.retired"
    resource_type = "blueprint"
    blueprint_id: str
    path: str
    revision: str


class ArtifactCreated(EventData):
    """An artifact's bytes are stored."""

    event_name = "xyn.artifact.created"
    resource_type = "artifact"
    name: str
    kind: str
    sha256: str
    byte_length: int


class ArtifactAttached(EventData):
    """An artifact was linked to a run or a step."""

    event_name = "xyn.artifact.attached"
    resource_type = "artifact"
    name: str
    kind: str
    run_id: str
    step_id: str | None


class GitPushed(EventData):
    """A push moved a ref."""

    event_name = "xyn.git.pushed"
    resource_type = "ref"
    ref: str
    old: str | None
    new: str | None


class GitRefused(EventData):
    """A push was refused; nothing moved."""

    event_name = "xyn.git.refused"
    resource_type = "ref"
    ref: str
    problems: list[str]


class ReviewOpened(EventData):
    """A draft was pushed and is under review; ``kind`` is blueprint or pack."""

    event_name = "xyn.review.opened"
    resource_type = "draft"
    name: str
    kind: str
    head: str
    author: str


class ReviewUpdated(EventData):
    """A draft under review has another head."""

    event_name = "xyn.review.updated"
    resource_type = "draft"
    name: str
    head: str
    iteration: int
    author: str


class ReviewChecked(EventData):
    """All checks of a draft, merged with ``main``, have ended."""

    event_name = "xyn.review.checked"
    resource_type = "draft"
    name: str
    head: str
    main: str
    iteration: int
    status: str
    checks: dict[str, str]


class ReviewPromoted(EventData):
    """A draft was merged into main by ``commit``."""

    event_name = "xyn.review.promoted"
    resource_type = "draft"
    name: str
    head: str
    commit: str


class ReviewClosed(EventData):
    """A draft's branch is gone, and nothing of it was merged."""

    event_name = "xyn.review.closed"
    resource_type = "draft"
    name: str
    head: str


INTERNAL_EVENTS: Final[dict[str, type[EventData]]] = {
    kind.event_name: kind
    for kind in (
        EventReceived,
        RunCreated,
        RunStarted,
        RunWaiting,
        RunCompleted,
        RunFailed,
        RunCancelled,
        StepStarted,
        StepCompleted,
        StepFailed,
        StepSkipped,
        StepCancelled,
        StepInterrupted,
        GateRequested,
        GateApproved,
        GateRejected,
        ReconcileStarted,
        ReconcileSucceeded,
        ReconcileFailed,
        BlueprintActivated,
        BlueprintRetired,
        ArtifactCreated,
        ArtifactAttached,
        GitPushed,
        GitRefused,
        ReviewOpened,
        ReviewUpdated,
        ReviewChecked,
        ReviewPromoted,
        ReviewClosed,
    )
}

RECORDED_WITH_THEIR_RUN: Final = ("xyn.run.", "xyn.step.", "xyn.gate.")
"""Prefixes of events that stand inside their run's record and so need no record line of their
own."""


def internal_event(  # noqa: PLR0913 - the fields of the envelope
    data: EventData,
    *,
    resource_id: str,
    env_id: str,
    now: dt.datetime,
    correlation_id: str,
    actor: str = SYSTEM_ACTOR,
    run_id: uuid.UUID | None = None,
    step_id: uuid.UUID | None = None,
    hops: int = 0,
    source: Literal["xyn"] = "xyn",
) -> Event:
    """Make one of the platform's own events.

    Raises ``KeyError`` for a model that :data:`INTERNAL_EVENTS` does not list.
    """
    listed = INTERNAL_EVENTS[data.event_name]
    return Event(
        event_id=new_id(),
        event_name=listed.event_name,
        occurred_at=now,
        env_id=env_id,
        actor=actor,
        correlation_id=correlation_id,
        run_id=run_id,
        step_id=step_id,
        resource={"type": listed.resource_type, "id": resource_id},
        data=data.model_dump(mode="json"),
        source=source,
        hops=hops,
    )
