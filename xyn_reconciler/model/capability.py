"""What an upper room lends a lower one. Lower rooms see these protocols, ``node`` binds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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


class EmitEvents(Protocol):
    """``trigger.intake``, as loops use it.

    The platform's own events, in the caller's transaction.
    """

    def __call__(self, connection: Any, events: Sequence[Event]) -> None:  # noqa: ANN401 - model knows no database
        """Store the events, start what they trigger, tell the committer."""
        ...
