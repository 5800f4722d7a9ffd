import datetime as dt
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.trigger_world import DISK, NOW, World, event, on
from xyn_reconciler.model.capability import CompiledRun
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.service.explain import ExplanationDto, explain
from xyn_reconciler.store import dispatch
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store import suppressions as storm_store
from xyn_reconciler.trigger.arrival import IdempotencyKeyReusedError, Receipt
from xyn_reconciler.trigger.intake import Intake
from xyn_reconciler.trigger.pressure import BACKLOG_LIMIT

CALM: dict[str, Any] = DISK | {
    "id": "bp.calm",
    "triggers": [
        {
            "event_type": "checkmk.alert",
            "dedupe": {"key": "{{ event.data.host }}/{{ event.data.state }}", "window": "10m"},
        }
    ],
}


def explained(world: World, event_id: uuid.UUID) -> dict[str, ExplanationDto]:
    with world.database.connect() as connection:
        stored = event_store.get_event(connection, event_id)
        assert stored is not None
        found = explain(connection, world.intake.view(connection), stored.event)
    return {each.blueprint_id: each for each in found}


# ── dedupe ───────────────────────────────────────────────────────────────────────────────────────


def test_in_a_window_the_first_event_of_a_key_runs_and_suppresses_the_others(world: World) -> None:
    world.activate(CALM)

    first = world.take_in(event())
    again = world.take_in(event())
    other = world.take_in(event(data={"host": "db2", "state": "CRIT"}))

    assert [len(each.run_ids) for each in (first, again, other)] == [1, 0, 1]
    told = explained(world, again.event_ids[0])["bp.calm"]
    assert (told.outcome, told.condition, told.run_id) == ("suppressed", "dedupe", first.run_ids[0])
    with world.database.connect() as connection:
        assert storm_store.suppressed_by(connection, first.run_ids[0], limit=5) == again.event_ids


def test_a_window_ends_and_the_next_event_opens_another(world: World) -> None:
    world.activate(CALM)
    world.take_in(event())

    world.now += dt.timedelta(minutes=9, seconds=59)
    within = world.take_in(event())
    world.now += dt.timedelta(seconds=1)
    after = world.take_in(event())
    again = world.take_in(event())

    assert [len(each.run_ids) for each in (within, after, again)] == [0, 1, 0]


def test_windows_are_a_triggers_own(world: World) -> None:
    world.activate(CALM, CALM | {"id": "bp.calm_too"})

    receipt = world.take_in(event())

    assert len(receipt.run_ids) == 2


def test_a_repeat_of_a_delivery_opens_no_window(world: World) -> None:
    world.activate(CALM)
    world.take_in(event(delivery_id="d"))

    world.now += dt.timedelta(minutes=11)
    repeat = world.take_in(event(delivery_id="d"))
    fresh = world.take_in(event(delivery_id="e"))

    assert repeat.duplicate
    assert len(fresh.run_ids) == 1


def test_of_parallel_events_of_a_key_one_runs(world: World) -> None:
    world.activate(CALM)
    ready = threading.Barrier(8)

    def send(_: int) -> Receipt:
        ready.wait()
        hosts = [f"db{n}" for n in range(5)]
        return world.take_in(*(event(data={"host": host, "state": "CRIT"}) for host in hosts))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(8)))

    assert world.ask("SELECT count(*) FROM runs") == [(5,)]
    assert world.ask("SELECT count(*), count(run_id) FROM suppressions") == [(35, 35)]


def test_a_key_that_cannot_be_told_suppresses_nothing(world: World) -> None:
    world.activate(CALM)
    nameless = {"state": "CRIT"}

    first, second = world.take_in(event(data=nameless)), world.take_in(event(data=nameless))

    assert len(first.run_ids) == len(second.run_ids) == 1


def test_windows_that_have_ended_are_forgotten(world: World) -> None:
    world.activate(CALM)
    world.take_in(event())

    world.tick(minutes=9)
    kept = world.ask("SELECT count(*) FROM dedupe_windows")
    world.tick(minutes=2)

    assert (kept, world.ask("SELECT count(*) FROM dedupe_windows")) == ([(1,)], [(0,)])


# ── explain ──────────────────────────────────────────────────────────────────────────────────────


def test_explain_says_of_every_blueprint_what_became_of_an_event(world: World) -> None:
    world.activate(
        DISK,
        on("checkmk.other", "bp.other"),
        DISK | {"id": "bp.elsewhere", "nodes": ["another"]},
        on("checkmk.alert", "bp.when") | _when("event.data.age > 60"),
        on("x", "bp.clock") | {"triggers": [{"schedule": {"cron": "0 2 * * *"}}]},
    )

    receipt = world.take_in(event(data={"host": "db1", "state": "CRIT", "age": 5}))
    ok = world.take_in(event(data={"host": "db1", "state": "OK"}))

    told = explained(world, receipt.event_ids[0])
    assert {name: each.outcome for name, each in told.items()} == {
        "bp.disk": "started",
        "bp.elsewhere": "held",
        "bp.other": "not_matched",
        "bp.when": "not_matched",
        "bp.clock": "not_matched",
    }
    assert next(iter(told)) == "bp.disk"
    assert told["bp.disk"].run_id == receipt.run_ids[0]
    assert (told["bp.elsewhere"].condition, told["bp.elsewhere"].found) == ("nodes", "seed")
    other = told["bp.other"]
    assert (other.condition, other.expected, other.found) == (
        "event_type",
        "checkmk.other",
        "checkmk.alert",
    )
    when = told["bp.when"]
    assert (when.expected, when.found) == ("event.data.age > 60", {"event.data.age": 5})
    assert told["bp.clock"].condition == "schedule"
    refused = explained(world, ok.event_ids[0])["bp.disk"]
    assert (refused.condition, refused.expected, refused.found) == (
        "match.data.state",
        "CRIT",
        "OK",
    )


def _when(expression: str) -> dict[str, Any]:
    return {"triggers": [{"event_type": "checkmk.alert", "when": expression}]}


@pytest.mark.parametrize("mode", ["shadow", "suspended"])
def test_explain_names_the_mode_that_starts_nothing(world: World, mode: str) -> None:
    world.activate(DISK, settings={"mode": mode})

    receipt = world.take_in(event())

    told = explained(world, receipt.event_ids[0])["bp.disk"]
    assert (told.outcome, told.condition, told.expected, told.found) == (
        "held",
        "mode",
        "active",
        mode,
    )


def test_explain_names_the_rules_that_end_loops(world: World) -> None:
    world.activate(DISK, on("xyn.run.created", "bp.watch"))
    world.take_in(event())

    created = dict(
        world.ask(
            "SELECT data->>'blueprint_id', event_id FROM events"
            " WHERE event_name = 'xyn.run.created'"
        )
    )

    of_disk = explained(world, created["bp.disk"])["bp.watch"]
    of_watch = explained(world, created["bp.watch"])["bp.watch"]
    assert of_disk.outcome == "started"
    assert (of_watch.outcome, of_watch.condition) == ("held", "own_run")
    assert world.ask("SELECT count(*) FROM runs") == [(2,)]


def test_explain_names_the_echo_of_a_platform_event(world: World) -> None:
    world.activate(DISK, on("xyn.run.created", "bp.a"), on("xyn.run.created", "bp.b"))
    world.take_in(event())

    ((created,),) = world.ask(
        "SELECT event_id FROM events WHERE event_name = 'xyn.run.created'"
        " AND data->>'blueprint_id' = 'bp.a'"
    )

    told = explained(world, created)["bp.b"]
    assert (told.outcome, told.condition) == ("held", "echo")


def test_explain_remembers_a_blueprint_that_could_not_be_compiled(world: World) -> None:
    world.activate(DISK)
    world.intake = Intake(_cannot, Redactor(), clock=lambda: world.now)

    receipt = world.take_in(event())

    told = explained(world, receipt.event_ids[0])["bp.disk"]
    assert (told.outcome, told.condition) == ("held", "invalid")
    assert "no plan today" in told.reason


def _cannot(*_: object, **__: object) -> CompiledRun:
    raise IdempotencyKeyReusedError("no plan today")


# ── back-pressure ────────────────────────────────────────────────────────────────────────────────


def test_past_the_limit_a_storms_runs_step_back_and_intake_goes_on(world: World) -> None:
    world.activate(DISK, on("calm.event", "bp.calm_one"))
    storm = [event() for _ in range(BACKLOG_LIMIT + 1)]
    world.take_in(*storm)
    world.now += dt.timedelta(seconds=2)

    late = world.take_in(event())
    calm = world.take_in(event("calm.event"))

    priorities = dict(world.ask("SELECT args->>'run_id', priority FROM procrastinate_jobs"))
    assert priorities[str(late.run_ids[0])] < 0
    assert priorities[str(calm.run_ids[0])] == 0
    assert world.ask("SELECT DISTINCT priority FROM runs") == [(0,)]


def test_many_wake_ups_are_written_in_their_order(world: World) -> None:
    ids = [uuid.uuid4() for _ in range(5)]

    with world.database.begin() as connection:
        dispatch.enqueue_many(connection, [(each, n % 2) for n, each in enumerate(ids)])
        dispatch.enqueue_many(connection, [])

    rows = world.ask(
        "SELECT args->>'run_id', priority, status::text, queue_name, task_name, lock"
        " FROM procrastinate_jobs ORDER BY id"
    )
    assert rows == [
        (str(each), n % 2, "todo", dispatch.QUEUE, dispatch.TASK, None)
        for n, each in enumerate(ids)
    ]


# ── sharing a transaction ────────────────────────────────────────────────────────────────────────


def together(world: World, *given: Sequence[Event]) -> list[Receipt | Exception]:
    """Hand in several requests at one moment, and give the answer of each."""
    ready = threading.Barrier(len(given))

    def send(events: Sequence[Event]) -> Receipt | Exception:
        ready.wait()
        try:
            return world.intake.take_in_together(world.database, events)
        except Exception as error:  # noqa: BLE001 - what each was answered is the point
            return error

    with ThreadPoolExecutor(len(given)) as threads:
        return list(threads.map(send, given))


def test_requests_that_share_a_transaction_have_each_their_own_answer(world: World) -> None:
    world.activate(DISK)
    given = [[event(data={"host": f"db{n}", "state": "CRIT"})] for n in range(40)]

    answers = together(world, *given)

    for (sent,), answer in zip(given, answers, strict=True):
        assert isinstance(answer, Receipt)
        assert answer.event_ids == [sent.event_id]
        ((host,),) = world.ask(
            f"SELECT inputs->>'host' FROM runs WHERE run_id = '{answer.run_ids[0]}'"  # noqa: S608 - from here
        )
        assert host == sent.data["host"]


def test_a_hundred_copies_at_a_time_make_one_event_with_one_answer(world: World) -> None:
    world.activate(DISK)

    answers = together(world, *([event(delivery_id="k", source="am")] for _ in range(100)))

    receipts = [each for each in answers if isinstance(each, Receipt)]
    assert len(receipts) == 100
    assert len({each.event_ids[0] for each in receipts}) == 1
    assert sorted(each.duplicate for each in receipts) == [False, *[True] * 99]
    assert world.ask("SELECT count(*) FROM runs") == [(1,)]


def test_a_hundred_copies_over_several_processes_make_one_event(world: World) -> None:
    world.activate(DISK)
    worlds = [_another_process(world) for _ in range(4)]

    def send(n: int) -> Receipt:
        chosen = worlds[n % 4]
        return chosen.intake.take_in_together(
            chosen.database, [event(delivery_id="k", source="am")]
        )

    with ThreadPoolExecutor(24) as threads:
        receipts = list(threads.map(send, range(100)))

    assert len({each.event_ids[0] for each in receipts}) == 1
    assert world.ask("SELECT count(*) FROM events WHERE source = 'am'") == [(1,)]
    assert world.ask("SELECT count(*) FROM runs") == [(1,)]


def _another_process(world: World) -> World:
    other = World(world.database)
    other.sequence = world.sequence
    return other


def test_one_that_fails_does_not_fail_its_neighbours(world: World) -> None:
    world.activate(DISK)
    world.take_in(event(delivery_id="k"))
    reused = [event(delivery_id="k", data={"host": "other"})]
    unstorable = [event(data={"not json": float("nan")})]
    reserved = [event("xyn.run.created")]
    good = [[event()] for _ in range(9)]

    answers = together(world, reused, unstorable, reserved, *good)

    codes = [getattr(each, "code", type(each).__name__) for each in answers[:3]]
    assert codes == ["idempotency_key_reused", "ValueError", "reserved_name"]
    assert all(isinstance(each, Receipt) for each in answers[3:])
    assert world.ask("SELECT count(*) FROM events WHERE source = 'api'") == [(10,)]


def test_what_was_answered_was_decided_with_the_revision_in_force(world: World) -> None:
    world.activate(DISK)
    world.take_in(event())
    stale = world.intake._active.held  # noqa: SLF001 - the picture that must not be used
    elsewhere = _another_process(world)
    elsewhere.activate(on("calm.event", "bp.new"), retired=("bp.disk",), settings={"env_id": "new"})

    gone = world.take_in(event())
    new = world.take_in(event("calm.event"))

    assert stale is not None
    assert (len(gone.run_ids), len(new.run_ids)) == (0, 1)
    ((env_id,),) = world.ask(f"SELECT env_id FROM events WHERE event_id = '{gone.event_ids[0]}'")  # noqa: S608 - from here
    assert env_id == "new"


def test_what_was_answered_together_was_decided_with_the_revision_in_force(world: World) -> None:
    world.activate(DISK)
    world.take_in(event())
    elsewhere = _another_process(world)
    elsewhere.activate(on("calm.event", "bp.new"), retired=("bp.disk",), settings={"env_id": "new"})

    # Sent with its run, which the old picture starts and the new one does not.
    gone = world.intake.take_in_together(world.database, [event()])
    new = world.intake.take_in_together(world.database, [event("calm.event")])

    assert (len(gone.run_ids), len(new.run_ids)) == (0, 1)
    assert world.ask("SELECT blueprint_id FROM runs ORDER BY created_at, blueprint_id") == [
        ("bp.disk",),
        ("bp.new",),
    ]
    ((env_id,),) = world.ask(f"SELECT env_id FROM events WHERE event_id = '{gone.event_ids[0]}'")  # noqa: S608 - from here
    assert env_id == "new"


def test_an_event_that_starts_nothing_is_stored_with_its_word_and_record(world: World) -> None:
    world.activate(DISK)

    receipt = world.take_in(event("nobody.waits", actor="ada"))

    rows = world.ask(
        "SELECT event_name, actor, created_at, revision, data->>'runs' FROM events ORDER BY 1"
    )
    assert rows == [
        ("nobody.waits", "ada", NOW, f"{1:040}", None),
        ("xyn.event.received", "ada", NOW, f"{1:040}", "0"),
    ]
    assert world.ask("SELECT count(*) FROM outbox") == [(2,)]
    assert [each.event.env_id for each in receipt.stored] == ["local"]
