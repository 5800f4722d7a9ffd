"""What an upper room lends a lower one. Lower rooms see these protocols, ``node`` binds them."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, BinaryIO, Protocol

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import ExecutionPlan, PlanNode, PlanPack


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What is known of an action without running it: validation, forms and docs live on this."""

    name: str
    summary: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    idempotent: bool
    """Whether a step that was under way in a crash may simply run again."""
    installed: bool = True
    """False for what the language knows and this node cannot run (yet): the blueprint is
    NotRunnable here."""
    shell_inputs: frozenset[str] = frozenset()
    """Inputs that a shell will read: what is interpolated into their text is quoted for it."""
    capabilities: frozenset[str] = frozenset()
    """What it is given besides its inputs: ``network``, ``secrets``, ``containers``, ``git``,
    ``drafts``, ``events``, ``artifacts``, ``process``, ``database``."""
    redact: tuple[str, ...] = ()
    """Dotted paths in its outputs that are never kept: ``headers.set-cookie``."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """The codes that it fails with, and what each means; those of every step are not among them."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The actions and providers that exist, as data for ``desired.validate``."""

    actions: Mapping[str, ActionSpec]
    providers: frozenset[str] = frozenset({"openai", "anthropic"})
    aliases: frozenset[str] = frozenset({"fast", "smart"})
    """Names of models that every node may give a meaning to."""


@dataclass(frozen=True, slots=True)
class CompiledRun:
    """A plan with the inputs of one run.

    ``error`` is set where they do not fit (the run is then failed at once).
    """

    plan: ExecutionPlan
    digest: str
    inputs: dict[str, Any]
    error: dict[str, Any] | None = None
    concurrency_key: str | None = None
    """What this run shares a limit with, where the blueprint has ``concurrency``."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Something that an attempt used up, also one that failed (seed 5.3.1, 6.3)."""

    metric: str
    """``tokens_in``, ``request_count`` ..."""
    quantity: float
    unit: str
    """``token``, ``count``, ``byte``, ``ms``."""
    dims: Mapping[str, Any] = field(default_factory=dict)
    """What it is told apart by: provider, model ..."""


class KeepArtifact(Protocol):
    """Keeps bytes as an artifact of the step, without the secrets in them."""

    def __call__(
        self,
        *,
        name: str,
        kind: str,
        content_type: str,
        content: bytes | BinaryIO,
        retention: str | None = None,
    ) -> uuid.UUID:
        """Give the artifact's id; a stream is read to its end. Raises ``InvalidError``.

        ``retention`` is the class that says how long the bytes stay; else ``kind`` is.
        """
        ...


class OpenArtifact(Protocol):
    """Opens what some step or person has kept."""

    def __call__(self, artifact_id: uuid.UUID) -> tuple[Artifact, BinaryIO]:
        """Give what it is and its bytes; the caller closes. Raises ``NotFoundError``."""
        ...


class AttemptContext(Protocol):
    """One attempt of a step as ``agent`` sees it; ``action.context.ActionContext`` is one."""

    @property
    def providers(self) -> Mapping[str, Mapping[str, Any]]:
        """Give ``providers`` of ``node.yaml`` by name: ``enabled``, ``base_url``, ``key_ref``."""
        ...

    @property
    def models(self) -> Mapping[str, Any]:
        """Give ``aliases``, ``override``, ``fallback`` and ``budgets`` of ``node.yaml``."""
        ...

    @property
    def run_id(self) -> uuid.UUID:
        """Give the run that it belongs to."""
        ...

    @property
    def step_id(self) -> uuid.UUID:
        """Give the step that it belongs to."""
        ...

    @property
    def attempt(self) -> int:
        """Give its number, from 1."""
        ...

    @property
    def cancelled(self) -> Callable[[], bool]:
        """Whether to stop now and raise."""
        ...

    @property
    def secret(self) -> Callable[[str], str | None]:
        """Resolves a secret reference such as ``env/NAME``."""
        ...

    @property
    def log(self) -> Callable[[str], None]:
        """Adds a line to the run's log."""
        ...

    @property
    def live(self) -> Callable[[str], None]:
        """Shows text while the attempt goes on; it is kept nowhere."""
        ...

    @property
    def artifact(self) -> KeepArtifact | None:
        """Keeps bytes, where the caller keeps any."""
        ...

    @property
    def footprint(self) -> Callable[[Footprint], None]:
        """Notes what was used up."""
        ...

    def seconds_left(self) -> float:
        """Give the time until the attempt has to be over."""
        ...


class CompileRun(Protocol):
    """``run.compile``, as ``trigger`` may call it."""

    def __call__(  # noqa: PLR0913 - all that a plan is made of
        self,
        document: Mapping[str, Any],
        *,
        path: str,
        blob_id: str,
        files: Mapping[str, str],
        node: PlanNode,
        event: Event | None,
        given: Mapping[str, Any] | None,
        packs: Mapping[str, PlanPack] = MappingProxyType({}),
        known_hosts: str = "",
    ) -> CompiledRun:
        """Compile a normalised blueprint document for one event, or for inputs given by hand.

        ``packs`` are whole; the plan takes what its steps use.
        """
        ...


class LaunchRun(Protocol):
    """``trigger.intake``, as a step that runs another blueprint uses it."""

    def __call__(
        self,
        connection: Any,  # noqa: ANN401 - model knows no database
        blueprint_id: str,
        given: Mapping[str, Any],
        *,
        actor: str,
        correlation_id: str,
        run_id: uuid.UUID,
    ) -> uuid.UUID:
        """Start a run in the caller's transaction; raises ``XynError`` where it cannot be."""
        ...


class SaveDraft(Protocol):
    """``review``, as a step that saves a draft uses it."""

    def __call__(
        self,
        *,
        name: str,
        kind: str,
        definition: str | Mapping[str, Any] | None,
        files: Mapping[str, str],
        notes: str | None,
        run_id: uuid.UUID,
    ) -> tuple[uuid.UUID, int]:
        """Give the draft's id and its iteration; the same ones where nothing changes.

        In the name of whoever caused the run. Raises ``XynError``.
        """
        ...


class ValidateDraft(Protocol):
    """``review``, as a step that looks at a draft uses it."""

    def __call__(self, *, draft: str, run_id: uuid.UUID, seconds: float) -> dict[str, Any]:
        """Give ``{draft_id, url, revision, is_valid, issues, checks}``, after its checks ended.

        Raises ``XynError``: ``draft_not_found``, ``invalid_schema``, ``conflict``, ``unavailable``.
        """
        ...


class PromoteDraft(Protocol):
    """``review``, as a step that promotes a draft uses it."""

    def __call__(
        self, *, draft: str, run_id: uuid.UUID, seconds: float
    ) -> tuple[Sequence[str], str]:
        """Give the blueprints that it brought and the commit; the same ones the next time.

        In the name of whoever caused the run. Raises ``XynError``.
        """
        ...


class EmitEvent(Protocol):
    """``trigger.intake``, as a step that emits an event uses it."""

    def __call__(
        self,
        *,
        event_name: str,
        data: Mapping[str, Any],
        resource: Mapping[str, str] | None,
        run_id: uuid.UUID,
        step_id: uuid.UUID,
        item: int | None,
        correlation_id: str,
    ) -> uuid.UUID:
        """Give the event's id; the same one for the same step and item. Raises ``XynError``."""
        ...


class FindArtifact(Protocol):
    """The artifacts of the node, as a step that reads one uses them."""

    def __call__(
        self,
        *,
        artifact_id: uuid.UUID | None,
        run_id: uuid.UUID,
        step: str | None,
        name: str | None,
        reader: uuid.UUID,
    ) -> uuid.UUID:
        """Give the id of an artifact, by that or by run, step and name, that a run may read.

        Raises ``NotFoundError``, ``DeniedError``.
        """
        ...


class EmitEvents(Protocol):
    """``trigger.intake``, as loops use it.

    The platform's own events, in the caller's transaction.
    """

    def __call__(self, connection: Any, events: Sequence[Event]) -> None:  # noqa: ANN401 - model knows no database
        """Store the events, start what they trigger, tell the committer."""
        ...
