"""Bytes go when their time is over; that there were some stays, in rows and in records."""

import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.record.record_world import FILES, NODE, World
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.node.artifact_upkeep import ArtifactUpkeep
from xyn_reconciler.record.verify import verify
from xyn_reconciler.store import artifact_claims, artifact_rows, outbox
from xyn_reconciler.store.artifact_room import ArtifactRoom
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository

NewDatabase = Callable[[], Database]
KEEP_A_WHILE = NODE + "retention: {log: 90d, prompt: 30d, short: 7d}\n"


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> World:
    world = World(database, repository, tmp_path)
    world.push(**FILES | {"node.yaml": KEEP_A_WHILE})
    return world


def keep(world: World, kind: str, content: bytes, *, days: int = 0, retention: str = "") -> str:
    """An artifact that somebody made so many days ago; its sha256."""
    store = ArtifactStore(
        world.artifacts.root, room=ArtifactRoom(world.database, quota=lambda _: 10**6)
    )
    sha256, length = store.put(content, limit=1000)
    made = Artifact(
        artifact_id=uuid.uuid4(),
        name=kind,
        kind=kind,
        content_type="text/plain",
        created_at=world.now() - dt.timedelta(days=days),
        created_by="ada",
        sha256=sha256,
        byte_length=length,
        retention=retention or None,
    )
    with world.database.begin() as connection:
        artifact_rows.insert_artifact(connection, made)
        outbox.put(connection, "artifact", [made.artifact_id], world.now())
    return sha256


def upkeep(world: World) -> ArtifactUpkeep:
    return ArtifactUpkeep(world.database, world.artifacts, world.now)


def pass_days(world: World, days: int) -> None:
    """Claims are of that long ago as well."""
    world.late += dt.timedelta(days=days)


def gone(world: World) -> set[str]:
    return {s for (s,) in world.ask("SELECT sha256 FROM artifacts WHERE deleted_at IS NOT NULL")}


def files(world: World) -> set[str]:
    return {name for name, _ in world.artifacts.shelf.contents()}


def test_a_kind_and_what_an_artifact_says_itself_decide_how_long_its_bytes_stay(
    world: World,
) -> None:
    old = keep(world, "prompt", b"old prompt", days=29)
    fresh = keep(world, "prompt", b"prompt")
    short = keep(world, "report", b"short", days=6, retention="short")
    kept = keep(world, "report", b"report", days=400)
    pass_days(world, 2)

    assert upkeep(world).look() == 2

    assert gone(world) == {old, short}
    assert files(world) == {fresh, kept}
    assert upkeep(world).look() == 0


def test_default_is_for_all_that_is_not_named_and_keep_keeps(world: World) -> None:
    world.push(**{"node.yaml": NODE + "retention: {default: 10d, report: keep}\n"})
    other, report = keep(world, "file", b"other", days=9), keep(world, "report", b"r", days=900)
    pass_days(world, 2)

    upkeep(world).look()

    assert gone(world) == {other}
    assert files(world) == {report}


def test_without_a_word_everything_is_kept(world: World) -> None:
    world.push(**{"node.yaml": NODE})
    keep(world, "prompt", b"old", days=9999)
    pass_days(world, 2)

    assert upkeep(world).look() == 0


def test_bytes_that_two_have_go_with_the_last(world: World) -> None:
    same = keep(world, "prompt", b"same", days=29)
    assert keep(world, "report", b"same", retention="short") == same
    pass_days(world, 2)
    assert upkeep(world).look() == 1
    assert files(world) == {same}
    pass_days(world, 7)

    assert upkeep(world).look() == 1

    assert files(world) == set()


def test_what_a_run_that_goes_on_has_is_in_use(world: World) -> None:
    run_id = world.happen("deploy.wanted", data={"what": "v2"})
    world.happen()
    pass_days(world, 91)

    upkeep(world).look()

    found = world.ask("SELECT run_id FROM artifacts WHERE deleted_at IS NULL")
    assert found == [(run_id,)]


def test_a_rebuild_keeps_tombstones_and_everything_else_as_it_was(
    world: World, new_database: NewDatabase
) -> None:
    """Also those of a run, whose own record is older than they are."""
    world.happen()
    keep(world, "prompt", b"old", days=29)
    keep(world, "file", b"kept")
    world.committer.drain()
    pass_days(world, 91)
    assert upkeep(world).look() == 2
    world.committer.drain()
    before = world.rows("artifacts")

    world.rebuild_into(new_database())

    assert len(gone(world)) == 2
    assert world.rows("artifacts") == before


def test_one_commit_with_a_run_and_its_tombstone_is_rebuilt_as_gone(
    world: World, new_database: NewDatabase
) -> None:
    world.happen()
    pass_days(world, 91)
    upkeep(world).look()
    world.committer.drain()

    world.rebuild_into(new_database())

    assert len(gone(world)) == 1


def test_verify_misses_what_was_lost_and_not_what_was_taken_out(world: World) -> None:
    keep(world, "prompt", b"old", days=29)
    lost = keep(world, "file", b"lost")
    world.committer.drain()
    pass_days(world, 2)
    upkeep(world).look()
    world.artifacts.remove(lost)
    world.committer.drain()

    done = verify(
        world.repository, node_id="seed", artifacts=world.artifacts, progress=lambda _: None
    )

    assert done.notes == ["the bytes of 1 artifacts that records name are not in this home"]


@pytest.mark.crash
@pytest.mark.parametrize("point", ["artifact.buried", "artifact.removed"])
def test_killed_between_rows_and_bytes_nothing_is_promised_and_nothing_left(
    world: World, point: str
) -> None:
    contents = {keep(world, "prompt", text, days=40) for text in (b"one", b"two")}
    kept = keep(world, "file", b"kept")
    pass_days(world, 2)

    asked = [world.database.url, str(world.artifacts.root), world.now().isoformat()]
    killed = subprocess.run(
        [sys.executable, "-m", "tests.crash.dying_upkeep", *asked],
        env=os.environ | {"XYN_CRASH_AT": point},
        check=False,
        timeout=60,
    )

    assert killed.returncode == -signal.SIGKILL
    assert gone(world) == contents
    left = files(world) & contents
    assert len(left) == {"artifact.buried": 2, "artifact.removed": 1}[point]
    assert upkeep(world).look() == 0
    assert files(world) == {kept}
    with world.database.connect() as connection:
        assert artifact_claims.stored_bytes(connection) == 4
    world.committer.drain()
    assert world.waiting() == 0


def test_bytes_whose_row_never_came_are_swept_after_a_week(world: World) -> None:
    """A writer that was killed, with a claim or, as a log, without."""
    store = ArtifactStore(
        world.artifacts.root, room=ArtifactRoom(world.database, quota=lambda _: 10**6)
    )
    store.put(b"upload", limit=100)
    store.keep_log(b"log", last=True)
    upkeep(world).look()
    assert files(world) == {hashlib.sha256(c).hexdigest() for c in (b"upload", b"log")}
    with world.database.connect() as connection:
        assert artifact_claims.stored_bytes(connection) == 9
    pass_days(world, 8)

    upkeep(world).look()

    assert files(world) == set()
    with world.database.connect() as connection:
        assert artifact_claims.stored_bytes(connection) == 0


def test_rows_learn_that_their_bytes_are_lost_and_found(world: World) -> None:
    world.happen()
    (log,) = files(world)
    path = world.artifacts.path(log)
    content = path.read_bytes()
    path.unlink()
    upkeep(world).look()
    assert world.ask("SELECT here FROM artifacts") == [(False,)]
    path.write_bytes(content)

    upkeep(world).look()

    assert world.ask("SELECT here FROM artifacts") == [(True,)]
