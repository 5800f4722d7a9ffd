"""What the API says and takes: the shapes of seed 45, stable within ``/api/v1``.

The same models validate requests, make the OpenAPI document and carry answers
from ``service`` to pages and API. Additions to the seed's fields are documented
at the field.
"""

import datetime as dt
import uuid
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

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

DRAFT_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$"
"""Of a draft, as its branch has it below ``draft/``."""

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
    parent_run_id: uuid.UUID | None = None
    parent_step_id: uuid.UUID | None = None
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


class FootprintDto(_Dto):
    """How much of one thing a step used up (seed 5.3); ``key`` is empty for the run's own."""

    key: str
    metric: str
    quantity: float
    unit: str
    source_kind: str
    source_ref: str
    dims: dict[str, Any] | None = None
    occurred_at: Timestamp


class LiveTextDto(_Dto):
    """What one attempt of a step said last; ``start`` characters came before ``text``."""

    attempt_id: uuid.UUID
    item_index: int | None = None
    number: int
    start: int
    text: str


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
    deleted_at: Timestamp | None = None
    """Since then its bytes are no longer kept (``retention`` in ``node.yaml``)."""


ArtifactState = Literal["whole", "announced", "gone", "elsewhere", "missing", "damaged"]


class ArtifactCheckDto(_Dto):
    """Whether an artifact's bytes are there and its own.

    ``announced``: they never came. ``gone``: ``retention`` took them. ``elsewhere``: at the
    origin of this clone. ``missing`` and ``damaged`` are what should not be.
    """

    artifact_id: uuid.UUID
    sha256: str | None = None
    state: ArtifactState
    message: str | None = None


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
    reasons: list[str]
    """What is not as it should be, a sentence each; empty when ``ok``."""


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
    """Whether it takes part: what is broken beside that is in ``reasons``, and the rest goes on."""
    reasons: list[str]


class DraftContent(_Dto):
    """What a draft brings: ``files`` by path (null takes one out), or one ``definition``."""

    files: dict[Words, str | None] = Field(default_factory=dict, max_length=1000)
    definition: str | dict[str, Any] | None = None
    """A document, as YAML text or as JSON; it goes to ``path``."""
    path: Words | None = Field(default=None, min_length=1, max_length=500)
    """By default ``blueprints/<name>.yaml``, of a pack ``packs/<name>/pack.yaml``."""
    notes: Words | None = Field(default=None, max_length=20_000)


class DraftCreateRequest(_Dto):
    """Seed 45.6: a commit on branch ``draft/<name>``, which is made from main where it is not."""

    name: str = Field(pattern=DRAFT_NAME, max_length=100)
    kind: Literal["blueprint", "pack"] = "blueprint"
    content: DraftContent


class DraftDto(_Dto):
    """Seed 45.6; the fields from ``head`` on are added to it."""

    draft_id: uuid.UUID
    name: str
    kind: Literal["blueprint", "pack"]
    status: Literal["draft", "validated", "promoted"]
    created_at: Timestamp
    updated_at: Timestamp
    content: dict[str, Any]
    """``notes``; where one draft is asked for also ``files``: what it changes, by path, null for
    a file that it takes out or that is no text."""
    head: str
    author: str
    iteration: int
    version: str | None = None
    """The promotion's commit."""
    run_id: uuid.UUID | None = None
    closed_at: Timestamp | None = None


class CheckDto(_Dto):
    """What a check found about the newest iteration merged with ``main``."""

    name: str
    status: Literal["running", "passed", "failed", "skipped", "interrupted"]
    summary: str | None = None
    main: str
    started_at: Timestamp
    completed_at: Timestamp | None = None
    artifact_id: uuid.UUID | None = None
    """Its report."""


class FindingDto(_Dto):
    check: str
    path: str
    line: int
    column: int
    code: str
    message: str


class IterationDto(_Dto):
    iteration: int
    head: str
    author: str
    created_at: Timestamp


class CommitDto(_Dto):
    sha: str
    author: str
    """As the commit says, which nobody has proved."""
    subject: str
    authored_at: Timestamp


class ChangeDto(_Dto):
    """One thing that is different, as a reviewer would say it."""

    path: str
    kind: str
    document_id: str
    words: str
    weight: str


class FileChangeDto(_Dto):
    path: str
    change: Literal["added", "changed", "removed"]


class ConflictDto(_Dto):
    """A path that does not merge; the blobs of both sides and of what they come from."""

    path: str
    base: str | None = None
    main: str | None = None
    draft: str | None = None


class VoteDto(_Dto):
    """A yes or no; ``counts`` says whether it stands for what the draft would change now."""

    decision_id: uuid.UUID
    principal: str
    decision: Literal["approved", "rejected"]
    comment: str | None = None
    iteration: int
    effect_digest: str
    created_at: Timestamp
    counts: bool
    used_by: str | None = None
    """The promotion that it allowed."""


class CommentDto(_Dto):
    comment_id: uuid.UUID
    iteration: int
    author: str
    text: str
    path: str | None = None
    line: int | None = None
    created_at: Timestamp


class ReviewDto(_Dto):
    """All that a reviewer has to know of a draft at this moment."""

    draft_id: uuid.UUID
    name: str
    kind: Literal["blueprint", "pack"]
    status: Literal["draft", "validated", "promoted"]
    head: str
    main: str
    """What it is compared with; of a promoted draft ``main`` as it was before."""
    author: str
    authors: list[str]
    """Everybody whose work it is: their own approval is none."""
    iteration: int
    created_at: Timestamp
    updated_at: Timestamp
    closed_at: Timestamp | None = None
    version: str | None = None
    run_id: uuid.UUID | None = None
    notes: str | None = None
    url: str
    iterations: list[IterationDto]
    commits: list[CommitDto]
    """The newest first, at most 100."""
    files: list[FileChangeDto]
    changes: list[ChangeDto]
    effects: dict[str, Any]
    effect_digest: str
    """What an approval is for."""
    risk: Literal["low", "medium", "high"]
    checks: list[CheckDto]
    findings: list[FindingDto]
    backtest: Any = None
    """The report of the check ``backtest``; null before there is one."""
    policy: list[dict[str, Any]]
    approvals: list[VoteDto]
    comments: list[CommentDto]
    conflicts: list[ConflictDto]
    behind: int
    """Commits of ``main`` that the draft has not seen; at most 1000 are counted."""
    mergeable: bool
    reasons: list[str]
    """What is in the way of merging, for who asks; empty where nothing is."""


class LineDto(_Dto):
    """``old`` and ``new`` are line numbers, from 1; ``marks`` the characters that differ."""

    side: Literal["same", "old", "new"]
    old: int | None = None
    new: int | None = None
    text: str
    marks: list[tuple[int, int]] = Field(default_factory=list)


class HunkDto(_Dto):
    header: str
    lines: list[LineDto]


class FileDiffDto(_Dto):
    path: str
    change: Literal["added", "changed", "removed"]
    kind: Literal["text", "binary", "too_large"]
    """Only of a ``text`` there are hunks."""
    added: int
    removed: int
    hunks: list[HunkDto]


class ReviewDiffDto(_Dto):
    """What promotion would change, in words and in text."""

    draft_id: uuid.UUID
    name: str
    head: str
    main: str
    changes: list[ChangeDto]
    files: list[FileDiffDto]


class ReviewDecisionRequest(_Dto):
    """``effect_digest`` is what was looked at: an approval of anything else is refused."""

    comment: Words | None = Field(default=None, max_length=4000)
    effect_digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class PromoteRequest(_Dto):
    """``head``, where given, must be the draft's present one."""

    head: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")


class CommentRequest(_Dto):
    text: Words = Field(min_length=1, max_length=20_000)
    path: Words | None = Field(default=None, max_length=1000)
    line: int | None = Field(default=None, ge=1, le=1_000_000)


class RollbackRequest(_Dto):
    revision: str = Field(pattern=r"^[0-9a-f]{7,40}$")
    """A commit of main, or the beginning of its name."""


class MovedDto(_Dto):
    """``main`` is at ``commit``."""

    commit: str
    applied: bool
    """Whether it is active here; ``message`` says why not."""
    message: str
    draft_id: uuid.UUID | None = None
    name: str | None = None
    reverts: str | None = None
    """What a rollback took back."""


class ErrorBody(_Dto):
    code: str
    message: str
    details: dict[str, Any] | None = None


class ErrorDto(_Dto):
    """Seed 45.7."""

    error: ErrorBody
    correlation_id: str | None = None
