"""Two node processes on one database: each event is recorded once, each slot fires once."""

import datetime as dt
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.record.record_world import FILES, World
from tests.running import wait_for
from xyn_reconciler.record.commit import Committer
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository
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
