"""Whether a run may begin beside others of its key, and what becomes of one that may not.

A run that may not begin stays ``created`` and waits for a slot, oldest first
(``queue``, and ``replace`` while it ends the others), or ends at once (``skip``,
``fail``). Who holds a slot and who waits is told by :mod:`store.slots`.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.model.internal_events import RunCancelled, RunFailed, RunWaiting
from xyn_reconciler.model.run import RunStatus, StepStatus
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.store.slots import Standing

REASON: Final = "concurrency"

LOOK_AGAIN: Final = dt.timedelta(seconds=30)
"""A queued run is woken when a slot is free; this is for what nobody foresaw."""

REPLACING: Final = dt.timedelta(seconds=1)
"""How soon a run that replaces others looks whether they are all told to end."""


def admits(concurrency: Mapping[str, Any], standing: Standing) -> bool:
    """Whether there is a slot for a run, those before it served."""
    return len(standing.holders) + standing.before < int(concurrency.get("limit", 1))


def turn_away(
    journal: Journal, concurrency: Mapping[str, Any], standing: Standing, now: dt.datetime
) -> None:
    """Do with a run that may not begin what its blueprint says, and give it back."""
    held = ", ".join(str(run_id) for run_id in standing.holders) or "a run before it"
    match concurrency.get("on_conflict", "queue"):
        case "skip":
            _end_early(journal, RunStatus.CANCELLED, "concurrency_skipped", f"skipped: {held}", now)
        case "fail":
            _end_early(journal, RunStatus.FAILED, "concurrency_conflict", f"refused: {held}", now)
        case "replace":
            _queue(journal, now, REPLACING)
        case _:
            _queue(journal, now, LOOK_AGAIN)


def _queue(journal: Journal, now: dt.datetime, again: dt.timedelta) -> None:
    if journal.claimed.wait_reason != REASON:
        blueprint_id = journal.plan.blueprint_id
        journal.tell(RunWaiting(blueprint_id=blueprint_id, reason=REASON, step=None), now)
        journal.changes.record = True
    journal.set_run(wait_reason=REASON, available_at=now + again)
    journal.give_back()


def _end_early(journal: Journal, status: RunStatus, code: str, why: str, now: dt.datetime) -> None:
    message = f"{why} has the slot of this run's concurrency key"
    for key in journal.planned:
        journal.end(key, StepStatus.SKIPPED, now)
    error = {"code": code, "message": message, "step": None}
    journal.set_run(status, error=error, completed_at=now, wait_reason=None, available_at=None)
    blueprint_id = journal.plan.blueprint_id
    journal.tell(
        RunCancelled(blueprint_id=blueprint_id, by=REASON)
        if status is RunStatus.CANCELLED
        else RunFailed(blueprint_id=blueprint_id, code=code, message=message, step=None),
        now,
    )
    journal.use("", "run.count", 1, "count", now)
    journal.changes.record = True
    journal.give_back()
