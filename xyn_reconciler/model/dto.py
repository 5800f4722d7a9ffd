"""What the API says and takes: the shapes of seed 45, stable within ``/api/v1``.

The same models validate requests, make the OpenAPI document and carry answers
from ``service`` to pages and API. Additions to the seed's fields are documented
at the field.
"""

import datetime as dt
import uuid
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.run import RunStatus, StepStatus

Timestamp = Annotated[
    dt.datetime,
    PlainSerializer(isoformat, return_type=str, when_used="json"),
]
"""ISO 8601, UTC, microseconds, ``Z``."""

Words = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Text for a column: Postgres knows no U+0000 there."""

Item = TypeVar("Item")


class _Dto(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Page(_Dto, Generic[Item]):
    """Newest first by (created_at, id); ``next_cursor`` is null on the last page (seed 45.8)."""

    items: list[Item]
    next_cursor: str | None = None


class Resource(_Dto):
    type: str = Field(min_length=1, max_length=200)
    id: str = Field(min_length=1, max_length=1000)


class EventDto(_Dto):
    """Seed 45.3, with source, delivery id, time of intake, revision and record commit added."""

    event_id: uuid.UUID
    event_name: str
    occurred_at: Timestamp
    env_id: str
    actor: str
    correlation_id: str
    run_id: uuid.UUID | None = None
    step_id: uuid.UUID | None = None
    resource: Resource | None = None
    data: dict[str, Any]
    source: str
    delivery_id: str | None = None
    created_at: Timestamp
    revision: str | None = None
    record_commit: str | None = None


class EmitEventRequest(_Dto):
    event_name: str = Field(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$", max_length=200)
    """Dot-separated, lower case (seed 29.4). Names that begin with ``xyn.`` are the platform's
    own."""
    resource: Resource | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    run_id: uuid.UUID | None = None
    step_id: uuid.UUID | None = None


class RunCreateRequest(_Dto):
    """Seed 45.4. ``blueprint_ref`` is a blueprint's id; ``name`` defaults to the blueprint's."""

    name: Words | None = Field(default=None, max_length=200)
    blueprint_ref: Words = Field(min_length=1, max_length=200)
    inputs: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(default=0, ge=-1000, le=1000)


class RunDto(_Dto):
    """Seed 45.4; the fields from ``blueprint_id`` on are added to it."""

    run_id: uuid.UUID
    name: str
    status: RunStatus
    created_at: Timestamp
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    actor: str
    correlation_id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    blueprint_id: str
    revision: str
    warnings: int = 0
    wait_reason: str | None = None
    event_id: uuid.UUID | None = None
    priority: int = 0
    origin_run_id: uuid.UUID | None = None
    record_commit: str | None = None


class StepDto(_Dto):
    """Seed 45.4; adds ``key`` (the plan's step id), ``kind``, ``attempt`` and ``wait_reason``."""

    step_id: uuid.UUID
    run_id: uuid.UUID
    key: str
    kind: str
    name: str
    status: StepStatus
    attempt: int = 0
    wait_reason: str | None = None
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    logs_artifact_id: uuid.UUID | None = None
    inputs: Any = None
    outputs: Any = None
    error: dict[str, Any] | None = None


class ApprovalDto(_Dto):
    principal: str
    decision: Literal["approved", "rejected"]
    comment: str | None = None
    effect_digest: str
    created_at: Timestamp


class GateDto(_Dto):
    """A step that waits, or waited, for people.

    ``effect`` is what exactly an approval lets through.
    """

    run_id: uuid.UUID
    step_id: uuid.UUID
    key: str
    blueprint_id: str
    requested_at: Timestamp
    expires_at: Timestamp | None = None
    effect_digest: str
    effect: dict[str, Any]
    min: int
    from_any_of: list[str]
    allow_self: bool
    form: dict[str, Any] | None = None
    decision: Literal["approved", "rejected"] | None = None
    decided_at: Timestamp | None = None
    decided_because: str | None = None
    approvals: list[ApprovalDto] = Field(default_factory=list)


class RerunRequest(_Dto):
    """Which part of a run to do again, and on which revision; everything by default."""

    from_step: Words | None = Field(default=None, max_length=200)
    revision: Words | None = Field(default=None, max_length=200)
    fresh: bool = False
    """New idempotency keys: effects that the first run had may happen again."""


class ResolveRequest(_Dto):
    """What becomes of an interrupted step."""

    resolution: Literal["retry", "done", "fail"]


class GateDecisionRequest(_Dto):
    """``effect_digest``, where given, must be the gate's present one.

    Nobody approves what they did not see.
    """

    comment: Words | None = Field(default=None, max_length=4000)
    form: dict[str, Any] | None = None
    effect_digest: str | None = None


class ArtifactCreateRequest(_Dto):
    """Seed 45.5. ``content_base64`` uploads directly.

    Without it the answer names an ``upload_url``.
    """

    name: Words = Field(min_length=1, max_length=500)
    kind: Words = Field(default="file", min_length=1, max_length=100)
    content_type: Words = Field(default="application/octet-stream", max_length=200)
    byte_length: int | None = Field(default=None, ge=0)
    run_id: uuid.UUID | None = None
    step_id: uuid.UUID | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    content_base64: str | None = None


class ArtifactDto(_Dto):
    """Seed 45.5; ``upload_url`` stands only in the answer that asks for the bytes."""

    artifact_id: uuid.UUID
    name: str
    kind: str
    content_type: str
    byte_length: int | None = None
    created_at: Timestamp
    created_by: str
    run_id: uuid.UUID | None = None
    step_id: uuid.UUID | None = None
    sha256: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    upload_url: str | None = None


class ConditionDto(_Dto):
    type: str
    status: bool
    reason: str
    message: str
    since: Timestamp


class BlueprintDto(_Dto):
    """A blueprint that is active here.

    ``revision`` is the commit that brought it in its present form.
    """

    blueprint_id: str
    name: str
    description: str | None = None
    path: str
    blob_id: str
    revision: str
    applied_at: Timestamp
    triggers: list[dict[str, Any]]
    inputs: dict[str, Any]
    live: bool
    """Whether its triggers start runs on this node (``nodes:``, and the node's own mode)."""
    conditions: list[ConditionDto] = Field(default_factory=list)
    document: dict[str, Any]


class RevisionDto(_Dto):
    """One commit that touched a file of desired state."""

    revision: str
    author: str
    message: str
    authored_at: Timestamp
    blob_id: str | None = None


class HealthDto(_Dto):
    """Seed 45.2."""

    status: Literal["ok", "degraded"]
    version: str
    uptime_seconds: int
    now: Timestamp


class StatusDto(_Dto):
    """What ``xynctl status`` and the head of each page show."""

    node_id: str
    env_id: str
    mode: Literal["active", "shadow", "suspended"]
    stage: Literal["dev", "test", "prod"]
    auth: Literal["open", "required"]
    version: str
    url: str
    last_applied_revision: str | None
    last_attempted_revision: str | None
    main_revision: str | None
    conditions: list[ConditionDto]
    runs: dict[str, int]
    """Unfinished runs by status, and those that failed in the last 24 hours under ``failed``."""
    gates_waiting: int
    records_waiting: int
    """Outbox rows not yet in Git; normally 0."""
    record_lag_seconds: float
    ready: bool
    reasons: list[str]


class ErrorBody(_Dto):
    code: str
    message: str
    details: dict[str, Any] | None = None


class ErrorDto(_Dto):
    """Seed 45.7."""

    error: ErrorBody
    correlation_id: str | None = None
