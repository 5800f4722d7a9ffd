"""The tables as Python sees them. ``migrations/`` makes them; a test holds both together.

Values from outside (``data``, ``inputs``, ``outputs`` ...) are ``json``, not
``jsonb``: jsonb refuses some valid JSON, and nothing here searches inside.

Not SQLAlchemy's declarative classes: its ORM would cost every process five MiB and more, and
statements of plain columns are written faster.
"""

import datetime as dt
import uuid
from collections.abc import Mapping
from types import NoneType
from typing import Any, ClassVar, Final, get_args

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Float,
    Identity,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.types import TypeEngine

from xyn_reconciler.store.json_text import JsonText

Json = dict[str, Any]
Mapped = ColumnElement
"""A column, of the kind that it holds."""

_TYPES: Final[Mapping[Any, TypeEngine[Any]]] = {
    str: Text(),
    int: BigInteger(),
    bool: Boolean(),
    float: Float(),
    bytes: LargeBinary(),
    uuid.UUID: Uuid(),
    dt.datetime: DateTime(timezone=True),
    Json: JsonText(),
    list[Any]: JsonText(),
    Any: JsonText(),
}


class Base:
    """A table; each ``Mapped[...]`` of a class is a column of it, as nullable as it says.

    A class stands for its table in ``select``, ``insert`` and their like.
    """

    metadata: ClassVar = MetaData()
    __tablename__: ClassVar[str]
    __table__: ClassVar[Table]

    def __init_subclass__(cls) -> None:
        for key, annotation in cls.__annotations__.items():
            (kind,) = get_args(annotation)
            nullable = NoneType in get_args(kind)
            options = {"name": key, "nullable": nullable} | cls.__dict__.get(key, {})
            type_ = _TYPES[get_args(kind)[0] if nullable else kind]
            setattr(cls, key, Column(type_=type_, **options))
        columns = [getattr(cls, key) for key in cls.__annotations__]
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns)

    @classmethod
    def __clause_element__(cls) -> Table:
        return cls.__table__


def mapped_column(**options: Any) -> Any:  # noqa: ANN401 - it becomes a Column of the annotated kind
    """Say of a column what its annotation does not, as ``sqlalchemy.Column`` takes it."""
    return options


class NodeRow(Base):
    """One row: who this database belongs to and which revision is active in it."""

    __tablename__ = "node"
    singleton: Mapped[bool] = mapped_column(primary_key=True, default=True)
    node_id: Mapped[str]
    database_id: Mapped[uuid.UUID]
    """New with every database: outbox ids mean something only together with it."""
    last_applied_revision: Mapped[str | None]
    last_attempted_revision: Mapped[str | None]
    applied_at: Mapped[dt.datetime | None]
    attempted_at: Mapped[dt.datetime | None]
    applied_sequence: Mapped[int] = mapped_column(default=0)
    """Counts applied revisions; ``documents.sequence`` says at which one a row changed."""
    settings: Mapped[Json | None]
    """This node's own definition, as read from ``node.yaml`` or ``nodes/<id>.yaml`` at the applied
    revision."""
    conditions: Mapped[list[Any]]
    rebuilt_at: Mapped[dt.datetime | None]


class DocumentRow(Base):
    """One file of desired state that is active here, or was: the reconciler's inventory."""

    __tablename__ = "documents"
    path: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    document_id: Mapped[str]
    blob_id: Mapped[str]
    document: Mapped[Any]
    reference_positions: Mapped[list[Any]]
    conditions: Mapped[list[Any]]
    revision: Mapped[str]
    sequence: Mapped[int]
    status: Mapped[str]
    applied_at: Mapped[dt.datetime]


class EventRow(Base):
    __tablename__ = "events"
    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    event_name: Mapped[str]
    occurred_at: Mapped[dt.datetime]
    created_at: Mapped[dt.datetime]
    env_id: Mapped[str]
    actor: Mapped[str]
    correlation_id: Mapped[str]
    run_id: Mapped[uuid.UUID | None]
    step_id: Mapped[uuid.UUID | None]
    resource: Mapped[Json | None]
    data: Mapped[Json]
    source: Mapped[str]
    delivery_id: Mapped[str | None]
    delivery_item: Mapped[int] = mapped_column(default=0)
    content_type: Mapped[str | None]
    raw: Mapped[bytes | None]
    hops: Mapped[int] = mapped_column(default=0)
    revision: Mapped[str | None]
    """The revision that was active when it came in."""
    record_commit: Mapped[str | None]


class PlanRow(Base):
    """A compiled plan by its digest; many runs share one."""

    __tablename__ = "plans"
    digest: Mapped[str] = mapped_column(primary_key=True)
    plan: Mapped[Json]
    created_at: Mapped[dt.datetime]


class RunRow(Base):
    __tablename__ = "runs"
    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    blueprint_id: Mapped[str]
    revision: Mapped[str]
    """The commit that this run is pinned to."""
    plan_digest: Mapped[str]
    status: Mapped[str]
    wait_reason: Mapped[str | None]
    """While waiting: ``gate``, ``retry``, ``interrupted`` or ``poison``."""
    priority: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[dt.datetime]
    started_at: Mapped[dt.datetime | None]
    completed_at: Mapped[dt.datetime | None]
    deadline_at: Mapped[dt.datetime | None]
    available_at: Mapped[dt.datetime | None]
    """While waiting: when to look again by itself (a retry's delay, a gate's expiry)."""
    waiting_since: Mapped[dt.datetime | None]
    """While it waits for people: since when. ``deadline_at`` moves on by that time (it does not
    count)."""
    actor: Mapped[str]
    correlation_id: Mapped[str]
    event_id: Mapped[uuid.UUID | None]
    inputs: Mapped[Json]
    outputs: Mapped[Json | None]
    error: Mapped[Json | None]
    warnings: Mapped[int] = mapped_column(default=0)
    hops: Mapped[int] = mapped_column(default=0)
    origin_run_id: Mapped[uuid.UUID | None]
    parent_step_id: Mapped[uuid.UUID | None]
    attempt: Mapped[int] = mapped_column(default=0)
    """Fencing token: each claim raises it, a write under an older one changes nothing."""
    leased_by: Mapped[str | None]
    leased_until: Mapped[dt.datetime | None]
    cancel_requested_at: Mapped[dt.datetime | None]
    cancelled_by: Mapped[str | None]
    record_commit: Mapped[str | None]
    """The commit that holds this run's newest record."""
    concurrency_key: Mapped[str | None]
    """Runs of one key share a limit; one that has started and not ended holds a slot of it."""
    key_run_id: Mapped[uuid.UUID | None]
    """The run whose id stands in idempotency keys: of a re-run that repeats effects."""


class StepRow(Base):
    __tablename__ = "steps"
    step_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID]
    key: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    position: Mapped[int]
    status: Mapped[str]
    wait_reason: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=0)
    interruptions: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[dt.datetime | None]
    started_at: Mapped[dt.datetime | None]
    completed_at: Mapped[dt.datetime | None]
    logs_artifact_id: Mapped[uuid.UUID | None]
    inputs: Mapped[Any] = mapped_column(nullable=True)
    outputs: Mapped[Any] = mapped_column(nullable=True)
    error: Mapped[Json | None]
    resolution: Mapped[str | None]
    """What a person chose for this interrupted step, until a worker has done it."""
    resolved_by: Mapped[str | None]


class AttemptRow(Base):
    """One try of a step, committed before its outside effect."""

    __tablename__ = "attempts"
    attempt_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    step_id: Mapped[uuid.UUID]
    item_index: Mapped[int | None]
    number: Mapped[int]
    status: Mapped[str]
    started_at: Mapped[dt.datetime]
    completed_at: Mapped[dt.datetime | None]
    worker: Mapped[str]
    run_attempt: Mapped[int]
    idempotency_key: Mapped[str | None]
    outputs: Mapped[Any] = mapped_column(nullable=True)
    error: Mapped[Json | None]


class GateRow(Base):
    __tablename__ = "gates"
    step_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID]
    requested_at: Mapped[dt.datetime]
    effect_digest: Mapped[str]
    effect: Mapped[Json]
    """What ``effect_digest`` is the digest of: shown to whoever approves."""
    approvals: Mapped[Json]
    form: Mapped[Json | None]
    expires_at: Mapped[dt.datetime | None]
    on_timeout: Mapped[str]
    decision: Mapped[str | None]
    decided_at: Mapped[dt.datetime | None]
    decided_because: Mapped[str | None]


class ApprovalRow(Base):
    __tablename__ = "approvals"
    approval_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    step_id: Mapped[uuid.UUID]
    principal: Mapped[str]
    decision: Mapped[str]
    comment: Mapped[str | None]
    form: Mapped[Json | None]
    effect_digest: Mapped[str]
    created_at: Mapped[dt.datetime]


class ArtifactRow(Base):
    __tablename__ = "artifacts"
    artifact_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    content_type: Mapped[str]
    byte_length: Mapped[int | None]
    created_at: Mapped[dt.datetime]
    created_by: Mapped[str]
    run_id: Mapped[uuid.UUID | None]
    step_id: Mapped[uuid.UUID | None]
    sha256: Mapped[str | None]
    metadata_: Mapped[Json] = mapped_column(name="metadata")
    record_commit: Mapped[str | None]
    retention: Mapped[str | None]
    """The class that decides how long its bytes stay; else its kind does."""
    deleted_at: Mapped[dt.datetime | None]
    """Since then its bytes are no longer kept."""
    here: Mapped[bool] = mapped_column(default=True)
    """Whether its bytes are in this node's store: a clone lists what its origin has."""


class ArtifactClaimRow(Base):
    """Bytes that are in the store, or about to be, before a row names them."""

    __tablename__ = "artifact_claims"
    id: Mapped[int] = mapped_column(server_default=Identity(always=True), primary_key=True)
    sha256: Mapped[str]
    byte_length: Mapped[int]
    claimed_at: Mapped[dt.datetime]


class OutboxRow(Base):
    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(server_default=Identity(always=True), primary_key=True)
    kind: Mapped[str]
    subject: Mapped[uuid.UUID]
    created_at: Mapped[dt.datetime]
    set_aside: Mapped[str | None]
    """Why it cannot be recorded."""


class ScheduleRow(Base):
    """A schedule of a blueprint that is live here."""

    __tablename__ = "schedules"
    blueprint_id: Mapped[str] = mapped_column(primary_key=True)
    trigger_index: Mapped[int] = mapped_column(primary_key=True)
    cron: Mapped[str]
    timezone: Mapped[str]
    missed: Mapped[str]
    event_name: Mapped[str]
    looked_until: Mapped[dt.datetime]
    """Every slot up to here has fired, or was passed over as ``missed`` says."""
    next_at: Mapped[dt.datetime | None]
    """The first slot after ``looked_until``; ``None`` where there is none."""


class DedupeWindowRow(Base):
    """The run that suppresses further events of a key, and until when."""

    __tablename__ = "dedupe_windows"
    blueprint_id: Mapped[str] = mapped_column(primary_key=True)
    trigger_index: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID]
    ends_at: Mapped[dt.datetime]


class DebouncedRow(Base):
    """The newest event of a key, which starts its run when the key has been quiet."""

    __tablename__ = "debounced"
    blueprint_id: Mapped[str] = mapped_column(primary_key=True)
    trigger_index: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[uuid.UUID]
    before_id: Mapped[uuid.UUID | None]
    """The event whose place it took."""
    first_at: Mapped[dt.datetime]
    due_at: Mapped[dt.datetime]


class SuppressionRow(Base):
    """A trigger that fitted an event and started nothing."""

    __tablename__ = "suppressions"
    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    blueprint_id: Mapped[str] = mapped_column(primary_key=True)
    trigger_index: Mapped[int]
    reason: Mapped[str]
    """``dedupe``, ``debounce``, ``invalid``: it could not be compiled, or ``policy``: no rule lets
    it start."""
    key: Mapped[str | None]
    detail: Mapped[str | None]
    run_id: Mapped[uuid.UUID | None]
    """The run in whose favour; of ``debounce`` when that has started."""
    created_at: Mapped[dt.datetime]


class FootprintRow(Base):
    """How much of one thing a step, or the run itself, used up (seed 5.3); a month, a partition."""

    __tablename__ = "footprints"
    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    """The step's key; empty for what is the run's own."""
    metric: Mapped[str] = mapped_column(primary_key=True)
    """``run.count``, ``step.count``, ``wall_ms``, ``tokens_in`` ..."""
    source_kind: Mapped[str]
    """``blueprint``, or the step's kind."""
    source_ref: Mapped[str] = mapped_column(primary_key=True)
    """The blueprint's id, the action's name, ``provider/model``, or the step's key."""
    quantity: Mapped[float]
    unit: Mapped[str]
    class_: Mapped[str] = mapped_column(name="class")
    """What policies look at (seed 5.3.4)."""
    dims: Mapped[Json | None]
    occurred_at: Mapped[dt.datetime] = mapped_column(primary_key=True)


class TokenClaimRow(Base):
    """Tokens set aside for a question to a model; until settled the most that it may use."""

    __tablename__ = "token_claims"
    claim_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID]
    step_id: Mapped[uuid.UUID]
    tokens: Mapped[int]
    settled: Mapped[bool] = mapped_column(default=False)
    claimed_at: Mapped[dt.datetime]


class AuditRow(Base):
    """A privileged decision or a move of a ref; the chain on ``refs/xyn/audit`` is the truth."""

    __tablename__ = "audit"
    audit_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    at: Mapped[dt.datetime]
    kind: Mapped[str]
    """``ref.accepted``, ``review.opened``, ``policy.decided`` ..."""
    actor: Mapped[str]
    subject: Mapped[str | None]
    """What it is about: a ref, a draft's id, a run's id, a principal."""
    entry: Mapped[Json]
    record_commit: Mapped[str | None]


class ReviewRow(Base):
    """A draft branch under review."""

    __tablename__ = "reviews"
    draft_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    """``draft``, ``validated`` (its newest iteration passed its checks) or ``promoted``."""
    head: Mapped[str]
    iteration: Mapped[int]
    author: Mapped[str]
    run_id: Mapped[uuid.UUID | None]
    notes: Mapped[str | None]
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]
    promoted_commit: Mapped[str | None]
    closed_at: Mapped[dt.datetime | None]


class ReviewIterationRow(Base):
    """One head that the branch of a draft had."""

    __tablename__ = "review_iterations"
    draft_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    iteration: Mapped[int] = mapped_column(primary_key=True)
    head: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[dt.datetime]


class ReviewCheckRow(Base):
    """What one check found of one iteration."""

    __tablename__ = "review_checks"
    draft_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    iteration: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    """``running``, ``passed``, ``failed``, ``skipped`` or ``interrupted``."""
    summary: Mapped[str | None]
    report: Mapped[Any | None]
    artifact_id: Mapped[uuid.UUID | None]
    main: Mapped[str]
    started_at: Mapped[dt.datetime]
    completed_at: Mapped[dt.datetime | None]


class ReviewCommentRow(Base):
    """What somebody said of a draft, or of a line in it."""

    __tablename__ = "review_comments"
    comment_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    draft_id: Mapped[uuid.UUID]
    iteration: Mapped[int]
    path: Mapped[str | None]
    line: Mapped[int | None]
    author: Mapped[str]
    text: Mapped[str]
    created_at: Mapped[dt.datetime]


class ReviewDecisionRow(Base):
    """A yes or a no to exactly what a draft's promotion would change."""

    __tablename__ = "review_decisions"
    decision_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    draft_id: Mapped[uuid.UUID]
    iteration: Mapped[int]
    effect_digest: Mapped[str]
    principal: Mapped[str]
    decision: Mapped[str]
    comment: Mapped[str | None]
    created_at: Mapped[dt.datetime]
    used_by: Mapped[str | None]


class GrantRow(Base):
    """Break-glass: a role for a quarter of an hour."""

    __tablename__ = "grants"
    grant_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    principal: Mapped[str]
    role: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    signed_off_by: Mapped[str | None]
    signed_off_at: Mapped[dt.datetime | None]


class LiveTextRow(Base):
    """What an attempt says while it runs; unlogged, and gone with its claim."""

    __tablename__ = "live_texts"
    attempt_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID]
    run_attempt: Mapped[int]
    step_id: Mapped[uuid.UUID]
    item_index: Mapped[int | None]
    number: Mapped[int]
    start: Mapped[int]
    text: Mapped[str]


class PackMigrationRow(Base):
    """A step that ran in the schema of its pack."""

    __tablename__ = "pack_migrations"
    pack_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str]
    applied_by: Mapped[str]
    applied_at: Mapped[dt.datetime]


class PackTableRow(Base):
    """A mirror table of a pack, as it was made."""

    __tablename__ = "pack_tables"
    pack_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    pack_version: Mapped[str]
    columns: Mapped[Json]
    key: Mapped[list[Any]]
    applied_at: Mapped[dt.datetime]


class ManagedAppRow(Base):
    """A compose project that this node brought up."""

    __tablename__ = "managed_apps"
    pack_id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str]
    wanted: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    message: Mapped[str]
    services: Mapped[list[Any]]
    failures: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[dt.datetime | None]
    since: Mapped[dt.datetime]
