"""Runs, steps and the compiled plan.

Statuses, their lawful changes, and what decisions are made of.

Statuses are those of the blueprint language, a documented superset of seed 45.4
(``waiting`` and ``interrupted`` are added).
"""

import datetime as dt
import enum
import hashlib
import json
import uuid
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field


class RunStatus(enum.StrEnum):
    CREATED = "created"
    RUNNING = "running"
    WAITING = "waiting"
    """At a gate, for a retry's delay, or for a person to resolve an interrupted step."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}


class StepStatus(enum.StrEnum):
    CREATED = "created"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        return self in {
            StepStatus.COMPLETED,
            StepStatus.FAILED,
            StepStatus.SKIPPED,
            StepStatus.CANCELLED,
        }


RUN_CHANGES: Final[dict[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.CREATED: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.WAITING, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
    ),
    RunStatus.WAITING: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}
"""Which status may follow which; whatever has ended stays ended."""

STEP_NAMESPACE: Final = uuid.UUID("6a0f2a57-6d0a-4d5e-9a7c-1f2f3d5b7c11")


def step_id(run_id: uuid.UUID, key: str) -> uuid.UUID:
    """The id of a run's step: derived, so that a rebuilt index has the ids it had before."""
    return uuid.uuid5(STEP_NAMESPACE, f"{run_id}/{key}")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")


class RetryPolicy(_Frozen):
    """How often a step is tried; ``max_attempts`` counts the first try. Times in seconds."""

    max_attempts: int = 1
    delay: float = 1.0
    backoff: Literal["constant", "exponential"] = "exponential"
    max_delay: float = 60.0
    on: Literal["transient", "timeout", "any"] = "transient"


class GateApprovals(_Frozen):
    """Who has to agree: ``min`` different principals, each of one of ``from_any_of``."""

    min: int = 1
    from_any_of: tuple[str, ...] = ("role:Operator",)
    allow_self: bool = True


class PlannedStep(_Frozen):
    """One step with every default filled in.

    Templates are still text: they are rendered when it runs.
    """

    key: str
    """The step's ``id`` in the blueprint."""
    kind: Literal["action_task", "agent_task", "gate", "transform"]
    name: str
    needs: tuple[str, ...] = ()
    when: str | None = None
    foreach: Any = None
    """Template text or a literal list; ``None`` means the step runs once."""
    max_parallel: int = 1
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = None
    """Seconds for one attempt."""
    continue_on_error: bool = False
    idempotency_key: str | None = None
    action: str | None = None
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")
    set_: dict[str, Any] = Field(default_factory=dict, alias="set")
    mode: str | None = None
    approvals: GateApprovals | None = None
    on_timeout: Literal["reject", "approve"] = "reject"
    form: dict[str, Any] | None = None
    provider: str | None = None
    model: str | None = None
    prompt: str | None = None
    """The prompt's template text, read from ``prompt_file`` when the plan was compiled."""
    prompt_file: str | None = None
    output_schema: dict[str, Any] | None = None
    budget: dict[str, Any] = Field(default_factory=dict)


class PlanNode(_Frozen):
    """What a run may know and do on this node, pinned with its commit."""

    id: str
    env_id: str
    stage: str
    egress: tuple[str, ...] = ()
    providers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    models: dict[str, Any] = Field(default_factory=dict)
    """``aliases``, ``override``, ``fallback``, ``budgets`` of ``node.yaml``, where it has any."""
    images: tuple[str, ...] = ()
    """``containers.allow`` of ``node.yaml``."""
    vars: dict[str, Any] = Field(default_factory=dict)
    limits: dict[str, float] = Field(default_factory=dict)
    """``max_steps`` (count), ``run_timeout`` (seconds), ``artifact_max`` and ``artifact_quota``
    (bytes)."""


class PlanPack(_Frozen):
    """What the steps of a plan use of one pack, pinned with it."""

    version: str
    digest: str
    """sha256 of the pack's content at that commit (``desired.packs``)."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """``settings.yaml`` with the defaults of the pack's schema."""
    actions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Action name -> its definition in ``pack.yaml``; those alone that the plan names."""
    files: dict[str, str] = Field(default_factory=dict)
    """Path below the pack's folder -> text: all of ``actions/``, where an action has ``run``."""


class ExecutionPlan(_Frozen):
    """A blueprint compiled, frozen and checked: all that a worker needs without the repository.

    The commit that a run is pinned to stands in the run: an unchanged blueprint
    gives the same plan on every commit, and the plan is stored once.
    """

    blueprint_id: str
    blueprint_name: str
    path: str
    blob_id: str
    node: PlanNode
    inputs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Input name -> JSON Schema subset with ``from`` and ``default``."""
    vars: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[PlannedStep, ...] = ()
    on_failure: tuple[PlannedStep, ...] = ()
    outputs: dict[str, Any] = Field(default_factory=dict)
    timeout: float | None = None
    """Seconds for the whole run, time spent waiting for people not counted."""
    concurrency: dict[str, Any] | None = None
    packs: dict[str, PlanPack] = Field(default_factory=dict)
    """Pack id -> what the steps use of it."""
    known_hosts: str = ""
    """The repository's ``known_hosts``, where a step logs in by ssh."""

    def step(self, key: str) -> PlannedStep | None:
        return next((s for s in (*self.steps, *self.on_failure) if s.key == key), None)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def digest(self) -> str:
        return digest(self.to_json())


START_GATE: Final = "xyn_start"
"""The gate that a policy puts in front of a plan: a run has not begun before it."""


def with_start_gate(plan: ExecutionPlan, approvals: GateApprovals) -> ExecutionPlan:
    """Give the plan with a gate that every step waits for; one that is there already stays."""
    if plan.step(START_GATE) is not None:
        return plan
    gate = PlannedStep(
        key=START_GATE,
        kind="gate",
        name="Start this run, as a policy asks",
        mode="manual",
        approvals=approvals,
    )
    steps = (
        step if step.needs else step.model_copy(update={"needs": (START_GATE,)})
        for step in plan.steps
    )
    return plan.model_copy(update={"steps": (gate, *steps)})


def canonical(value: Any) -> bytes:  # noqa: ANN401 - any JSON value is what this is for
    """JSON with sorted keys, no spaces, ASCII only: equal values give equal bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value is what this is for
    """sha256, in hex, of the canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


class ItemView(_Frozen):
    """What a decision needs to know of one item of a ``foreach`` step."""

    index: int
    status: StepStatus = StepStatus.CREATED
    attempt: int = 0
    """Attempts begun so far."""
    failures: int = 0
    """Attempts that failed; interruptions are not among them."""
    available_at: dt.datetime | None = None
    """Not before this moment; while it waits for a run: no longer than until then."""
    outputs: Any = None
    error: dict[str, Any] | None = None
    awaited: dict[str, Any] | None = None
    """The run that it waits for: ``run_id, status, outputs, error``."""


class StepView(_Frozen):
    """What a decision needs to know of one step of a run."""

    key: str
    status: StepStatus = StepStatus.CREATED
    attempt: int = 0
    """Attempts begun so far."""
    available_at: dt.datetime | None = None
    """Not before this moment (a retry's delay); while it waits for a run: until then at most."""
    outputs: Any = None
    error: dict[str, Any] | None = None
    interruptions: int = 0
    """Times in a row that a worker died under it."""
    failures: int = 0
    """Attempts that failed; interruptions are not among them, so that they use up no retry."""
    items: tuple[ItemView, ...] | None = None
    """The items of a ``foreach`` step that has begun."""
    decision: Literal["approved", "rejected"] | None = None
    """What was decided at a gate that still waits for the worker to take it up."""
    decided_because: str | None = None
    expires_at: dt.datetime | None = None
    """When a waiting gate decides by itself."""
    awaited: dict[str, Any] | None = None
    """The run that it waits for: ``run_id, status, outputs, error``."""
    resolution: Literal["retry", "done", "fail"] | None = None
    """What a person chose for this step, which was interrupted."""
