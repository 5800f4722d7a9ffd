"""Find runs that could go on and that nobody was told of; tell a worker.

A job is only a wake-up, and any of them may be lost. Called every few seconds
by one process of the node.
"""

import datetime as dt
from typing import Final

from xyn_reconciler.store import dispatch, runs
from xyn_reconciler.store.database import Connection

SWEPT_AT_ONCE: Final = 500


def sweep(connection: Connection, now: dt.datetime) -> int:
    """Wake runs that could go on and have no job; how many.

    At most :data:`SWEPT_AT_ONCE` a call. A wake-up too many does no harm.
    """
    found = runs.runnable(connection, now=now, limit=SWEPT_AT_ONCE)
    for run_id, priority in found:
        dispatch.enqueue(connection, run_id, priority=priority)
    return len(found)
