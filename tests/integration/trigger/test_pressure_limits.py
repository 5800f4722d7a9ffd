"""The limits of a backlog (seed 38): runs before starts slow, bytes before senders have to wait."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from tests.trigger_world import DISK, World, event, on
from xyn_reconciler.store import claims, suppressions
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.trigger import pressure
from xyn_reconciler.trigger.pressure import Headroom, IntakeFullError

BODY = b'{"host": "db1"}'


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def waiting_bytes(world: World) -> int:
    with world.database.connect() as connection:
        return suppressions.waiting_bytes(connection)


def run_sql(world: World, statement: str) -> None:
    with world.database.begin() as connection:
        connection.exec_driver_sql(statement)


class Clock:
    """Seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def allow(world: World, size: int) -> None:
    world.activate(settings={"limits": {"backlog_max": size}})


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────


def test_node_yaml_says_how_many_runs_may_wait_before_starts_slow(world: World) -> None:
    world.activate(DISK, on("calm.event", "bp.calm"), settings={"limits": {"backlog_runs": 2}})
    within = world.take_in(event(), event())
    world.now += dt.timedelta(seconds=2)
    beyond = world.take_in(event())
    calm = world.take_in(event("calm.event"))

    queued = dict(world.ask("SELECT args->>'run_id', priority FROM procrastinate_jobs"))
    assert [queued[str(run_id)] for run_id in within.run_ids] == [0, 0]
    assert queued[str(beyond.run_ids[0])] < 0
    assert queued[str(calm.run_ids[0])] == 0


def test_a_calm_blueprints_run_is_taken_before_the_storm_that_came_first(world: World) -> None:
    world.activate(DISK, on("calm.event", "bp.calm"), settings={"limits": {"backlog_runs": 1}})
    world.take_in(event(), event())
    world.now += dt.timedelta(seconds=2)
    storm = world.take_in(*(event() for _ in range(5)))
    calm = world.take_in(event("calm.event"))

    with world.database.begin() as connection:
        order = [one.run_id for one in claims.claim(connection, [], now=world.now, room=3).runs]

    assert calm.run_ids[0] in order
    assert not {*order} & {*storm.run_ids}


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────


def test_bytes_wait_until_the_event_is_in_git_and_its_run_is_taken_up(world: World) -> None:
    world.activate(DISK)
    assert waiting_bytes(world) == 0

    world.take_in(event(raw=BODY))
    unhandled = waiting_bytes(world)
    run_sql(world, "DELETE FROM outbox")
    unstarted = waiting_bytes(world)
    run_sql(world, "UPDATE runs SET status = 'running'")

    assert unhandled == unstarted >= len(BODY)
    assert waiting_bytes(world) == 0


def test_the_last_byte_that_fits_is_taken_in_and_the_next_is_not(
    world: World, tmp_path: Path
) -> None:
    world.activate(DISK)
    world.take_in(event(raw=BODY))
    full = waiting_bytes(world)
    allow(world, full + 2 * len(BODY))
    headroom = Headroom()

    def ask(source: str) -> None:
        headroom.ask(tmp_path, world.database, [event(raw=BODY, source=source)])

    # Not stored, only let in: what was let in since the last count is counted as well.
    ask("github")
    ask("github")
    with pytest.raises(IntakeFullError) as caught:
        ask("checkmk")

    assert caught.value.http_status == 429
    assert caught.value.details == {"source": "checkmk", "retry_after": 30}
    assert "backlog_max" in caught.value.message
    assert headroom.refused == {"checkmk": 1}


def test_when_what_waited_is_handled_senders_may_come_again(world: World, tmp_path: Path) -> None:
    clock = Clock()
    world.activate(DISK)
    world.take_in(event(raw=BODY))
    allow(world, waiting_bytes(world))
    headroom, next_one = Headroom(clock), [event(raw=BODY, source="github")]
    with pytest.raises(IntakeFullError):
        headroom.ask(tmp_path, world.database, next_one)

    run_sql(world, "DELETE FROM outbox")
    run_sql(world, "UPDATE runs SET status = 'running'")
    clock.now += 60

    headroom.ask(tmp_path, world.database, next_one)
    assert headroom.refused == {"github": 1}


def test_a_count_that_takes_long_is_made_more_seldom(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, count = Clock(), suppressions.waiting_bytes
    world.activate(DISK)

    def slow(connection: Connection) -> int:
        clock.now += 2
        return count(connection)

    monkeypatch.setattr(suppressions, "waiting_bytes", slow)
    headroom = Headroom(clock)
    headroom.waiting(world.database)
    world.take_in(event(raw=BODY))

    clock.now += 39
    before = headroom.waiting(world.database).size
    clock.now += 2

    assert before == 0
    assert headroom.waiting(world.database).size > 0


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_for_the_disk_says_when_to_come_again_and_is_counted_by_source(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.activate(DISK)
    clock = Clock()
    headroom, one = Headroom(clock), [event(source="github")]
    headroom.ask(tmp_path, world.database, one)
    monkeypatch.setattr(pressure, "FREE_AT_MOST", 10**30)
    monkeypatch.setattr(pressure, "FREE_SHARE", 2.0)
    clock.now += 1

    with pytest.raises(IntakeFullError) as caught:
        headroom.ask(tmp_path, world.database, one)

    assert "disk" in caught.value.message
    assert caught.value.details == {"source": "github", "retry_after": 30}
    assert headroom.refused == {"github": 1}


def test_the_disk_is_looked_at_once_a_second_however_many_events_come(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, look = Clock(), shutil.disk_usage
    looked: list[Path] = []
    world.activate(DISK)

    def counting(path: Path) -> object:
        looked.append(path)
        return look(path)

    monkeypatch.setattr(shutil, "disk_usage", counting)
    headroom = Headroom(clock)
    for _ in range(100):
        headroom.ask(tmp_path, world.database, [event(source="github")])
    clock.now += 1
    headroom.ask(tmp_path, world.database, [event(source="github")])

    assert looked == [tmp_path, tmp_path]
