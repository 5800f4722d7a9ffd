import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.record.record_world import AUTHOR, NODE, World
from tests.integration.record.test_forget import WORD, everything, forget_it, happen
from xyn_reconciler.model.errors import ConflictError, NotFoundError
from xyn_reconciler.node.artifact_upkeep import ArtifactUpkeep
from xyn_reconciler.node.clone import clone
from xyn_reconciler.node.follow import Follower
from xyn_reconciler.node.home import Home
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository

NewDatabase = Callable[[], Database]

EAST = "id: east\nenv_id: local\nmode: active\nstage: dev\n"


def cloned(world: World, folder: Path, identity: str | None = None) -> Home:
    return clone(str(world.repository.path), folder, identity=identity, say=lambda _: None)


def living(home: Home, database: Database, folder: Path) -> World:
    """The clone as a node, its index made from its history."""
    node_id = home.node_id()
    assert node_id is not None
    other = World(database, Repository.open(home.repository), folder, node_id)
    other.rebuild_into(database)
    other.reconciler.reconcile()
    return other


def follower(other: World, world: World) -> Follower:
    return Follower(
        other.database, other.repository, str(world.repository.path), other.reconciler.notice
    )


def conditions(world: World) -> dict[str, tuple[bool, str]]:
    with world.database.connect() as connection:
        return {c.type: (c.status, c.reason) for c in desired.read_node(connection).conditions}


def test_a_clone_has_the_history_an_id_of_its_own_and_stays_in_shadow(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    run_id = world.happen()
    world.committer.drain()

    home = cloned(world, tmp_path / "second")
    other = living(home, new_database(), tmp_path / "second-node")
    started = other.take_in(other.event())

    node_id = home.node_id()
    assert node_id is not None
    assert node_id.startswith("node-")
    assert home.origin() == str(world.repository.path)
    assert other.ask("SELECT run_id, record_commit FROM runs") == world.ask(
        "SELECT run_id, record_commit FROM runs"
    )
    assert other.ask("SELECT run_id FROM runs") == [(run_id,)]
    assert started == []


def test_two_clones_whose_ids_the_repository_defines_write_records_of_their_own(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    world.push(**{"nodes/east.yaml": EAST, "nodes/west.yaml": EAST.replace("east", "west")})
    found = []
    for name in ("east", "west"):
        home = cloned(world, tmp_path / name, identity=name)
        other = living(home, new_database(), tmp_path / f"{name}-node")
        other.take_in(other.event())
        other.committer.drain()
        found.append((home.node_id(), home.origin(), sorted(r.split("/")[3] for r in other.tips())))

    origin = str(world.repository.path)
    assert found == [("east", origin, ["east"]), ("west", origin, ["west"])]


def test_taking_over_the_first_node_goes_on_with_its_waiting_runs_and_follows_nobody(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    run_id = world.happen("deploy.wanted", data={"what": "v2"})
    world.committer.drain()

    home = cloned(world, tmp_path / "again", identity="seed")
    other = living(home, new_database(), tmp_path / "again-node")
    other.approve(run_id)
    other.advance(run_id)

    assert home.origin() is None
    assert other.ask("SELECT status FROM runs") == [("completed",)]


def test_an_id_that_nobody_defined_is_refused_and_leaves_nothing(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="it defines seed"):
        cloned(world, tmp_path / "new", identity="nobody")

    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")

    with pytest.raises(ConflictError, match="not empty"):
        cloned(world, tmp_path / "full")

    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_a_repository_without_node_yaml_is_no_state_repository(tmp_path: Path) -> None:
    plain = Repository.create(tmp_path / "plain.git")
    plain.commit_files(
        MAIN,
        expected=None,
        changes={"README": b"x"},
        message="x\n",
        author=AUTHOR,
        now=dt.datetime.now(dt.UTC),
    )

    with pytest.raises(NotFoundError, match="not a state repository"):
        clone(str(plain.path), tmp_path / "new", identity=None, say=lambda _: None)

    assert not (tmp_path / "new").exists()


def artifacts(world: World) -> list[tuple[Any, ...]]:
    return world.ask(
        "SELECT artifact_id, run_id, sha256, byte_length, deleted_at, record_commit"
        " FROM artifacts ORDER BY artifact_id"
    )


def test_a_clone_learns_that_its_origin_took_bytes_out(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    """In one look with the run's own record, and in a later one."""
    other = living(cloned(world, tmp_path / "two"), new_database(), tmp_path / "two-node")
    world.push(**{"node.yaml": NODE + "retention: {log: 90d}\n"})
    world.happen()
    world.late += dt.timedelta(days=91)
    upkeep = ArtifactUpkeep(world.database, world.artifacts, world.now)
    assert upkeep.look() == 1
    world.happen()
    world.committer.drain()
    follower(other, world).look()
    assert artifacts(other) == artifacts(world)

    world.late += dt.timedelta(days=91)
    assert upkeep.look() == 1
    world.committer.drain()
    follower(other, world).look()

    assert artifacts(other) == artifacts(world)
    assert other.ask("SELECT count(*) FROM artifacts WHERE deleted_at IS NOT NULL") == [(2,)]


def test_a_clone_follows_main_and_lists_what_its_origin_did_meanwhile(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    waiting = world.happen("deploy.wanted", data={"what": "v2"})
    world.committer.drain()
    other = living(cloned(world, tmp_path / "two"), new_database(), tmp_path / "two-node")
    revision = world.push(**{"blueprints/disk.yaml": None})
    world.approve(waiting)
    world.advance(waiting)
    world.committer.drain()

    follower(other, world).look()

    assert other.repository.resolve(MAIN) == revision
    assert conditions(other)["Following"] == (True, "Origin")
    assert other.ask("SELECT run_id, status, leased_by FROM runs") == [(waiting, "completed", None)]
    assert other.rows("steps") == world.rows("steps")
    assert other.rows("approvals") == world.rows("approvals")
    assert artifacts(other) == artifacts(world)
    assert other.ask("SELECT here FROM artifacts") == [(False,)], "its bytes are at the origin"
    assert other.rows("runs") == world.rows("runs")


def test_a_clone_whose_main_diverged_stays_where_it_is_and_says_so(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    other = living(cloned(world, tmp_path / "two"), new_database(), tmp_path / "two-node")
    mine = other.commit({"blueprints/mine.yaml": "id: bp.mine\nplan: []\n"})
    world.push(**{"blueprints/disk.yaml": None})

    follower(other, world).look()

    assert other.repository.resolve(MAIN) == mine
    assert conditions(other)["Following"] == (False, "Diverged")


def test_an_origin_that_is_away_is_named_and_asked_again(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    other = living(cloned(world, tmp_path / "two"), new_database(), tmp_path / "two-node")
    away = world.repository.path.rename(tmp_path / "away.git")

    follower(other, world).look()
    while_away = conditions(other)["Following"]
    away.rename(world.repository.path)
    follower(other, world).look()

    assert while_away == (False, "OriginAway")
    assert conditions(other)["Following"] == (True, "Origin")


def test_what_is_forgotten_at_the_origin_is_forgotten_by_its_clones(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    event_id, _ = happen(world)
    world.committer.drain()
    other = living(cloned(world, tmp_path / "two"), new_database(), tmp_path / "two-node")
    assert WORD in everything(other)
    forget_it(world, event_id)

    follower(other, world).look()

    assert WORD not in everything(other)


def test_a_clone_keeps_its_own_records_whatever_the_origin_has_of_them(
    world: World, new_database: NewDatabase, tmp_path: Path
) -> None:
    world.push(**{"nodes/east.yaml": EAST})
    other = living(
        cloned(world, tmp_path / "east", identity="east"), new_database(), tmp_path / "e-node"
    )
    other.take_in(other.event())
    other.committer.drain()
    (ref,) = other.repository.refs("refs/xyn/runs/east/")
    mine = other.repository.resolve(ref)
    world.repository.append_records(
        ref, expected=None, files={"x": b""}, message="x\n", author=AUTHOR, now=world.now()
    )

    follower(other, world).look()

    assert other.repository.resolve(ref) == mine
