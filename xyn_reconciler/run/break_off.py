"""End a run that a fault of our own stops; tried again, the fault would only come again."""

import datetime as dt
import uuid

from xyn_reconciler.model.internal_events import RunFailed
from xyn_reconciler.model.run import RunStatus, StepStatus
from xyn_reconciler.run.equipment import Equipment
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.run.take_up import journals
from xyn_reconciler.store import claims
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.turns import Turn


def break_off(
    connection: Connection, run_id: uuid.UUID, error: Exception, now: dt.datetime, own: Equipment
) -> Journal | None:
    """Fail it; what it had begun is left as it is. ``None`` where it is another's by now."""
    claims.release(connection, run_id, worker=own.name)
    claimed = claims.claim(connection, [run_id], now=now).runs
    if not claimed:
        return None
    (journal,) = journals(connection, claimed, own)
    for key, view in journal.steps.items():
        if not view.status.ended:
            journal.end(key, StepStatus.CANCELLED, now)
    message = f"Xyn itself failed here ({type(error).__name__}); the node's log says where"
    reason = {"code": "internal_error", "message": message, "step": None}
    journal.set_run(RunStatus.FAILED, error=reason, completed_at=now, available_at=None)
    told = RunFailed(
        blueprint_id=journal.plan.blueprint_id, code="internal_error", message=message, step=None
    )
    journal.tell(told, now)
    journal.changes.record = True
    journal.give_back()
    turn = Turn()
    journal.write(turn, now, worker=own.name, lease=own.lease)
    turn.save(connection)
    own.emit(connection, journal.changes.events)
    return journal
