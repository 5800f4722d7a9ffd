"""A blueprint, as its normalised document has it.

The language's "Top level" and "Every step" say which keys there are and which are required.

``desired.load`` brings the accepted historic forms into this shape before it
validates; the run room compiles from it. Texts with ``{{ }}`` are text here:
expressions are checked by ``desired``, rendered when a run needs them.
"""

import re
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from xyn_reconciler.model.document import (
    NODE_ID,
    ActionName,
    Cron,
    DocumentId,
    Duration,
    EventPattern,
    Id,
    Json,
    Maybe,
    Part,
    SomeTime,
    Subject,
    Zone,
)
from xyn_reconciler.model.json_schema import JsonSchema

SCHEDULE_EVENT: Final = "xyn.schedule.fired"
"""What a schedule emits where its trigger names no event type."""

Template = Annotated[str, Field(min_length=1)]
"""Text with ``{{ }}`` in it."""

Count = Annotated[int, Field(ge=1, le=1_000_000)]


def _node_choice(text: str) -> str:
    if re.fullmatch(rf"{NODE_ID}|label:[A-Za-z0-9][A-Za-z0-9._-]*", text) is None:
        raise PydanticCustomError("bad_value", "a node is chosen by its id, or by label:NAME")
    return text


def list_or_text(value: object) -> str:
    """Which of the two a value is meant to be; what is neither is told that it is no text."""
    return "kind:list" if isinstance(value, list) else "kind:text"


ListOrTemplate = Annotated[
    Annotated[list[Json], Tag("kind:list")] | Annotated[Template, Tag("kind:text")],
    Discriminator(list_or_text),
]
"""A literal list, or the template of one."""


def flag_or_text(value: object) -> str:
    """Which of the two a condition is; what is neither is told that it is no text."""
    return "kind:flag" if isinstance(value, bool) else "kind:text"


Condition = Annotated[
    Annotated[bool, Tag("kind:flag")] | Annotated[Template, Tag("kind:text")],
    Discriminator(flag_or_text),
]
"""A bare expression, without ``{{ }}``; or ``true`` or ``false``."""

NodeChoice = Annotated[str, AfterValidator(_node_choice)]


class Dedupe(Part):
    """The first event of a key in the window starts a run; the others are suppressed by it."""

    noun: ClassVar[str] = "dedupe"

    key: Template
    """What makes two events the same: ``{{ event.data.host }}``."""
    window: SomeTime
    """How long the first one counts."""


class Debounce(Part):
    """A run starts once its key has been quiet for a while; it has the last event of the key."""

    noun: ClassVar[str] = "debounce"

    key: Template
    """What belongs together: ``{{ event.data.host }}``."""
    quiet: SomeTime
    """How long no event of the key may come before the run starts."""
    at_most: Maybe[SomeTime] = None
    """When it starts all the same, counted from the first event of the key."""


class Schedule(Part):
    """Emits the trigger's event at wall-clock times; each slot fires once."""

    noun: ClassVar[str] = "a schedule"

    cron: Cron
    """Minute, hour, day of month, month, day of week as Debian's cron reads them; or ``@daily``."""
    timezone: Zone = "UTC"
    """IANA name of the zone whose wall clock is meant."""
    missed: Literal["skip", "last", "all"] = "last"
    """Which of the slots that passed while the node stood still fire afterwards."""


def _comparable(value: object) -> object:
    values = value if isinstance(value, list) else [value]
    if isinstance(value, dict) or any(isinstance(item, (dict, list)) for item in values):
        raise PydanticCustomError(
            "wrong_type", "match compares with a value or a list of values, any of which fits"
        )
    if not values:
        raise PydanticCustomError("bad_value", "an empty list matches nothing")
    return value


class Trigger(Part):
    """Starts a run for each event that fits; or, with a schedule, for each of its slots."""

    noun: ClassVar[str] = "a trigger"

    event_type: Maybe[EventPattern] = None
    """The event's name, exact or with ``*`` as last segment; with a schedule: what it emits."""
    match: dict[str, Annotated[Json, AfterValidator(_comparable)]] = Field(default_factory=dict)
    """Path below the event (``data.state``) -> value, list of values (any of), or glob text."""
    when: Maybe[Condition] = None
    """An expression asked after ``match``."""
    dedupe: Maybe[Dedupe] = None
    debounce: Maybe[Debounce] = None
    schedule: Maybe[Schedule] = None

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if self.event_type is None and self.schedule is None:
            raise PydanticCustomError("missing_key", "a trigger needs an event_type or a schedule")
        if self.dedupe is not None and self.debounce is not None:
            raise PydanticCustomError(
                "bad_value", "a trigger has dedupe (the first event runs) or debounce (the last)"
            )
        return self

    @property
    def event_name(self) -> str:
        """The name, or pattern of names, that it waits for."""
        return self.event_type or SCHEDULE_EVENT


class Input(JsonSchema):
    """One input of a run: a schema, where its value comes from, and what it is otherwise."""

    noun: ClassVar[str] = "an input"

    from_: Maybe[Template] = Field(default=None, alias="from")
    """Expression over the event that gives the value: ``{{ event.data.host }}``."""


class Concurrency(Part):
    """How many runs of one key may be under way, and what happens to one too many."""

    noun: ClassVar[str] = "concurrency"

    key: Template
    """Runs with the same value share the limit: ``{{ inputs.host }}``."""
    limit: Count = 1
    """How many at a time."""
    on_conflict: Literal["queue", "skip", "replace", "fail"] = "queue"
    """Wait in order, be recorded as skipped, cancel the one under way, or fail."""


class Retry(Part):
    """How often a step is tried."""

    noun: ClassVar[str] = "retry"

    max_attempts: Maybe[Annotated[int, Field(ge=1, le=100)]] = None
    """Attempts in all; the first try counts."""
    delay: Maybe[Duration] = None
    """Wait before the second try."""
    backoff: Maybe[Literal["constant", "exponential"]] = None
    """Whether the wait stays or doubles."""
    max_delay: Maybe[Duration] = None
    """The longest wait."""
    on: Maybe[Literal["transient", "timeout", "any"]] = None
    """Which failures are tried again: connection, 429, 5xx, timeout; timeout alone; every one."""


class Defaults(Part):
    """What steps take where they say nothing themselves. Gates take nothing from here."""

    noun: ClassVar[str] = "defaults"

    retry: Maybe[Retry] = None
    """How often a step is tried."""
    timeout: Maybe[SomeTime] = None
    """For one attempt of a step."""


class Approvals(Part):
    """Who has to agree at a gate."""

    noun: ClassVar[str] = "approvals"

    min: Annotated[int, Field(ge=1, le=100)] = 1
    """How many different principals."""
    from_any_of: Annotated[list[Subject], Field(min_length=1)] = Field(
        default_factory=lambda: ["role:Operator"]
    )
    """Each of them has to be one of these: ``role:NAME``, ``team:NAME``, ``principal:ID``."""
    allow_self: bool = True
    """Whether the principal who caused the run may be among them."""


class Budget(Part):
    """What an agent's answer may cost."""

    noun: ClassVar[str] = "a budget"

    max_output_tokens: Maybe[Count] = None
    """The longest answer, in tokens."""


class StepBase(Part):
    """What every step has."""

    id: Id
    """Unique in the blueprint; other steps name its outputs by it."""
    name: Maybe[str] = None
    """What people read instead of the id."""
    needs: Maybe[list[Id]] = None
    """The steps that have to end before this one; absent: the step before; ``[]``: none."""
    when: Maybe[Condition] = None
    """An expression; where it is not true the step is skipped."""
    foreach: Maybe[ListOrTemplate] = None
    """A list, or an expression of one: done for each ``item``, with its ``item_index``."""
    max_parallel: Maybe[Annotated[int, Field(ge=1, le=1000)]] = None
    """How many items at a time; 1 where absent."""
    retry: Maybe[Retry] = None
    timeout: Maybe[SomeTime] = None
    """For one attempt; then the work behind it is really gone. Of a gate: how long it waits."""
    continue_on_error: bool = False
    """Whether the run goes on where this step fails, and ends ``completed`` with a warning."""
    idempotency_key: Maybe[Template] = None
    """Tells the other side that two tries mean one effect."""


class AgentTask(StepBase):
    """Asks a model; its answer is the step's outputs."""

    noun: ClassVar[str] = "an agent_task"

    kind: Literal["agent_task"]
    """Asks a model."""
    provider: Maybe[DocumentId] = None
    """A name under ``providers`` in node.yaml, never a key; absent: ``model`` is an alias."""
    model: Annotated[str, Field(min_length=1)]
    """The provider's name of the model; or, without a provider, an alias such as ``fast``."""
    prompt_template: Maybe[Template] = None
    """What is asked."""
    prompt_file: Maybe[Annotated[str, Field(pattern=r"^(packs/[^/{}]+/)?prompts/[^{}]+$")]] = None
    """What is asked, in a file below ``prompts/`` that may use ``{% if %}`` and ``{% for %}``."""
    output_schema: Maybe[JsonSchema] = None
    """What the answer has to look like; any other answer is a failed attempt."""
    budget: Maybe[Budget] = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.prompt_template is None and self.prompt_file is None:
            raise PydanticCustomError(
                "missing_key", "an agent_task needs a prompt_template or a prompt_file"
            )
        if self.prompt_template is not None and self.prompt_file is not None:
            raise PydanticCustomError(
                "conflicting_keys", "prompt_template and prompt_file say the same: keep one"
            )
        return self


class ActionTask(StepBase):
    """Calls an action."""

    noun: ClassVar[str] = "an action_task"

    kind: Literal["action_task"]
    """Calls an action."""
    action: ActionName
    """The action's name: ``http.call``."""
    with_: dict[str, Json] = Field(alias="with")
    """The action's inputs; keys that end in ``_ref`` name secrets."""


class Gate(StepBase):
    """Waits for people."""

    noun: ClassVar[str] = "a gate"

    kind: Literal["gate"]
    """Waits for people."""
    mode: Literal["manual"]
    """``manual``: people decide."""
    approvals: Maybe[Approvals] = None
    on_timeout: Literal["reject", "approve"] = "reject"
    """What is decided where nobody did in time."""
    form: Maybe[dict[Id, JsonSchema]] = None
    """What the approver fills in: name -> schema; the step's output ``form``."""


class Transform(StepBase):
    """Computes its outputs from what is known."""

    noun: ClassVar[str] = "a transform"

    kind: Literal["transform"]
    """Computes values."""
    set_: dict[Id, Json] = Field(default_factory=dict, alias="set")
    """Name -> value; the step's outputs."""


STEP_KINDS: Final = ("agent_task", "action_task", "gate", "transform")


def step_kind(step: object) -> str | None:
    """Which of the four a step's mapping says it is; None where it says nothing known."""
    kind = step.get("kind") if isinstance(step, dict) else getattr(step, "kind", None)
    return f"kind:{kind}" if isinstance(kind, str) and kind in STEP_KINDS else None


Step = Annotated[
    Annotated[AgentTask, Tag("kind:agent_task")]
    | Annotated[ActionTask, Tag("kind:action_task")]
    | Annotated[Gate, Tag("kind:gate")]
    | Annotated[Transform, Tag("kind:transform")],
    Discriminator(step_kind),
]


class Blueprint(Part):
    """A workflow: which events start it, what it does in which order, and what it gives."""

    noun: ClassVar[str] = "a blueprint"

    id: DocumentId
    """Stable, and unique in the repository; the file's path is free."""
    name: Maybe[str] = None
    """What people read instead of the id."""
    description: Maybe[str] = None
    """What it is for, in a sentence or two."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Name -> text, for people and for lists."""
    triggers: list[Trigger] = Field(default_factory=list)
    """Any of them starts a run; a manual start is always possible."""
    inputs: dict[Id, Input] = Field(default_factory=dict)
    """Name -> schema; a manual run gets a form of it."""
    vars: dict[Id, Json] = Field(default_factory=dict)
    """Name -> value, known in every expression as ``vars.<name>``."""
    defaults: Maybe[Defaults] = None
    nodes: Maybe[list[NodeChoice]] = None
    """Where its triggers are live: ids of nodes, or ``label:x``; absent: the node of node.yaml."""
    concurrency: Maybe[Concurrency] = None
    timeout: Maybe[SomeTime] = None
    """For the whole run; time spent waiting for people does not count."""
    plan: Annotated[list[Step], Field(min_length=1)]
    """The steps, top to bottom."""
    on_failure: list[Step] = Field(default_factory=list)
    """Steps done after the run has failed."""
    outputs: dict[str, Json] = Field(default_factory=dict)
    """Name -> value: what the run gives."""
