import datetime as dt
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from xyn_reconciler.store import dispatch
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.dispatch import enqueue, sweep, work

LONG = 20.0
"""Seconds after which a test gives up; none of them waits for it when all is well."""

CLAIM_AND_HANG = """
import sys, threading
from xyn_reconciler.store.dispatch import work

def hang(run_id):
    print(run_id, flush=True)
    threading.Event().wait()

work(sys.argv[1], hang, concurrency=1, stop=threading.Event())
"""


def jobs(connection: Connection) -> int:
    found = connection.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one()
    assert isinstance(found, int)
    return found


@contextmanager
def working(
    url: str, advance: Callable[[uuid.UUID], None], *, concurrency: int = 2
) -> Iterator[None]:
    stop = threading.Event()
    worker = threading.Thread(
        target=work, args=(url, advance), kwargs={"concurrency": concurrency, "stop": stop}
    )
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(LONG)
        assert not worker.is_alive(), "a worker that is told to stop, stops"


def test_a_rolled_back_transaction_leaves_no_job(database: Database) -> None:
    with database.connect() as connection:
        enqueue(connection, uuid.uuid4())
        assert jobs(connection) == 1
        connection.rollback()

        assert jobs(connection) == 0


def test_jobs_carry_no_lock(connection: Connection) -> None:
    run_id = uuid.uuid4()
    enqueue(connection, run_id)
    enqueue(connection, run_id)

    locks = connection.execute(text("SELECT lock, queueing_lock FROM procrastinate_jobs")).all()
    assert [tuple(each) for each in locks] == [(None, None)] * 2


def test_every_committed_job_is_worked_and_then_gone(database: Database, database_url: str) -> None:
    wanted = {uuid.uuid4() for _ in range(20)}
    got: queue.Queue[uuid.UUID] = queue.Queue()
    with database.begin() as connection:
        for run_id in wanted:
            enqueue(connection, run_id)

    with working(database_url, got.put):
        assert {got.get(timeout=LONG) for _ in wanted} == wanted

    with database.connect() as connection:
        assert jobs(connection) == 0


def test_a_commit_wakes_an_idle_worker_long_before_it_would_look(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "POLLING_SECONDS", 3600.0)
    got: queue.Queue[uuid.UUID] = queue.Queue()
    first, second = uuid.uuid4(), uuid.uuid4()

    with working(database_url, got.put):
        wait_for_a_listener(database)
        for run_id in (first, second):
            with database.begin() as connection:
                enqueue(connection, run_id)
            assert got.get(timeout=LONG) == run_id


def wait_for_a_listener(database: Database) -> None:
    listening = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'idle' AND query LIKE 'LISTEN%procrastinate_queue_v1#xyn%'"
    )
    pause = threading.Event()
    for _ in range(int(LONG / 0.02)):
        with database.connect() as connection:
            if connection.execute(listening).scalar_one():
                return
        pause.wait(0.02)
    raise AssertionError("nobody listens")


def test_higher_priorities_come_first(database: Database, database_url: str) -> None:
    low, high = uuid.uuid4(), uuid.uuid4()
    got: queue.Queue[uuid.UUID] = queue.Queue()
    with database.begin() as connection:
        enqueue(connection, low, priority=-1)
        enqueue(connection, high, priority=5)

    with working(database_url, got.put, concurrency=1):
        assert [got.get(timeout=LONG), got.get(timeout=LONG)] == [high, low]


def test_a_job_for_later_waits(database: Database, database_url: str) -> None:
    now, later = uuid.uuid4(), uuid.uuid4()
    got: queue.Queue[uuid.UUID] = queue.Queue()
    with database.begin() as connection:
        enqueue(connection, later, at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
        enqueue(connection, now)

    with working(database_url, got.put):
        assert got.get(timeout=LONG) == now

    with database.connect() as connection:
        assert jobs(connection) == 1


def test_a_failing_advance_blocks_nothing_and_leaves_nothing(
    database: Database, database_url: str
) -> None:
    bad, good = uuid.uuid4(), uuid.uuid4()
    got: queue.Queue[uuid.UUID] = queue.Queue()

    def advance(run_id: uuid.UUID) -> None:
        if run_id == bad:
            raise ValueError("no")
        got.put(run_id)

    with database.begin() as connection:
        enqueue(connection, bad)
        enqueue(connection, good)

    with working(database_url, advance, concurrency=1):
        assert got.get(timeout=LONG) == good

    with database.connect() as connection:
        assert jobs(connection) == 0


def test_as_many_jobs_run_at_once_as_was_asked_for(database: Database, database_url: str) -> None:
    together = threading.Barrier(12)
    got: queue.Queue[uuid.UUID] = queue.Queue()

    def advance(run_id: uuid.UUID) -> None:
        together.wait(LONG)
        got.put(run_id)

    with database.begin() as connection:
        for _ in range(12):
            enqueue(connection, uuid.uuid4())

    with working(database_url, advance, concurrency=12):
        for _ in range(12):
            got.get(timeout=LONG)


def test_stopping_waits_for_what_is_under_way(database: Database, database_url: str) -> None:
    begun, finished = threading.Event(), threading.Event()
    go_on = threading.Event()

    def advance(_: uuid.UUID) -> None:
        begun.set()
        go_on.wait(LONG)
        finished.set()

    with database.begin() as connection:
        enqueue(connection, uuid.uuid4())
    with working(database_url, advance):
        assert begun.wait(LONG)
        threading.Timer(0.3, go_on.set).start()

    assert finished.is_set()
    with database.connect() as connection:
        assert jobs(connection) == 0


def test_a_killed_workers_job_hinders_nobody_and_is_swept_away(
    database: Database, database_url: str
) -> None:
    killed, next_one = uuid.uuid4(), uuid.uuid4()
    got: queue.Queue[uuid.UUID] = queue.Queue()
    with database.begin() as connection:
        enqueue(connection, killed)
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM_AND_HANG, database_url], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == str(killed)
        worker.kill()

    with database.begin() as connection:
        assert sweep(connection) == 0, "a worker that was just heard of is not given up yet"
        enqueue(connection, killed)
        enqueue(connection, next_one)
    with working(database_url, got.put):
        assert {got.get(timeout=LONG), got.get(timeout=LONG)} == {killed, next_one}
    with database.begin() as connection:
        connection.execute(
            text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
        )

        assert sweep(connection) == 1
        assert jobs(connection) == 0


def test_a_worker_that_was_given_up_while_it_paused_works_on(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    paused, after = uuid.uuid4(), uuid.uuid4()
    begun, go_on = threading.Event(), threading.Event()
    got: queue.Queue[uuid.UUID] = queue.Queue()

    def advance(run_id: uuid.UUID) -> None:
        if run_id == paused:
            begun.set()
            go_on.wait(LONG)
        got.put(run_id)

    with database.begin() as connection:
        enqueue(connection, paused)
    with working(database_url, advance, concurrency=1):
        assert begun.wait(LONG)
        with database.begin() as connection:
            connection.execute(
                text("UPDATE procrastinate_workers SET last_heartbeat = '2000-01-01'")
            )
            assert sweep(connection) == 1
            enqueue(connection, after)
        go_on.set()

        assert [got.get(timeout=LONG), got.get(timeout=LONG)] == [paused, after]

    assert "the queue is away, trying again: insert or update on table" in caplog.text


def test_a_worker_whose_connections_were_cut_works_on(
    database: Database, database_url: str
) -> None:
    got: queue.Queue[uuid.UUID] = queue.Queue()
    before, after = uuid.uuid4(), uuid.uuid4()
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    with working(database_url, got.put):
        with database.begin() as connection:
            enqueue(connection, before)
        assert got.get(timeout=LONG) == before
        with database.begin() as connection:
            connection.execute(cut)
            enqueue(connection, after)

        assert got.get(timeout=LONG) == after
