"""Carry out one attempt of a step that has an effect outside: a task in, an outcome out.

Runs in a thread of its own. Whatever an action raises becomes an outcome; a
task whose outcome comes too late (abandoned, lease lost) harms nothing, for
nobody reads it any more.
"""

import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, BinaryIO, Protocol, cast

from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.desired.expression import ExpressionError
from xyn_reconciler.desired.values import size
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.capability import Footprint, OpenArtifact
from xyn_reconciler.model.correlation import correlate
from xyn_reconciler.model.errors import StepError, TemporaryError, UnavailableError, XynError
from xyn_reconciler.model.event import SYSTEM_ACTOR
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.run import PlanNode
from xyn_reconciler.run import limits, live_log
from xyn_reconciler.run.clean_stream import CleanStream
from xyn_reconciler.run.hidden import without
from xyn_reconciler.run.retry import Failure
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.json_text import storable

logger = logging.getLogger(__name__)


class Redactor(Protocol):
    """Takes secrets out of what is stored; ``model.redaction.Redactor`` is one."""

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Give a JSON value without secrets."""
        ...

    def text(self, text: str) -> str:
        """Give a text without secrets."""
        ...

    def bytes(self, data: bytes) -> bytes:
        """Give bytes without secrets."""
        ...

    def stream(self) -> live_log.Stream:
        """Give what redacts a text that comes in pieces."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt, its intent committed; ``index`` is the item of a ``foreach``."""

    key: str
    index: int | None
    attempt_id: uuid.UUID
    number: int
    action: str
    inputs: dict[str, Any]
    idempotency_key: str | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: ``failure`` is ``None`` where it went well."""

    task: Task
    outputs: dict[str, Any] | None
    failure: Failure | None
    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    footprints: tuple[Footprint, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    """What it kept, also where it failed: bytes are stored, rows are not written yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all tasks of one run share."""

    run_id: uuid.UUID
    step_id: Callable[[str], uuid.UUID]
    correlation_id: str
    node: PlanNode
    secret: Callable[[str], str | None]
    cancelled: Callable[[], bool]
    artifacts: ArtifactStore
    open_artifact: OpenArtifact
    redactor: Redactor
    live: live_log.LiveLogs
    known_hosts: str
    run_attempt: int
    """The claim that this is done under."""


def carry_out(
    task: Task, action: Action, around: Surroundings, done: Callable[[Outcome], None]
) -> None:
    """Run a task to its end and hand its outcome to ``done``."""
    done(execute(task, action, around))


def execute(task: Task, action: Action, around: Surroundings) -> Outcome:
    """Run the action to its end."""
    lines: list[str] = []
    used: list[Footprint] = []
    keeper = _Keeper(task, around)
    voice = around.live.voice(_speaker(task, around))

    def log(line: str) -> None:
        lines.append(line)
        voice.say(f"{line}\n")

    began = time.monotonic()
    context = ActionContext(
        run_id=around.run_id,
        step_id=around.step_id(task.key),
        attempt=task.number,
        item=task.index,
        correlation_id=around.correlation_id,
        deadline=began + task.timeout,
        cancelled=around.cancelled,
        log=log,
        live=voice.say,
        secret=around.secret,
        redact=around.redactor.text,
        egress=around.node.egress,
        known_hosts=around.known_hosts,
        images=around.node.images,
        idempotency_key=task.idempotency_key,
        providers=around.node.providers,
        models=around.node.models,
        artifact=keeper.keep,
        open_artifact=around.open_artifact,
        artifact_max=limits.artifact_max(around.node),
        footprint=used.append,
    )
    with correlate(
        correlation_id=context.correlation_id, run_id=context.run_id, step_id=context.step_id
    ):
        outputs, failure = _run(task, action, context)
    voice.end()
    hidden = action.spec.redact
    if hidden:
        # Before anything is stored: rows, events, the log and the record come of this outcome.
        outputs = without(outputs, hidden)
        failure = failure and replace(failure, details=without(failure.details, hidden))
    return Outcome(
        task,
        outputs,
        failure,
        tuple(lines),
        time.monotonic() - began,
        tuple(used),
        tuple(keeper.kept),
    )


def _speaker(task: Task, around: Surroundings) -> live_log.Speaker:
    return live_log.Speaker(
        attempt_id=task.attempt_id,
        run_id=around.run_id,
        run_attempt=around.run_attempt,
        step_id=around.step_id(task.key),
        item_index=task.index,
        number=task.number,
    )


def _run(
    task: Task, action: Action, context: ActionContext
) -> tuple[dict[str, Any] | None, Failure | None]:
    try:
        outputs = action.run(task.inputs, context)
        _bounded(outputs)
    except StepError as error:
        return None, _failure(error)
    except XynError as error:
        # Of what it was lent: a store that is full, or bytes that are too many.
        away = isinstance(error, UnavailableError)
        return None, Failure(error.code, error.message, temporary=away, details=error.details)
    except Exception as error:  # an action's own fault must not end the worker
        logger.exception("action %s failed in a way it does not declare", task.action)
        message = f"{task.action} failed in a way it does not declare: {type(error).__name__}"
        return None, Failure("internal_error", message, temporary=False)
    return outputs, None


class _Keeper:
    """Stores what an attempt keeps, without the secrets in it."""

    def __init__(self, task: Task, around: Surroundings) -> None:
        self.kept: list[Artifact] = []
        self._task = task
        self._around = around

    def keep(
        self,
        *,
        name: str,
        kind: str,
        content_type: str,
        content: bytes | BinaryIO,
        retention: str | None = None,
    ) -> uuid.UUID:
        """Store bytes; ``TooLargeError`` beyond the node's ``artifact_max``."""
        around, most = self._around, limits.artifact_max(self._around.node)
        redact = around.redactor.bytes
        clean = (
            BytesIO(redact(content)) if isinstance(content, bytes) else CleanStream(content, redact)
        )
        # Of a stream the store reads, and asks for nothing else.
        sha256, length = around.artifacts.put(cast("BinaryIO", clean), limit=most)
        artifact = Artifact(
            artifact_id=new_id(),
            name=storable(around.redactor.text(name)),
            kind=storable(kind),
            content_type=storable(content_type),
            created_at=dt.datetime.now(dt.UTC),
            created_by=SYSTEM_ACTOR,
            byte_length=length,
            run_id=around.run_id,
            step_id=around.step_id(self._task.key),
            sha256=sha256,
            retention=retention and storable(retention),
        )
        self.kept.append(artifact)
        return artifact.artifact_id


def _bounded(outputs: Mapping[str, Any]) -> None:
    try:
        size(dict(outputs))
    except ExpressionError as error:
        message = f"the step's outputs are too large: {error.message}"
        raise ExpressionError("too_large", message) from error


def _failure(error: StepError) -> Failure:
    return Failure(
        error.failure_code,
        error.message,
        temporary=isinstance(error, TemporaryError),
        delay=error.delay if isinstance(error, TemporaryError) else None,
        details=error.details,
    )
