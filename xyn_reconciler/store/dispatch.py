"""Wake-ups for runs: a port of three verbs behind procrastinate's queue in Postgres.

A job says "advance run X" and nothing else. Truth is in our own rows: a job
that is lost, doubled or late does no harm, because ``advance`` claims the run
first and a sweep finds runnable runs without a job.

The trap: no job carries procrastinate's ``lock`` or ``queueing_lock``. With
them a dead worker's job blocks its successor, and a second enqueue aborts the
caller's transaction.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import procrastinate
import psycopg
import psycopg_pool
from procrastinate import exceptions as procrastinate_errors
from sqlalchemy import text

from xyn_reconciler.store.database import Connection, Database

QUEUE = "xyn"
TASK = "advance"

POLLING_SECONDS = 0.5
"""A chain of jobs met a lost wake-up in procrastinate 3.10; its own 5 s would show."""

HEARTBEAT_SECONDS = 5.0
STALLED_AFTER = dt.timedelta(seconds=20)
"""A worker silent for so long is dead, or as good as: four heartbeats."""

_STOP_SECONDS = 0.1
_RECONNECT_SECONDS = 0.5

logger = logging.getLogger(__name__)


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
        connection.execute(
            _ENQUEUE_MANY,
            {
                "queue": QUEUE,
                "task": TASK,
                "run": [str(run_id) for run_id, _ in runs],
                "priority": [priority for _, priority in runs],
            },
        )


_ENQUEUE_MANY = text(
    "SELECT procrastinate_defer_jobs_v1(array_agg(ROW(:queue, :task, priority, NULL, NULL,"
    " jsonb_build_object('run_id', run), NULL)::procrastinate_job_to_defer_v1 ORDER BY n))"
    " FROM unnest(CAST(:run AS text[]), CAST(:priority AS integer[])) WITH ORDINALITY"
    " AS given (run, priority, n)"
)


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


def work(
    database_url: str,
    advance: Callable[[uuid.UUID], None],
    *,
    concurrency: int,
    stop: threading.Event,
) -> None:
    """Call ``advance`` for every job, in up to ``concurrency`` threads, until told to stop.

    Returns when the calls under way have ended. An ``advance`` that raises is
    logged and its job is gone, like any other. A database that goes away is
    waited for. Runs an asyncio loop, so the calling thread must have none.
    """
    with Database(database_url) as database:
        conninfo = database.conninfo
    while not stop.is_set():
        try:
            asyncio.run(_work(conninfo, advance, concurrency, stop))
        except (
            procrastinate_errors.ConnectorException,
            psycopg.OperationalError,
            psycopg_pool.PoolTimeout,
        ) as error:
            logger.warning("the queue is away, trying again: %s", _cause(error))
            stop.wait(_RECONNECT_SECONDS)


def sweep(connection: Connection) -> int:
    """Remove jobs that nobody works on any more, and finished ones; how many.

    A worker that was only paused loses its job's row, nothing else: the run
    is held by its claim.
    """
    dead = text(
        "DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - CAST(:silent AS interval)"
    )
    jobs = text(
        "DELETE FROM procrastinate_jobs"
        " WHERE status = 'doing' AND worker_id IS NULL OR status NOT IN ('todo', 'doing')"
    )
    connection.execute(dead, {"silent": STALLED_AFTER})
    return connection.execute(jobs).rowcount


async def _work(
    conninfo: str,
    advance: Callable[[uuid.UUID], None],
    concurrency: int,
    stop: threading.Event,
) -> None:
    app = procrastinate.App(
        # One connection fetches and finishes; heartbeats must not queue behind it.
        connector=procrastinate.PsycopgConnector(
            conninfo=conninfo, min_size=1, max_size=min(concurrency, 4) + 1, timeout=10
        )
    )

    @app.task(name=TASK, queue=QUEUE)
    def run(run_id: str) -> None:
        advance(uuid.UUID(run_id))

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_tell_what_was_lost)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="advance") as threads:
        # The loop's own executor has as many threads as the machine has cores and four.
        loop.set_default_executor(threads)
        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=concurrency,
                    fetch_job_polling_interval=POLLING_SECONDS,
                    update_heartbeat_interval=HEARTBEAT_SECONDS,
                    stalled_worker_timeout=STALLED_AFTER.total_seconds(),
                    delete_jobs="always",
                    install_signal_handlers=False,
                )
            )
            while not stop.is_set() and not worker.done():
                await asyncio.wait([worker], timeout=_STOP_SECONDS)
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker


def _tell_what_was_lost(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say it in a line: the end of a job could not be written, or its row was swept away."""
    error = context.get("exception")
    what = _cause(error) if isinstance(error, Exception) else context["message"]
    logger.warning("a job was left to the sweep: %s", what)


def _cause(error: Exception) -> str:
    """Give the first line of the database's own words, which procrastinate wraps."""
    return str(error.__cause__ or error).strip().partition("\n")[0]
