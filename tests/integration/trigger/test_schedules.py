import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from tests.trigger_world import NOW, World, event, on
from xyn_reconciler.store import desired
from xyn_reconciler.trigger.schedule import Clockwork

PLAN = [{"id": "note", "kind": "transform", "set": {"x": 1}}]


def scheduled(cron: str = "*/10 * * * *", **keys: str) -> dict[str, Any]:
    """A blueprint with one schedule; all but ``event_type`` are keys of the schedule itself."""
    named = {"event_type": keys.pop("event_type")} if "event_type" in keys else {}
    trigger = {"schedule": {"cron": cron, **keys}, **named}
    return {"id": "bp.sweep", "triggers": [trigger], "plan": PLAN}


def slots(world: World) -> list[str]:
    rows = world.ask("SELECT occurred_at FROM events WHERE source = 'schedule' ORDER BY 1")
    return [f"{at:%d %H:%M}" for (at,) in rows]


def runs(world: World) -> int:
    return int(world.ask("SELECT count(*) FROM runs")[0][0])


def test_a_slot_is_an_event_and_starts_its_run(world: World) -> None:
    world.activate(scheduled(timezone="Europe/Berlin"))

    before = world.tick()
    fired = world.tick(minutes=6)

    assert (before, fired) == (0, 1)
    ((name, delivery, actor, data),) = world.ask(
        "SELECT event_name, delivery_id, actor, data FROM events WHERE source = 'schedule'"
    )
    assert (name, actor) == ("xyn.schedule.fired", "system")
    assert delivery == "seed/bp.sweep/0/2026-01-02T03:10:00Z"
    assert data == {
        "blueprint_id": "bp.sweep",
        "trigger": 0,
        "slot": "2026-01-02T03:10:00.000000Z",
        "cron": "*/10 * * * *",
        "timezone": "Europe/Berlin",
    }
    assert world.ask("SELECT blueprint_id, event_id IS NOT NULL FROM runs") == [("bp.sweep", True)]
    assert world.ask("SELECT count(*) FROM procrastinate_jobs") == [(1,)]


def test_a_slot_fires_once_however_often_one_looks(world: World) -> None:
    world.activate(scheduled())
    world.tick()

    for _ in range(70):
        world.tick(seconds=10)

    assert slots(world) == ["02 03:10"]
    assert runs(world) == 1


def test_a_slot_starts_its_own_blueprint_and_whoever_waits_for_its_name(world: World) -> None:
    other = scheduled() | {"id": "bp.other"}
    named = scheduled(event_type="checkmk.sweep") | {"id": "bp.named"}
    world.activate(scheduled("0 0 1 1 *"), other, named, on("checkmk.sweep", "bp.waits"))
    world.tick()

    world.tick(minutes=6)

    started = world.ask("SELECT blueprint_id FROM runs ORDER BY 1")
    assert started == [("bp.named",), ("bp.other",), ("bp.waits",)]


def test_the_conditions_of_a_trigger_hold_for_its_schedule_too(world: World) -> None:
    document = scheduled()
    document["triggers"][0] |= {"when": "event.data.slot != '2026-01-02T03:10:00.000000Z'"}
    world.activate(document)
    world.tick()

    world.tick(minutes=6)
    world.tick(minutes=10)

    assert slots(world) == ["02 03:10", "02 03:20"]
    assert runs(world) == 1


@pytest.mark.parametrize(
    ("missed", "fired"),
    [
        ("skip", []),
        ("last", ["02 04:00"]),
        ("all", ["02 03:10", "02 03:20", "02 03:30", "02 03:40", "02 03:50", "02 04:00"]),
    ],
)
def test_over_a_stop_of_the_node_missed_says_what_fires(
    world: World, missed: str, fired: list[str]
) -> None:
    world.activate(scheduled(missed=missed))
    world.tick()

    world.restart()
    world.tick(minutes=60)
    world.tick(seconds=1)

    assert slots(world) == fired
    assert runs(world) == len(fired)


def test_a_new_schedule_starts_when_it_is_applied(world: World) -> None:
    world.activate(scheduled(missed="all"))
    world.tick()
    world.now += dt.timedelta(hours=1)
    world.activate(scheduled(missed="all") | {"id": "bp.late"})

    world.tick()

    started = world.ask("SELECT blueprint_id, count(*) FROM runs GROUP BY 1")
    assert started == [("bp.sweep", 6)]


def test_a_schedule_that_is_changed_starts_anew_and_one_that_stays_goes_on(world: World) -> None:
    world.activate(scheduled("0 * * * *", missed="all"))
    world.tick()
    world.now += dt.timedelta(hours=2)

    world.activate(scheduled("0 * * * *", missed="all") | {"description": "so"})
    world.tick()
    kept = slots(world)
    world.now += dt.timedelta(hours=2)
    world.activate(scheduled("30 * * * *", missed="all"))
    world.tick()
    world.tick(hours=1)

    assert kept == ["02 04:00", "02 05:00"]
    assert slots(world)[2:] == ["02 07:30"]


def test_a_retired_blueprint_fires_no_more(world: World) -> None:
    world.activate(scheduled())
    world.tick()

    world.activate(retired=("bp.sweep",))
    world.tick(hours=1)

    assert slots(world) == []
    assert world.ask("SELECT count(*) FROM schedules") == [(0,)]


@pytest.mark.parametrize("mode", ["shadow", "suspended"])
def test_a_node_that_starts_nothing_misses_nothing_either(world: World, mode: str) -> None:
    world.activate(scheduled(missed="all"))
    world.tick()

    world.activate(settings={"mode": mode})
    world.tick(hours=5)
    world.activate(settings={"mode": "active"})
    world.tick()
    world.tick(minutes=10)

    assert slots(world) == ["02 08:10"]


def test_a_tick_that_is_rolled_back_is_done_again(world: World) -> None:
    world.activate(scheduled())
    with world.database.connect() as connection:
        world.clockwork.tick(connection, world.now)
        connection.rollback()
    assert world.ask("SELECT count(*) FROM schedules") == [(0,)]
    world.tick()
    world.now += dt.timedelta(minutes=6)

    with world.database.connect() as connection:
        world.clockwork.tick(connection, world.now)
        connection.rollback()

    assert slots(world) == []
    world.tick()
    assert slots(world) == ["02 03:10"]


def test_several_processes_on_one_database_fire_a_slot_once(world: World) -> None:
    blueprints = [scheduled("* * * * *", missed="all") | {"id": f"bp.n{n}"} for n in range(5)]
    world.activate(*blueprints)
    clocks = [Clockwork(world.intake) for _ in range(4)]

    def ticks(clock: Clockwork) -> None:
        for second in range(0, 240, 20):
            with world.database.begin() as connection:
                clock.tick(connection, NOW + dt.timedelta(seconds=second))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ticks, clocks))

    assert world.ask(
        "SELECT count(*), count(DISTINCT delivery_id) FROM events WHERE source = 'schedule'"
    ) == [(15, 15)]
    assert runs(world) == 15


def test_nodes_says_on_which_of_two_nodes_a_schedule_fires(world: World) -> None:
    world.activate(scheduled() | {"nodes": ["other"]})
    world.tick()
    world.tick(minutes=6)
    here = slots(world)

    world.activate(settings={"id": "other", "primary": False})
    world.tick()
    world.tick(minutes=10)

    assert here == []
    assert slots(world) == ["02 03:20"]


# ── clocks and lost databases ────────────────────────────────────────────────────────────────────


def test_a_clock_that_is_put_back_fires_nothing_twice(world: World) -> None:
    world.activate(scheduled(missed="all"))
    world.tick()
    world.tick(minutes=16)

    world.tick(minutes=-10)
    for _ in range(20):
        world.tick(minutes=1)

    assert slots(world) == ["02 03:10", "02 03:20", "02 03:30"]
    assert runs(world) == 3


def test_a_clock_that_was_far_ahead_does_not_silence_a_schedule(world: World) -> None:
    world.activate(scheduled(missed="last"))
    world.tick()
    world.tick(days=365)
    ahead = len(slots(world))

    world.tick(days=-365)
    world.tick(minutes=10)

    assert ahead == 1
    assert "02 03:10" in slots(world)


def test_a_clock_that_jumps_ahead_is_a_stop(world: World) -> None:
    world.activate(scheduled(missed="last"))
    world.tick()

    world.tick(hours=6)

    assert slots(world) == ["02 09:00"]


def test_after_a_rebuild_slots_that_fired_stay_fired(world: World) -> None:
    world.activate(scheduled(missed="all"))
    world.tick()
    world.tick(minutes=16)
    fired = slots(world)

    # What a rebuild leaves: the events and the revision with its moment, and no schedule.
    with world.database.begin() as connection:
        connection.execute(text("DELETE FROM schedules"))
    world.restart()
    world.tick(minutes=10)
    world.tick()

    assert fired == ["02 03:10", "02 03:20"]
    assert slots(world) == [*fired, "02 03:30"]
    assert runs(world) == 3


def test_slots_that_another_node_fired_are_not_this_nodes(world: World) -> None:
    """In a fleet ``nodes: [seed, other]`` fires on both, and each knows the other's events."""
    both = scheduled(missed="all") | {"nodes": ["seed", "other"]}
    world.activate(both, settings={"id": "other", "primary": False})
    world.tick()
    world.tick(minutes=26)  # as if it had come from the other node's records
    theirs = slots(world)

    world.now -= dt.timedelta(minutes=26)
    with world.database.begin() as connection:
        connection.execute(text("DELETE FROM schedules"))
    world.activate(both)
    world.tick()
    world.tick(minutes=26)

    assert theirs == ["02 03:10", "02 03:20", "02 03:30"]
    assert slots(world) == sorted([*theirs, *theirs])


def test_a_slot_cannot_be_sent_from_outside(world: World) -> None:
    world.activate(scheduled(event_type="checkmk.sweep"))
    data = {"blueprint_id": "bp.sweep", "trigger": 0}

    receipt = world.take_in(event("checkmk.sweep", source="api", data=data))

    assert receipt.run_ids == []


def test_a_paused_key_starts_the_run_of_its_newest_event(world: World) -> None:
    activate_paused(world)
    world.take_in(event(data={"host": "a", "n": 1}))
    world.now += dt.timedelta(seconds=20)
    world.take_in(event(data={"host": "a", "n": 2}))
    world.take_in(event(data={"host": "b", "n": 9}))

    early = world.tick(seconds=20)
    quiet = world.tick(seconds=11)

    assert (early, quiet) == (0, 2)
    assert world.ask("SELECT inputs->>'n' FROM runs ORDER BY 1") == [("2",), ("9",)]
    ((reason, named),) = world.ask(
        "SELECT reason, run_id = (SELECT run_id FROM runs WHERE inputs->>'n' = '2')"
        " FROM suppressions"
    )
    assert (reason, named) == ("debounce", True)
    assert world.ask("SELECT count(*) FROM procrastinate_jobs") == [(2,)]
    assert world.ask("SELECT count(*) FROM events WHERE event_name = 'xyn.run.created'") == [(2,)]


def test_a_key_that_is_never_quiet_starts_its_run_at_the_latest(world: World) -> None:
    activate_paused(world)

    started = 0
    for n in range(13):
        world.take_in(event(data={"host": "a", "n": n}))
        started += world.tick(seconds=10)

    assert started == 2  # once a minute, as at_most says


def test_a_paused_event_whose_blueprint_is_gone_says_so(world: World) -> None:
    activate_paused(world)
    world.take_in(event(data={"host": "a", "n": 1}))
    world.activate(retired=("bp.paused",))

    world.tick(seconds=60)

    assert runs(world) == 0
    ((reason, detail),) = world.ask("SELECT reason, detail FROM suppressions")
    assert (reason, detail) == ("invalid", "its triggers are not live here now")


def activate_paused(world: World) -> None:
    document = {
        "id": "bp.paused",
        "triggers": [
            {
                "event_type": "checkmk.alert",
                "debounce": {"key": "{{ event.data.host }}", "quiet": "30s", "at_most": "1m"},
            }
        ],
        "inputs": {"n": {"type": "integer", "from": "{{ event.data.n }}"}},
        "plan": PLAN,
    }
    world.activate_documents(
        desired.Document(
            path="blueprints/bp.paused.json",
            kind="blueprint",
            document_id="bp.paused",
            blob_id=uuid.uuid4().hex,
            document=document,
        )
    )
