"""All artifacts together are no more than the node allows (seed 38.1), whoever is killed when."""

import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from io import BytesIO
from pathlib import Path

import pytest

from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.node.artifact_upkeep import ArtifactUpkeep
from xyn_reconciler.store import artifact_claims as claims
from xyn_reconciler.store import artifact_rows, desired
from xyn_reconciler.store.artifact_room import ArtifactRoom, QuotaExceededError
from xyn_reconciler.store.artifacts import ArtifactStore, TooLargeError
from xyn_reconciler.store.database import Connection, Database


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def later() -> dt.datetime:
    """When what is claimed now is so no longer."""
    return now() + claims.GRACE + dt.timedelta(minutes=1)


def store_with(path: Path, database: Database, quota: int) -> ArtifactStore:
    store = ArtifactStore(path, room=ArtifactRoom(database, quota=lambda _: quota))
    store.prepare()
    return store


def content(number: int, length: int = 10) -> bytes:
    return f"{number:0{length}}".encode()


def stored(database: Database) -> int:
    with database.connect() as connection:
        return claims.stored_bytes(connection)


def insert(connection: Connection, sha256: str, length: int) -> None:
    artifact_rows.insert_artifact(
        connection,
        Artifact(
            artifact_id=uuid.uuid4(),
            name="a",
            kind="file",
            content_type="text/plain",
            created_at=now(),
            created_by="ada",
            sha256=sha256,
            byte_length=length,
        ),
    )


def test_what_fits_exactly_is_kept_and_a_byte_more_is_not(
    tmp_path: Path, database: Database
) -> None:
    store = store_with(tmp_path, database, 10)

    digest, length = store.put(BytesIO(bytes(10)), limit=100)

    assert length == 10
    assert store.exists(digest)
    with pytest.raises(QuotaExceededError, match="artifact_quota"):
        store.put(b"x", limit=100)
    with pytest.raises(TooLargeError):
        store.put(b"x" * 11, limit=5)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert stored(database) == 10


def test_bytes_that_are_there_already_need_no_room(tmp_path: Path, database: Database) -> None:
    store = store_with(tmp_path, database, 10)
    first = store.put(bytes(10), limit=100)
    with database.begin() as connection:
        insert(connection, *first)
        insert(connection, *first)

    assert store.put(bytes(10), limit=100) == first
    assert stored(database) == 10
    with pytest.raises(QuotaExceededError, match="room for 0 more bytes"):
        store.put(b"x", limit=100)


def test_the_log_of_a_run_is_kept_also_when_there_is_no_room(
    tmp_path: Path, database: Database
) -> None:
    store = store_with(tmp_path, database, 0)

    digest, _ = store.keep_log(b"what happened", last=True)

    assert store.exists(digest)
    with pytest.raises(QuotaExceededError):
        store.put(b"x", limit=100)


def test_logs_count_as_all_else_does(tmp_path: Path, database: Database) -> None:
    log = store_with(tmp_path, database, 20).keep_log(b"x" * 15, last=True)
    with database.begin() as connection:
        insert(connection, *log)

    with pytest.raises(QuotaExceededError, match="room for 5 more bytes"):
        store_with(tmp_path, database, 20).put(b"y" * 6, limit=100)


def test_many_that_put_at_once_fill_the_store_to_the_byte_and_not_beyond(
    tmp_path: Path, database: Database
) -> None:
    """Each has a room of its own, as processes have."""
    kept: list[int] = []

    def keep_on(putter: int) -> None:
        store = store_with(tmp_path, database, 1000)
        for number in range(40):
            try:
                store.put(content(putter * 1000 + number), limit=100)
            except QuotaExceededError:
                return
            kept.append(10)

    putting = [threading.Thread(target=keep_on, args=(number,)) for number in range(6)]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join()

    assert sum(kept) == 1000 == stored(database)


def test_two_large_ones_at_once_do_not_both_get_the_last_room(
    tmp_path: Path, database: Database
) -> None:
    stores = [store_with(tmp_path, database, 100) for _ in range(2)]
    barrier, ends = threading.Barrier(2), list[str]()

    def put(number: int) -> None:
        def check(_sha256: str, _length: int) -> None:
            barrier.wait(10)

        try:
            stores[number].put(content(number, 90), limit=100, check=check)
            ends.append("kept")
        except QuotaExceededError:
            ends.append("refused")

    putting = [threading.Thread(target=put, args=(number,)) for number in range(2)]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join()

    assert sorted(ends) == ["kept", "refused"]


@pytest.mark.crash
@pytest.mark.parametrize(("point", "there"), [("artifact.claimed", False), ("artifact.kept", True)])
def test_what_a_killed_writer_left_counts_until_it_is_swept(
    tmp_path: Path, database: Database, point: str, *, there: bool
) -> None:
    """It claimed or put bytes, and came to no row."""
    left = "0123456789"
    digest = hashlib.sha256(left.encode()).hexdigest()
    arguments = [database.url, str(tmp_path), "10", left]
    died = subprocess.run(
        [sys.executable, "-m", "tests.crash.dying_writer", *arguments],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "XYN_CRASH_AT": point},
        check=False,
    )
    store = store_with(tmp_path, database, 10)

    assert died.returncode == -signal.SIGKILL
    assert store.exists(digest) is there
    with database.begin() as connection:
        assert claims.overdue(connection, now=now()) == []
        assert claims.overdue(connection, now=later()) == [digest]
    with pytest.raises(QuotaExceededError):
        store_with(tmp_path, database, 10).put(b"x", limit=100)

    with database.begin() as connection:
        desired.ensure_node(connection, "seed")
    hour_ago = time.time() - 3700
    for unfinished in (tmp_path / "tmp").iterdir():
        os.utime(unfinished, (hour_ago, hour_ago))
    ArtifactUpkeep(database, store, later).look()

    assert not store.exists(digest)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert stored(database) == 0
    store_with(tmp_path, database, 10).put(bytes(10), limit=100)


def test_bytes_that_somebody_has_or_is_about_to_have_stay(
    tmp_path: Path, database: Database
) -> None:
    store = store_with(tmp_path, database, 100)
    had, _ = store.put(b"had", limit=100)
    claimed, _ = store.put(b"claimed", limit=100)
    with database.begin() as connection:
        insert(connection, had, 3)

    assert not claims.remove_unused(database, had, store.remove, now=later())
    assert not claims.remove_unused(database, claimed, store.remove, now=now())

    assert store.exists(had)
    assert store.exists(claimed)


def test_a_put_renews_the_claim_of_bytes_that_are_nobodys(
    tmp_path: Path, database: Database
) -> None:
    store = store_with(tmp_path, database, 100)
    digest, _ = store.put(b"again", limit=100)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE artifact_claims SET claimed_at = '2020-01-01'")

    store.put(b"again", limit=100)

    assert not claims.remove_unused(database, digest, store.remove, now=now())
    assert store.exists(digest)


def test_a_claim_is_over_soon_after_a_row_has_its_bytes(tmp_path: Path, database: Database) -> None:
    store = store_with(tmp_path, database, 100)
    kept = store.put(b"kept", limit=100)
    store.put(b"alone", limit=100)
    left = []
    with database.begin() as connection:
        insert(connection, *kept)
        for moment in (now(), now() + claims.SETTLED + dt.timedelta(minutes=1)):
            claims.release(connection, now=moment)
            left.append(
                connection.exec_driver_sql("SELECT count(*) FROM artifact_claims").scalar_one()
            )

    assert left == [2, 1]
    assert stored(database) == 9


def test_bytes_that_nobody_has_are_found_counted_and_go_after_a_while(
    tmp_path: Path, database: Database
) -> None:
    """The log of a worker that was killed before its rows."""
    store = store_with(tmp_path, database, 100)
    digest, _ = store.keep_log(b"lost log", last=True)

    claims.look_over(database, store.shelf.contents())

    assert stored(database) == 8
    with database.begin() as connection:
        assert claims.overdue(connection, now=now()) == []
        assert claims.overdue(connection, now=later()) == [digest]


def test_rows_whose_bytes_are_elsewhere_take_no_room_until_they_come(
    tmp_path: Path, database: Database
) -> None:
    """A clone lists its origin's artifacts; a rebuild cannot know what is here."""
    store = store_with(tmp_path, database, 100)
    with database.begin() as connection:
        insert(connection, hashlib.sha256(b"there").hexdigest(), 5)
        here, length = store.keep_log(b"here too", last=True)
        insert(connection, here, length)
        connection.exec_driver_sql("UPDATE artifacts SET here = false")
    assert stored(database) == 0

    claims.look_over(database, store.shelf.contents())

    assert stored(database) == 8


def test_what_is_not_as_it_was_announced_is_refused_before_it_is_kept(
    tmp_path: Path, database: Database
) -> None:
    store = store_with(tmp_path, database, 100)

    def check(_sha256: str, length: int) -> None:
        raise InvalidError(f"{length} bytes came")

    with pytest.raises(InvalidError, match="3 bytes came"):
        store.put(b"abc", limit=100, check=check)

    assert stored(database) == 0
    assert not store.exists(hashlib.sha256(b"abc").hexdigest())


def test_a_quota_that_was_lowered_or_raised_counts_at_once(
    tmp_path: Path, database: Database
) -> None:
    quota = 1000
    store = ArtifactStore(tmp_path, room=ArtifactRoom(database, quota=lambda _: quota))
    store.put(bytes(10), limit=100)

    quota = 15
    with pytest.raises(QuotaExceededError, match="room for 5 more bytes"):
        store.put(b"x" * 6, limit=100)
    quota = 16
    store.put(b"x" * 6, limit=100)
