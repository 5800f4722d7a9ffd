"""What an upper room lends a lower one. Lower rooms see these protocols, ``node`` binds them."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import ExecutionPlan, PlanNode


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


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The actions and providers that exist, as data for ``desired.validate``."""

    actions: Mapping[str, ActionSpec]
    providers: frozenset[str] = frozenset({"openai", "anthropic"})


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
        self, *, name: str, kind: str, content_type: str, content: bytes | BinaryIO
    ) -> uuid.UUID:
        """Give the artifact's id; a stream is read to its end. Raises ``InvalidError``."""
        ...


class AttemptContext(Protocol):
    """One attempt of a step as ``agent`` sees it; ``action.context.ActionContext`` is one."""

    @property
    def providers(self) -> Mapping[str, Mapping[str, Any]]:
        """Give ``providers`` of ``node.yaml`` by name: ``enabled``, ``base_url``, ``key_ref``."""
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

    def __call__(
        self,
        document: Mapping[str, Any],
        *,
        path: str,
        blob_id: str,
        files: Mapping[str, str],
        node: PlanNode,
        event: Event | None,
        given: Mapping[str, Any] | None,
    ) -> CompiledRun:
        """Compile a normalised blueprint document for one event, or for inputs given by hand."""
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
        definition: str | Mapping[str, Any],
        notes: str | None,
        run_id: uuid.UUID,
    ) -> tuple[uuid.UUID, int]:
        """Give the draft's id and its iteration; the same ones where nothing changes.

        In the name of whoever caused the run. Raises ``XynError``.
        """
        ...


class EmitEvents(Protocol):
    """``trigger.intake``, as loops use it.

    The platform's own events, in the caller's transaction.
    """

    def __call__(self, connection: Any, events: Sequence[Event]) -> None:  # noqa: ANN401 - model knows no database
        """Store the events, start what they trigger, tell the committer."""
        ...
