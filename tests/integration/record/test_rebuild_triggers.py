"""What triggers and meters remember, after the database was lost (promise P4)."""

import datetime as dt
from collections.abc import Callable

import pytest

from tests.integration.record.record_world import World
from xyn_reconciler.record.forget import forget
from xyn_reconciler.store import footprints
from xyn_reconciler.store.database import Database
from xyn_reconciler.trigger.schedule import Clockwork

NewDatabase = Callable[[], Database]

CALM = """\
id: bp.calm
triggers:
  - {event_type: calm.alert, dedupe: {key: "{{ event.data.host }}", window: 10m}}
plan:
  - {id: look, kind: transform, set: {x: 1}}
"""
QUIET = """\
id: bp.quiet
triggers:
  - {event_type: quiet.alert, debounce: {key: "{{ event.data.host }}", quiet: 30s, at_most: 10m}}
plan:
  - {id: look, kind: transform, set: {x: 1}}
"""
AFTER = """\
id: bp.after
triggers:
  - {event_type: xyn.run.completed, match: {data.blueprint_id: bp.disk}}
plan:
  - {id: look, kind: transform, set: {x: 1}}
"""
CLOCK = """\
id: bp.clock
triggers:
  - schedule: {cron: "0 * * * *", missed: MISSED}
plan:
  - {id: look, kind: transform, set: {x: 1}}
"""


@pytest.fixture
def world(world: World) -> World:
    world.push(**{"blueprints/calm.yaml": CALM, "blueprints/quiet.yaml": QUIET})
    return world


def tick(world: World, **later: float) -> int:
    """Let time pass and look at what is due, as a process does that has just begun."""
    world.late += dt.timedelta(**later)
    with world.database.begin() as connection:
        return Clockwork(world.intake).tick(connection, world.now())


def take_in(world: World, name: str, *hosts: str) -> None:
    for host in hosts:
        world.take_in(world.event(name, data={"host": host}))


def test_open_windows_and_what_they_suppressed_come_back(
    world: World, new_database: NewDatabase
) -> None:
    take_in(world, "calm.alert", "a", "a", "b")
    world.advance(*[row[0] for row in world.ask("SELECT run_id FROM runs")])
    world.committer.drain()
    before = world.digests()
    assert [len(world.rows(table)) for table in ("dedupe_windows", "suppressions")] == [2, 1]

    world.rebuild_into(new_database())
    after = world.digests()
    started = world.take_in(world.event("calm.alert", data={"host": "a"}))

    assert after == before
    assert started == []


def test_a_rebuild_in_place_keeps_what_was_suppressed(world: World) -> None:
    take_in(world, "calm.alert", "a", "a")
    take_in(world, "quiet.alert", "a", "a", "b")
    world.advance(*[row[0] for row in world.ask("SELECT run_id FROM runs")])
    world.committer.drain()
    before = world.digests()

    world.rebuild()

    assert world.digests() == before


def test_what_waits_to_be_quiet_waits_on_and_starts_once(
    world: World, new_database: NewDatabase
) -> None:
    take_in(world, "quiet.alert", "a", "a")
    world.committer.drain()
    take_in(world, "quiet.alert", "a", "b")
    world.committer.drain()
    before = world.digests()
    assert [len(world.rows(table)) for table in ("debounced", "suppressions")] == [2, 2]

    world.rebuild_into(new_database())
    after = world.digests()
    early, quiet, later = (tick(world, seconds=seconds) for seconds in (0, 31, 31))

    assert after == before
    assert (early, quiet, later) == (0, 2, 0)


def test_what_was_quiet_and_started_is_not_started_again(
    world: World, new_database: NewDatabase
) -> None:
    take_in(world, "quiet.alert", "a", "a")
    world.committer.drain()
    tick(world, seconds=31)
    world.committer.drain()
    (run_id,) = (row[0] for row in world.ask("SELECT run_id FROM runs"))
    suppressed = world.rows("suppressions")

    done = world.rebuild_into(new_database())

    assert done.interrupted == 1
    assert tick(world, minutes=20) == 0
    assert world.ask("SELECT run_id, wait_reason FROM runs") == [(run_id, "interrupted")]
    assert world.rows("suppressions") == suppressed
    assert str(run_id) in suppressed[0]


def test_a_run_that_another_runs_end_started_is_never_dropped(
    world: World, new_database: NewDatabase
) -> None:
    world.push(**{"blueprints/after.yaml": AFTER})
    world.happen()
    world.committer.drain()
    before = world.ask("SELECT blueprint_id, status FROM runs ORDER BY created_at")
    assert before == [("bp.disk", "completed"), ("bp.after", "created")]

    done = world.rebuild_into(new_database())

    assert done.interrupted == 1
    assert world.ask("SELECT blueprint_id, wait_reason FROM runs ORDER BY created_at") == [
        ("bp.disk", None),
        ("bp.after", "interrupted"),
    ]


@pytest.mark.parametrize(("missed", "fires"), [("skip", 0), ("last", 1), ("all", 3)])
def test_a_slot_that_fired_does_not_fire_again_and_missed_ones_do_as_they_say(
    world: World, new_database: NewDatabase, missed: str, fires: int
) -> None:
    # The next half past (not the last: a node takes up no slot from before it was there), so that
    # three hours hold three slots.
    world.late = dt.timedelta(minutes=(30 - world.now().minute) % 60)
    world.push(**{"blueprints/clock.yaml": CLOCK.replace("MISSED", missed)})
    tick(world)
    world.late = world.late + dt.timedelta(minutes=30, seconds=-world.now().second)
    assert tick(world) == 1
    world.committer.drain()

    world.rebuild_into(new_database())
    again = tick(world, minutes=1)
    world.committer.drain()
    world.rebuild_into(new_database())
    caught_up = tick(world, hours=3)

    assert (again, caught_up) == (0, fires)
    slots = [
        row[0] for row in world.ask("SELECT delivery_id FROM events WHERE source = 'schedule'")
    ]
    assert len(slots) == len(set(slots)) == 1 + fires


def test_footprints_of_a_year_come_back_into_months_of_their_own(
    world: World, new_database: NewDatabase
) -> None:
    for _ in range(3):
        world.happen()
        world.late -= dt.timedelta(days=120)
    world.committer.drain()
    before = world.digests()
    assert len(world.rows("footprints")) > 3

    world.rebuild_into(new_database())

    assert world.digests() == before
    months = world.ask("SELECT count(DISTINCT tableoid) FROM footprints")
    assert months == [(3,)]
    assert world.ask("SELECT count(*) FROM partitions.footprints_other") == [(0,)]


def test_footprints_that_came_before_their_month_was_made_move_into_it(world: World) -> None:
    world.happen()
    rows = world.rows("footprints")
    month = f"{world.now():%Y-%m}"

    for _ in range(2):
        with world.database.begin() as connection:
            footprints.ensure_months(connection, [month, "2031-12"])

    assert world.rows("footprints") == rows
    assert world.ask("SELECT count(*) FROM partitions.footprints_other") == [(0,)]
    world.happen()
    assert world.ask("SELECT count(*) FROM partitions.footprints_other") == [(0,)]


def test_an_event_that_was_recorded_more_than_once_is_forgotten_everywhere(
    world: World, new_database: NewDatabase
) -> None:
    event = world.event("quiet.alert", data={"host": "a-private-host"})
    world.take_in(event)
    world.committer.drain()
    take_in(world, "nobody.cares", "x")
    world.committer.drain()
    tick(world, seconds=31)
    world.advance(*[row[0] for row in world.ask("SELECT run_id FROM runs")])
    world.committer.drain()
    (ref,) = world.repository.refs("refs/xyn/runs/")
    assert "a-private-host" in everything(world, ref)

    forget(
        world.database,
        world.repository,
        event.event_id,
        by="ada",
        now=world.now(),
        artifacts=world.artifacts,
        redactor=world.redactor,
    )
    before = world.digests()
    world.rebuild_into(new_database())

    assert "a-private-host" not in everything(world, ref)
    assert world.digests() == before


def everything(world: World, ref: str) -> str:
    return b"".join(content for _, content in world.repository.walk_records(ref)).decode()
