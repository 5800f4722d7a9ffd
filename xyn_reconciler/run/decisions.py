"""What can be decided about a run: values that say what to do, and do nothing."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from xyn_reconciler.model.run import RunStatus

Error = dict[str, Any]
"""``{code, message, details?}``, as a step's or a run's ``error``."""


@dataclass(frozen=True, slots=True)
class Start:
    """Begin an attempt of a step, or of these items of it."""

    key: str
    items: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """End a step that never began: ``when``, ``empty``, ``run_failed`` or ``not_needed``."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Complete:
    """End a step whose outputs are known without running it: a decided gate, a ``foreach``."""

    key: str
    outputs: Any


@dataclass(frozen=True, slots=True)
class Fail:
    """End a step without another attempt; ``outputs`` are those of a ``foreach``'s items."""

    key: str
    error: Error
    outputs: Any = None


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Ask people."""

    key: str


@dataclass(frozen=True, slots=True)
class ExpireGate:
    """Nobody decided in time, so the gate's ``on_timeout`` does."""

    key: str
    decision: Literal["approved", "rejected"]


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Note that a step's worker died; with ``again`` it is taken up as a new attempt."""

    key: str
    again: bool
    interruptions: int
    reason: Literal["interrupted", "poison"] = "interrupted"


@dataclass(frozen=True, slots=True)
class Resolve:
    """A person said what becomes of an interrupted step."""

    key: str
    resolution: Literal["retry", "done", "fail"]


@dataclass(frozen=True, slots=True)
class Return:
    """The run that a step, or this item of it, waited for has ended."""

    key: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a step that is not under way, because its run ends."""

    key: str


@dataclass(frozen=True, slots=True)
class Signal:
    """Tell a step under way to stop; its end is awaited."""

    key: str


@dataclass(frozen=True, slots=True)
class BeginFailure:
    """The run has failed: note why, and run ``on_failure``."""

    error: Error


@dataclass(frozen=True, slots=True)
class Finish:
    """End the run."""

    status: Literal[RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]
    outputs: dict[str, Any] | None
    error: Error | None
    warnings: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can go on: give the run back until ``until``, or until a person acts."""

    reason: Literal["gate", "retry", "interrupted", "poison", "run"]
    step: str
    until: dt.datetime | None

    @property
    def for_people(self) -> bool:
        """Whether this time does not count towards the run's timeout."""
        return self.reason != "retry"


Decision: TypeAlias = (
    Start
    | Skip
    | Complete
    | Fail
    | OpenGate
    | ExpireGate
    | Interrupt
    | Resolve
    | Return
    | Cancel
    | Signal
    | BeginFailure
    | Finish
    | Wait
)
