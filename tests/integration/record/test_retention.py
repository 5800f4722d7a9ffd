"""``limits.backlog``: how long handled events stay in the index."""

import datetime as dt
import uuid
from pathlib import Path

import pytest

from tests.integration.record.record_world import FILES, NODE, World
from xyn_reconciler.node.retention import Retention
from xyn_reconciler.store import retention
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository

WEEK = dt.timedelta(days=7)
MOMENT = dt.timedelta(minutes=1)


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> World:
    world = World(database, repository, tmp_path)
    world.push(**FILES)
    return world


def outside(world: World) -> set[uuid.UUID]:
    return {row[0] for row in world.ask("SELECT event_id FROM events WHERE source <> 'xyn'")}


def come(world: World, name: str) -> uuid.UUID:
    event = world.event(name)
    world.take_in(event)
    return event.event_id


def test_a_handled_event_stays_for_seven_days_and_not_longer(world: World) -> None:
    keeper = Retention(world.database, world.now)
    event_id = come(world, "nobody.cares")
    world.committer.drain()

    world.late = WEEK - MOMENT
    keeper.look()
    within = outside(world)
    world.late = WEEK + MOMENT
    keeper.look()

    assert within == {event_id}
    assert outside(world) == set()
    # What was told of it goes with it.
    assert world.ask("SELECT count(*) FROM events WHERE event_name = 'xyn.event.received'") == [
        (0,)
    ]


def test_the_node_says_how_long(world: World) -> None:
    world.push(**{"node.yaml": f"{NODE}limits: {{backlog: 1h}}\n"})
    come(world, "nobody.cares")
    world.committer.drain()

    world.late = dt.timedelta(hours=1) + MOMENT
    Retention(world.database, world.now).look()

    assert outside(world) == set()


def test_what_is_not_in_git_yet_stays(world: World) -> None:
    world.committer.drain()
    event_id = come(world, "nobody.cares")

    world.late = WEEK + MOMENT
    Retention(world.database, world.now).look()

    assert outside(world) == {event_id}


def test_what_started_a_run_stays_with_it(world: World) -> None:
    run_id = world.happen()
    before = world.rows("runs")
    world.committer.drain()

    world.late = WEEK + MOMENT
    Retention(world.database, world.now).look()

    assert len(outside(world)) == 1
    assert world.ask("SELECT count(*) FROM events WHERE run_id = :run", run=run_id) != [(0,)]
    assert len(world.rows("runs")) == len(before) == 1


def test_a_rebuild_brings_back_what_had_gone_from_the_index(world: World) -> None:
    event_id = come(world, "nobody.cares")
    world.committer.drain()
    before = world.rows("events")
    world.late = WEEK + MOMENT
    assert Retention(world.database, world.now).look() > 0

    world.rebuild()

    assert event_id in outside(world)
    assert world.rows("events") == before


def test_more_than_goes_at_once_goes_with_the_next_looks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    for _ in range(4):
        come(world, "nobody.cares")
    world.committer.drain()
    world.late = WEEK + MOMENT
    keeper = Retention(world.database, world.now)

    looks = [keeper.look() for _ in range(5)]

    assert looks[:2] == [3, 3]
    assert outside(world) == set()
    assert looks[-1] == 0
