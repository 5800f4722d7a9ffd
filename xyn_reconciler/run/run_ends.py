"""How a run stops being advanced: it fails, waits, or ends."""

import datetime as dt
from typing import Any

from xyn_reconciler.model.internal_events import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunWaiting,
)
from xyn_reconciler.model.run import RunStatus
from xyn_reconciler.run.decisions import Finish, Wait
from xyn_reconciler.run.journal import Journal


def begin_failure(journal: Journal, now: dt.datetime, error: dict[str, Any]) -> None:
    """Note why the run has failed; what ``on_failure`` names comes first."""
    # What on_failure does has limits of its own; the run's time is over or does not matter.
    journal.set_run(error=journal.redactor.value(error), deadline_at=None)
    journal.log(now, f"the run has failed: {error['code']}: {error['message']}")


def wait(journal: Journal, now: dt.datetime, decided: Wait) -> None:
    """Give the run back until people, other runs or a moment call for it."""
    same = journal.claimed.status is RunStatus.WAITING and journal.changes.quiet
    journal.set_run(
        RunStatus.WAITING,
        wait_reason=decided.reason,
        available_at=decided.until,
        waiting_since=now if decided.for_people else None,
    )
    if not same:
        journal.tell(
            RunWaiting(
                blueprint_id=journal.plan.blueprint_id, reason=decided.reason, step=decided.step
            ),
            now,
        )
        journal.log(now, f"waits: {decided.reason}", step=decided.step)
        journal.changes.log = True
        journal.changes.record = True
    # What was due before and is not any more has to be written.
    due_at = journal.claimed.available_at
    journal.unchanged = same and (due_at is None or due_at > now)
    journal.give_back()


def finish(journal: Journal, now: dt.datetime, decided: Finish) -> None:
    """End the run."""
    outputs = journal.redactor.value(decided.outputs)
    journal.set_run(
        decided.status,
        outputs=outputs,
        error=decided.error,
        warnings=decided.warnings,
        completed_at=now,
        wait_reason=None,
        available_at=None,
        waiting_since=None,
    )
    blueprint_id = journal.plan.blueprint_id
    if decided.status is RunStatus.COMPLETED:
        told = RunCompleted(blueprint_id=blueprint_id, warnings=decided.warnings)
        journal.tell(told, now)
    elif decided.status is RunStatus.CANCELLED:
        by = journal.cancelled_by or "system"
        journal.tell(RunCancelled(blueprint_id=blueprint_id, by=by), now)
    else:
        error = decided.error or {}
        journal.tell(
            RunFailed(
                blueprint_id=blueprint_id,
                code=str(error.get("code")),
                message=str(error.get("message")),
                step=error.get("step"),
            ),
            now,
        )
    journal.log(now, f"the run has ended: {decided.status}")
    journal.changes.log = True
    journal.changes.record = True
    journal.give_back()
