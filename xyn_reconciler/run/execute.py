"""Carry out one attempt of a step that has an effect outside: a task in, an outcome out.

Runs in a thread of its own. Whatever an action raises becomes an outcome; a
task whose outcome comes too late (abandoned, lease lost) harms nothing, for
nobody reads it any more.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from xyn_reconciler.action.context import Action, ActionContext
from xyn_reconciler.desired.expression import ExpressionError
from xyn_reconciler.desired.values import size
from xyn_reconciler.model.errors import StepError, TemporaryError
from xyn_reconciler.run.retry import Failure

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all tasks of one run share."""

    run_id: uuid.UUID
    step_id: Callable[[str], uuid.UUID]
    correlation_id: str
    egress: tuple[str, ...]
    secret: Callable[[str], str | None]
    cancelled: Callable[[], bool]


def launch(
    task: Task, action: Action, around: Surroundings, done: "SimpleQueue[Outcome | None]"
) -> None:
    """Begin a task; its outcome comes through ``done``, in whatever order."""
    threading.Thread(
        target=lambda: done.put(execute(task, action, around)),
        name=f"step {task.key}",
        daemon=True,  # One that hangs must not keep the process from ending.
    ).start()


def execute(task: Task, action: Action, around: Surroundings) -> Outcome:
    """Run the action to its end."""
    lines: list[str] = []
    context = ActionContext(
        run_id=around.run_id,
        step_id=around.step_id(task.key),
        attempt=task.number,
        correlation_id=around.correlation_id,
        deadline=time.monotonic() + task.timeout,
        cancelled=around.cancelled,
        log=lines.append,
        secret=around.secret,
        egress=around.egress,
        idempotency_key=task.idempotency_key,
    )
    try:
        outputs = action.run(task.inputs, context)
        _bounded(outputs)
    except StepError as error:
        return Outcome(task, None, _failure(error), tuple(lines))
    except Exception as error:  # an action's own fault must not end the worker
        logger.exception("action %s failed in a way it does not declare", task.action)
        message = f"{task.action} failed in a way it does not declare: {type(error).__name__}"
        return Outcome(
            task, None, Failure("internal_error", message, temporary=False), tuple(lines)
        )
    return Outcome(task, outputs, None, tuple(lines))


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
