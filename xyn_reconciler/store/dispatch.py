"""Wake-ups for runs, in procrastinate's queue in Postgres.

A job says "advance run X" and nothing else. Truth is in our own rows: a job
that is lost, doubled or late does no harm, because a worker claims the run
first and looks for runnable runs by itself.

The queue's tables, functions and notices are procrastinate's; its worker is
not used. A claim takes the jobs of its runs in its own statement
(:data:`TAKE`), which costs no round trip and leaves nothing of a dead worker.

The trap: no job carries procrastinate's ``lock`` or ``queueing_lock``. With
them a dead worker's job blocks its successor, and a second enqueue aborts the
caller's transaction.
"""

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence

from sqlalchemy import text

from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.pipeline import Asked, send

QUEUE = "xyn"
TASK = "advance"


def enqueue(
    connection: Connection,
    run_id: uuid.UUID,
    *,
    priority: int = 0,
    at: dt.datetime | None = None,
) -> None:
    """Wake a worker for a run when the caller's transaction commits, not before ``at``.

    Higher priorities come first. Rolled back, it leaves nothing.
    """
    connection.execute(
        text(
            "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW("
            ":queue, :task, :priority, NULL, NULL,"
            " jsonb_build_object('run_id', CAST(:run AS text)),"
            " CAST(:at AS timestamptz))]::procrastinate_job_to_defer_v1[])"
        ),
        {"queue": QUEUE, "task": TASK, "priority": priority, "run": str(run_id), "at": at},
    )


def enqueue_many(connection: Connection, runs: Sequence[tuple[uuid.UUID, int]]) -> None:
    """Wake a worker for each (run, priority), in one statement."""
    if runs:
        send(connection, [waking(runs)])


def waking(runs: Sequence[tuple[uuid.UUID, int]]) -> Asked:
    """Give the statement of :func:`enqueue_many`, to be sent along with others."""
    return WAKING.encode(), given(runs)


def given(runs: Sequence[tuple[uuid.UUID, int]]) -> dict[str, object]:
    """Give the parameters of :data:`WAKING`."""
    return {
        "queue": QUEUE,
        "task": TASK,
        "awake": [str(run_id) for run_id, _ in runs],
        "priorities": [priority for _, priority in runs],
    }


WAKING = (
    "SELECT procrastinate_defer_jobs_v1(array_agg(ROW(%(queue)s, %(task)s, priority, NULL, NULL,"
    " jsonb_build_object('run_id', run), NULL)::procrastinate_job_to_defer_v1 ORDER BY n))"
    " FROM unnest(CAST(%(awake)s AS text[]), CAST(%(priorities)s AS integer[])) WITH ORDINALITY"
    " AS given (run, priority, n)"
)
"""Wakes workers for runs; whoever writes a condition behind it says what none at all is."""


TAKE = """
DELETE FROM procrastinate_jobs WHERE id IN (
    SELECT id FROM procrastinate_jobs
    WHERE status = 'todo' AND queue_name = %s
      AND (scheduled_at IS NULL OR scheduled_at <= now())
    ORDER BY priority DESC, id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING CAST(args ->> 'run_id' AS uuid) AS run_id
"""
"""Takes wake-ups off the queue (its name, how many), the most urgent first.

A part of the statement that claims their runs: a job goes with its claim, so a
worker that dies leaves none behind, and a crowd of them costs no round trip.
"""


def listen(database: Database, *, timeout: float) -> Iterator[None]:
    """Yield whenever there may be wake-ups to take, at the latest every ``timeout`` seconds."""
    for _ in database.listen([_CHANNEL], timeout=timeout):
        yield


_CHANNEL = f"procrastinate_queue_v1#{QUEUE}"
"""Where procrastinate's trigger tells of a new job."""
