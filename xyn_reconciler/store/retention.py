"""How long handled events stay in the index (``limits.backlog``, seed 38.1).

The node's process asks now and then. What goes from the index is in Git, and a
rebuild brings it back. Handled is an event that is recorded and that no run
belongs to: the events of runs, and those that started them, stay with their runs.
"""

import datetime as dt
from typing import Final

from sqlalchemy import text

from xyn_reconciler.store.database import Connection

AT_ONCE: Final = 5000
"""Events of one call; the next one goes on."""

_HANDLED: Final = text(
    "DELETE FROM events WHERE event_id IN ("
    " SELECT e.event_id FROM events e"
    " WHERE e.created_at >= :since AND e.created_at < :before"
    " AND e.record_commit IS NOT NULL AND e.run_id IS NULL"
    " AND NOT EXISTS (SELECT FROM runs r WHERE r.event_id = e.event_id)"
    " AND NOT EXISTS (SELECT FROM debounced d WHERE d.event_id = e.event_id)"
    " AND NOT EXISTS (SELECT FROM outbox o WHERE o.subject = e.event_id)"
    " ORDER BY e.created_at LIMIT :most)"
)


def drop_handled(connection: Connection, *, since: dt.datetime, before: dt.datetime) -> int:
    """Take handled events of a time (``before`` is outside it) out of the index; how many.

    At most :data:`AT_ONCE`, the oldest first.
    """
    asked = {"since": since, "before": before, "most": AT_ONCE}
    return connection.execute(_HANDLED, asked).rowcount
