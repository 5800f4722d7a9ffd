"""Wake-ups: gone with a rollback, told at the commit, taken in order."""

import datetime as dt
import threading
import uuid

from sqlalchemy import text

from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.dispatch import QUEUE, TAKE, enqueue, enqueue_many, listen

LONG = 60.0
"""Seconds after which a test gives up; none of them waits for it when all is well."""


def jobs(connection: Connection) -> int:
    found = connection.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one()
    assert isinstance(found, int)
    return found


def take(connection: Connection, most: int) -> list[uuid.UUID]:
    return [row[0] for row in connection.exec_driver_sql(TAKE, (QUEUE, most))]


def test_a_rolled_back_transaction_leaves_no_job(database: Database) -> None:
    with database.connect() as connection:
        enqueue(connection, uuid.uuid4())
        assert jobs(connection) == 1
        connection.rollback()

        assert jobs(connection) == 0


def test_jobs_carry_no_lock(connection: Connection) -> None:
    run_id = uuid.uuid4()
    enqueue(connection, run_id)
    enqueue_many(connection, [(run_id, 0)])

    locks = connection.execute(text("SELECT lock, queueing_lock FROM procrastinate_jobs")).all()
    assert [tuple(each) for each in locks] == [(None, None)] * 2


def test_what_is_taken_is_gone_and_what_is_urgent_goes_first(connection: Connection) -> None:
    low, high, middle = (uuid.uuid4() for _ in range(3))
    enqueue_many(connection, [(low, -5), (high, 7), (middle, 0)])

    first = take(connection, 1)
    rest = take(connection, 10)

    assert first == [high]
    assert set(rest) == {low, middle}
    assert jobs(connection) == 0


def test_a_job_for_later_waits(connection: Connection) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    enqueue(connection, uuid.uuid4(), at=later)

    assert take(connection, 10) == []
    assert jobs(connection) == 1


def test_two_who_take_at_once_never_get_the_same_job(database: Database) -> None:
    wanted = {uuid.uuid4() for _ in range(20)}
    with database.begin() as connection:
        enqueue_many(connection, [(run_id, 0) for run_id in wanted])

    with database.begin() as one, database.begin() as other:
        got = take(one, 12)
        also = take(other, 12)

    assert len(got) + len(also) == len(wanted)
    assert set(got) | set(also) == wanted


def test_a_commit_tells_whoever_listens_long_before_it_would_look(database: Database) -> None:
    listening, told = threading.Event(), threading.Event()

    def ears() -> None:
        for number, _ in enumerate(listen(database, timeout=LONG)):
            if number == 0:
                listening.set()  # the first is said when it begins to listen
            else:
                told.set()
                return

    thread = threading.Thread(target=ears)
    thread.start()
    assert listening.wait(LONG)
    with database.begin() as connection:
        enqueue(connection, uuid.uuid4())

    assert told.wait(LONG / 2)
    thread.join(LONG)
