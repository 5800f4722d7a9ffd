"""Two node processes, or homes, on one database: recorded once, fired once, or refused."""

import datetime as dt
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.record.record_world import FILES, World
from tests.running import wait_for
from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.prepare import prepare
from xyn_reconciler.record.commit import Committer
from xyn_reconciler.record.render import RUNS
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.trigger.schedule import Clockwork

pytestmark = pytest.mark.crash

CLOCK = """\
id: bp.clock
triggers:
  - schedule: {cron: "* * * * *", missed: all}
plan:
  - {id: look, kind: transform, set: {x: 1}}
"""


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> World:
    world = World(database, repository, tmp_path)
    world.push(**FILES, **{"blueprints/clock.yaml": CLOCK})
    return world


def test_of_two_committers_one_writes_and_the_other_takes_over_when_it_ends(world: World) -> None:
    stops = [threading.Event(), threading.Event()]
    with Database(world.database.url) as first, Database(world.database.url) as second:
        loops = [
            threading.Thread(target=committer(world, database).run, args=(stop,))
            for database, stop in zip((first, second), stops, strict=True)
        ]
        try:
            for loop in loops:
                loop.start()
            runs = [world.happen() for _ in range(10)]
            wait_for(lambda: world.waiting() == 0)
            stops[0].set()
            loops[0].join()
            runs += [world.happen() for _ in range(10)]
            wait_for(lambda: world.waiting() == 0)
        finally:
            for stop, loop in zip(stops, loops, strict=True):
                stop.set()
                loop.join()

    trailers = world.git("log", "--all", "--format=%(trailers:key=Run-Id,valueonly)").split()
    assert Counter(trailers) == Counter(map(str, runs))
    assert world.git("fsck", "--strict") == ""


def committer(world: World, database: Database) -> Committer:
    return Committer(
        database,
        Repository.open(world.repository.path),
        artifacts=world.artifacts,
        node_id="seed",
        redactor=world.redactor,
        clock=world.now,
    )


def test_of_two_clocks_that_tick_at_once_each_slot_fires_once(world: World) -> None:
    with world.database.begin() as connection:
        Clockwork(world.intake).tick(connection, world.now())
    world.late += dt.timedelta(minutes=10)
    now = world.now()
    ready = threading.Barrier(4)
    fired: list[int] = []

    def tick() -> None:
        clock = Clockwork(world.intake)
        ready.wait()
        with world.database.begin() as connection:
            fired.append(clock.tick(connection, now))

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    slots = [
        row[0] for row in world.ask("SELECT delivery_id FROM events WHERE source = 'schedule'")
    ]
    assert sum(fired) == len(slots) == len(set(slots)) == 10
    assert world.ask("SELECT count(*) FROM runs") == [(10,)]


def a_home(path: Path) -> Home:
    home = Home(path)
    home.create()
    return home


def test_of_two_homes_of_one_node_the_second_finds_the_database_taken_by_another_repository(
    tmp_path: Path, database: Database
) -> None:
    first, second = a_home(tmp_path / "one"), a_home(tmp_path / "two")
    prepare(first, database, "node", say=lambda _: None)
    world = World(database, Repository.open(first.repository), tmp_path)
    world.reconciler.reconcile()
    world.committer.drain()

    with pytest.raises(ConflictError, match="goes with another state repository"):
        prepare(second, database, "node", say=lambda _: None)

    before = world.rows("documents")
    prepare(first, database, "node", say=lambda _: None)
    assert world.rows("documents") == before


def test_a_home_without_the_records_is_refused_although_it_has_main(
    tmp_path: Path, database: Database
) -> None:
    first, second = a_home(tmp_path / "one"), a_home(tmp_path / "two")
    prepare(first, database, "node", say=lambda _: None)
    world = World(database, Repository.open(first.repository), tmp_path)
    world.reconciler.reconcile()
    world.committer.drain()
    Repository.create(second.repository).fetch(str(first.repository), [f"{MAIN}:{MAIN}"])

    with pytest.raises(ConflictError, match="lacks every run record"):
        prepare(second, database, "node", say=lambda _: None)

    # With them it is the same node on another machine.
    Repository.open(second.repository).fetch(str(first.repository), [f"{RUNS}*:{RUNS}*"])
    prepare(second, database, "node", say=lambda _: None)
