"""How a step ends in a turn: its view, its attempt, what is told and logged of it."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from xyn_reconciler.model.internal_events import (
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
)
from xyn_reconciler.model.run import StepStatus
from xyn_reconciler.run.decide import has_ended
from xyn_reconciler.run.journal import Journal


class StepEnds:
    """The ends of one run's steps in one turn."""

    def __init__(self, journal: Journal, now: dt.datetime) -> None:
        self.journal = journal
        self.now = now

    def skip(self, key: str, reason: str) -> None:
        self.journal.end(key, StepStatus.SKIPPED, self.now)
        self.journal.tell_step(StepSkipped, key, self.now, reason=reason)
        self.journal.log(self.now, f"skipped: {reason}", step=key)

    def took(self, key: str, seconds: float, dims: Mapping[str, Any] | None = None) -> None:
        milliseconds = round(seconds * 1000, 3)
        self.journal.use(key, "wall_ms", milliseconds, "ms", self.now, dims=dims)

    def _count(self, key: str) -> None:
        self.journal.use(key, "step.count", 1, "count", self.now)

    def complete(self, key: str, outputs: Any) -> None:  # noqa: ANN401 - any JSON value
        """End a step well; ``outputs`` without secrets in them."""
        self._count(key)
        self.journal.end(key, StepStatus.COMPLETED, self.now, outputs=outputs)
        self.journal.tell_step(StepCompleted, key, self.now)
        self.journal.log(self.now, "completed", step=key)

    def fail(self, key: str, error: dict[str, Any], outputs: Any = None) -> None:  # noqa: ANN401 - any JSON value
        self._count(key)
        error = self.journal.redactor.value(error)
        outputs = self.journal.redactor.value(outputs)
        self.journal.end(key, StepStatus.FAILED, self.now, outputs=outputs, error=error)
        self.tell_failure(key, error, will_retry=False)

    def tell_failure(self, key: str, error: Mapping[str, Any], *, will_retry: bool) -> None:
        self.journal.tell_step(
            StepFailed,
            key,
            self.now,
            code=str(error["code"]),
            message=str(error["message"]),
            will_retry=will_retry,
        )
        again = "; it will be tried again" if will_retry else ""
        self.journal.log(self.now, f"failed: {error['code']}: {error['message']}{again}", step=key)

    def cancel(self, key: str) -> None:
        self._cancel_runs_of(key)
        self.journal.end(key, StepStatus.CANCELLED, self.now)
        self.journal.tell_step(StepCancelled, key, self.now)
        self.journal.log(self.now, "cancelled", step=key)

    def end_row(
        self,
        attempt_id: uuid.UUID,
        status: str,
        *,
        outputs: Any = None,  # noqa: ANN401 - any JSON value
        error: dict[str, Any] | None = None,
        retry_at: dt.datetime | None = None,
    ) -> None:
        """End an attempt; ``outputs`` without secrets in them."""
        if error is not None and retry_at is not None:
            error = error | {"retry_at": retry_at.isoformat()}
        self.journal.changes.finished.append(
            {
                "attempt_id": attempt_id,
                "status": status,
                "completed_at": self.now,
                "outputs": outputs,
                "error": self.journal.redactor.value(error),
            }
        )

    def _cancel_runs_of(self, key: str) -> None:
        view = self.journal.steps[key]
        awaited = [view.awaited, *(item.awaited for item in view.items or ())]
        self.journal.changes.cancels += [
            uuid.UUID(one["run_id"]) for one in awaited if one is not None and not has_ended(one)
        ]
