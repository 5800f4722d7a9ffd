import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.event import listen

from tests.trigger_world import DISK, NOW, World, event, on
from xyn_reconciler.model.correlation import correlate
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import GitPushed, RunCompleted, internal_event
from xyn_reconciler.store import events
from xyn_reconciler.store.database import Database
from xyn_reconciler.trigger.arrival import IdempotencyKeyReusedError, Receipt
from xyn_reconciler.trigger.event_names import ReservedNameError
from xyn_reconciler.trigger.intake import InvalidInputsError, NotActiveError
from xyn_reconciler.trigger.match import MAX_HOPS


def test_an_event_its_run_its_record_and_its_wake_up_are_one_transaction(world: World) -> None:
    world.activate(DISK)

    given = event(raw=b'{"host": "db1"}', content_type="application/json")
    with world.database.connect() as connection:
        receipt = world.intake.take_in(connection, [given])
        connection.rollback()
    nothing = world.ask("SELECT count(*) FROM events UNION ALL SELECT count(*) FROM runs")
    receipt = world.take_in(given)

    assert nothing == [(0,), (0,)]
    assert receipt.event_ids == [given.event_id]
    assert not receipt.duplicate
    assert world.names() == ["checkmk.alert", "xyn.event.received", "xyn.run.created"]
    ((run_id, status, revision, inputs, hops, event_id),) = world.ask(
        "SELECT run_id, status, revision, inputs::text, hops, event_id FROM runs"
    )
    assert receipt.run_ids == [run_id]
    assert (status, revision, json.loads(inputs), hops) == (
        "created",
        f"{1:040}",
        {"host": "db1"},
        1,
    )
    assert event_id == given.event_id
    assert world.ask("SELECT args->>'run_id' FROM procrastinate_jobs") == [(str(run_id),)]
    outbox = world.ask(
        "SELECT e.event_name FROM outbox o JOIN events e ON e.event_id = o.subject ORDER BY 1"
    )
    assert outbox == [("checkmk.alert",), ("xyn.event.received",)]


def test_an_event_that_matches_nothing_is_stored_all_the_same(world: World) -> None:
    world.activate(DISK)

    receipt = world.take_in(event(data={"state": "OK"}))

    assert receipt.run_ids == []
    assert world.ask("SELECT data->>'runs' FROM events WHERE source = 'xyn'") == [("0",)]


def test_odd_json_survives_the_database(world: World) -> None:
    data = {"zero": "\x00", "lone": "\ud800", "big": 10**400, "f": 1.0, "z": 0, "a": [None]}

    receipt = world.take_in(event(data=data, actor="a\x00", delivery_id="d\ud800"))

    with world.database.connect() as connection:
        stored = events.get_event(connection, receipt.event_ids[0])
    assert stored is not None
    assert stored.event.data == data
    assert list(stored.event.data) == list(data)


def test_a_repeat_is_the_same_event_and_starts_nothing(world: World) -> None:
    world.activate(DISK)

    first = world.take_in(event(delivery_id="k"))
    again = world.take_in(event(delivery_id="k"))

    assert again.event_ids == first.event_ids
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.run_ids == []
    assert world.ask("SELECT count(*) FROM runs") == [(1,)]


def test_parallel_copies_make_one_event_with_one_id(world: World) -> None:
    world.activate(DISK)
    copies = 24
    ready = threading.Barrier(8)

    def send(number: int) -> Receipt:
        if number < 8:
            ready.wait()
        return world.take_in(
            *(event(delivery_id="k", delivery_item=i, source="am") for i in range(2))
        )

    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(send, range(copies)))

    assert len({tuple(receipt.event_ids) for receipt in receipts}) == 1
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert world.ask("SELECT count(*) FROM runs") == [(2,)]


def test_one_look_finds_all_the_repeats_that_come_together_and_reads_no_body(world: World) -> None:
    def deliveries() -> list[list[Event]]:
        return [[event(delivery_id=f"{n}", source="github", raw=b"{}")] for n in range(30)]

    asked: list[str] = []
    with world.database.begin() as connection:
        first = world.intake.take_in_each(connection, deliveries())
    with world.database.begin() as connection:
        listen(connection, "before_cursor_execute", lambda *given: asked.append(given[2]))
        again = world.intake.take_in_each(connection, deliveries())

    answers = [answer for answer in again if isinstance(answer, Receipt) and answer.duplicate]
    assert [each.event_ids for each in answers] == [
        each.event_ids for each in first if isinstance(each, Receipt)
    ]
    (look,) = [statement for statement in asked if "delivery_id" in statement]
    assert "events.raw" not in look


def test_another_source_may_use_the_same_delivery_id(world: World) -> None:
    receipt = world.take_in(event(delivery_id="k", source="a"), event(delivery_id="k", source="b"))

    assert len(set(receipt.event_ids)) == 2


def test_an_idempotency_key_stands_for_one_event_alone(world: World) -> None:
    first = event(delivery_id="k", data={"a": 1}, raw=b'{"a": 1}')
    world.take_in(first)

    same = world.take_in(event(delivery_id="k", data={"a": 1}, raw=b'{"a":1}'))
    for other in (
        event(delivery_id="k", data={"a": 2}),
        replace(first, event_id=uuid.uuid4(), actor="mallory"),
    ):
        with pytest.raises(IdempotencyKeyReusedError):
            world.take_in(other)

    assert same.duplicate


def test_of_a_batch_only_what_is_new_is_stored(world: World) -> None:
    first = world.take_in(event(delivery_id="1", source="cloudevents"))
    both = world.take_in(
        event(delivery_id="2", source="cloudevents"), event(delivery_id="1", source="cloudevents")
    )

    assert both.event_ids[1] == first.event_ids[0]
    assert both.event_ids[0] != both.event_ids[1]
    assert not both.duplicate


@pytest.mark.parametrize("name", ["xyn.run.failed", "XYN.x", "xyn"])
def test_names_of_the_platform_are_refused_from_outside(world: World, name: str) -> None:
    with pytest.raises(ReservedNameError):
        world.take_in(event(name))

    assert world.names() == []


def test_secrets_are_gone_before_anything_is_stored(world: World) -> None:
    world.activate(DISK)
    secret = "hunter2-hunter2"

    world.take_in(
        event(
            data={"host": secret, "state": "CRIT"},
            raw=secret.encode(),
            resource={"type": "x", "id": secret},
        )
    )

    for table in ("events", "runs", "plans", "steps", "outbox"):
        for (row,) in world.ask(f"SELECT t::text FROM {table} t"):  # noqa: S608 - names from here
            assert "hunter2" not in row
            assert secret.encode().hex() not in row


def test_a_secret_as_delivery_id_is_kept_as_a_digest_and_a_repeat_is_still_one(
    world: World,
) -> None:
    world.activate(DISK)
    secret = "hunter2-hunter2"

    first = world.take_in(event(delivery_id=secret))
    again = world.take_in(event(delivery_id=secret))

    assert again.duplicate
    assert again.event_ids == first.event_ids
    (kept,) = [row for (row,) in world.ask("SELECT delivery_id FROM events") if row]
    assert kept.startswith("sha256:")


@pytest.mark.parametrize("mode", ["shadow", "suspended"])
def test_a_node_that_is_not_active_stores_and_starts_nothing(world: World, mode: str) -> None:
    world.activate(DISK, settings={"mode": mode})

    receipt = world.take_in(event())

    assert receipt.run_ids == []
    assert "checkmk.alert" in world.names()
    with pytest.raises(NotActiveError), world.database.begin() as connection:
        world.intake.start_run(
            connection, "bp.disk", {"host": "a"}, actor="ada", correlation_id="c"
        )


def test_before_the_first_revision_events_are_stored(world: World) -> None:
    assert world.take_in(event()).run_ids == []


def test_each_applied_revision_is_seen_at_once_and_only_what_changed_is_read(world: World) -> None:
    world.activate(DISK)
    assert world.take_in(event()).run_ids
    moved = DISK | {"triggers": [{"event_type": "other.name"}]}

    world.activate(moved, on("checkmk.alert", "bp.new"))
    alert, other = world.take_in(event()), world.take_in(event("other.name"))
    world.activate(retired=("bp.new",))
    after = world.take_in(event())

    runs = dict(world.ask("SELECT run_id, blueprint_id FROM runs"))
    assert [runs[run] for run in alert.run_ids] == ["bp.new"]
    assert [runs[run] for run in other.run_ids] == ["bp.disk"]
    assert after.run_ids == []
    ((revision,),) = world.ask(f"SELECT revision FROM runs WHERE run_id = '{alert.run_ids[0]}'")  # noqa: S608 - a uuid
    assert revision == f"{2:040}"


def test_what_a_transaction_applied_and_rolled_back_is_never_remembered(world: World) -> None:
    world.activate(DISK)
    world.take_in(event())
    pushed = internal_event(
        GitPushed(ref="r", old=None, new=None),
        resource_id="r",
        env_id="local",
        now=NOW,
        correlation_id="c",
    )

    with world.database.connect() as connection:
        world.activate_in(connection, on("ghost.event", "bp.ghost"))
        world.intake.emit(connection, [pushed])
        assert "bp.ghost" in world.intake.view(connection).blueprints
        connection.rollback()
    world.activate(on("real.event", "bp.real"))

    assert world.take_in(event("ghost.event")).run_ids == []
    assert len(world.take_in(event("real.event")).run_ids) == 1


def test_inputs_that_do_not_fit_make_a_run_that_failed_at_once(world: World) -> None:
    world.activate(DISK)

    world.take_in(event(data={"state": "CRIT"}))

    ((status, code),) = world.ask("SELECT status, error->>'code' FROM runs")
    assert (status, code) == ("failed", "invalid_inputs")
    assert "xyn.run.failed" in world.names()
    assert world.ask("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert world.ask("SELECT count(*) FROM outbox WHERE kind = 'run'") == [(1,)]


def test_platform_events_start_blueprints_like_any_other(world: World) -> None:
    world.activate(DISK, on("xyn.event.received", "bp.heard"), on("xyn.git.*", "bp.git"))

    receipt = world.take_in(event())
    world.emit(
        internal_event(
            GitPushed(ref="refs/heads/main", old=None, new="1" * 40),
            resource_id="refs/heads/main",
            env_id="local",
            now=NOW,
            correlation_id="c",
        )
    )

    started = sorted(world.ask("SELECT blueprint_id, hops FROM runs"))
    assert started == [("bp.disk", 1), ("bp.git", 1), ("bp.heard", 1)]
    assert len(receipt.run_ids) == 2


def test_events_of_runs_stand_in_their_record_alone(world: World) -> None:
    world.activate(DISK)
    (run_id,) = world.take_in(event()).run_ids
    done = internal_event(
        RunCompleted(blueprint_id="bp.disk", warnings=0),
        resource_id=str(run_id),
        env_id="local",
        now=NOW,
        correlation_id="c",
        run_id=run_id,
        hops=1,
    )

    world.emit(done)

    assert world.ask(f"SELECT count(*) FROM outbox WHERE subject = '{done.event_id}'") == [(0,)]  # noqa: S608 - a uuid


def test_blueprints_that_wait_for_every_run_do_not_set_off_one_another(world: World) -> None:
    world.activate(DISK, on("xyn.run.*", "bp.echo-a"), on("xyn.run.*", "bp.echo-b"))

    receipt = world.take_in(event())

    assert len(receipt.run_ids) == 3
    assert receipt.held
    echo = next(
        run for run, name in world.ask("SELECT run_id, blueprint_id FROM runs") if "echo-a" in name
    )
    world.emit(
        internal_event(
            RunCompleted(blueprint_id="bp.echo-a", warnings=0),
            resource_id=str(echo),
            env_id="local",
            now=NOW,
            correlation_id="c",
            run_id=echo,
            hops=2,
        )
    )
    assert world.ask("SELECT count(*) FROM runs") == [(3,)]


def test_a_chain_of_too_many_runs_ends_with_a_reason(world: World) -> None:
    world.activate(DISK)

    last = world.take_in(event(hops=MAX_HOPS - 1))
    over = world.take_in(event(hops=MAX_HOPS))

    assert len(last.run_ids) == 1
    assert over.run_ids == []
    assert "a loop" in over.held[0]
    assert world.ask("SELECT max(hops) FROM runs") == [(MAX_HOPS,)]


def test_what_is_logged_of_an_event_carries_its_own_correlation_id(
    world: World, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    world.activate(DISK)

    with correlate(correlation_id="whoever-takes-it-in"):
        world.take_in(*[event(hops=MAX_HOPS, correlation_id=name) for name in ("c1", "c2")])

    assert [line["correlation_id"] for line in logged() if "a loop" in line["message"]] == [
        "c1",
        "c2",
    ]


def test_a_run_is_started_by_hand(world: World) -> None:
    world.activate(DISK)
    wanted = uuid.uuid4()

    def start(inputs: dict[str, Any], blueprint: str = "bp.disk") -> uuid.UUID:
        with world.database.begin() as connection:
            return world.intake.start_run(
                connection,
                blueprint,
                inputs,
                actor="ada",
                correlation_id="c",
                name="By hand",
                priority=5,
                run_id=wanted,
            )

    assert start({"host": "db1"}) == wanted
    assert start({"host": "db1"}) == wanted
    with pytest.raises(InvalidInputsError, match="host"):
        start({})
    with pytest.raises(NotFoundError):
        start({}, "bp.none")

    assert world.ask("SELECT name, actor, priority, event_id FROM runs") == [
        ("By hand", "ada", 5, None)
    ]
    assert world.ask("SELECT count(*) FROM procrastinate_jobs") == [(1,)]
    assert world.names() == ["xyn.run.created"]


def test_lists_are_newest_first_and_page_without_gaps(database: Database) -> None:
    world = World(database)
    ids = [world.take_in(event(f"a.{n}")).event_ids[0] for n in range(5)]

    with database.connect() as connection:
        first = events.list_events(connection, limit=3, outside_only=True)
        last = (first[-1].created_at, first[-1].event.event_id)
        second = events.list_events(connection, limit=3, before=last, outside_only=True)
        named = events.list_events(connection, limit=9, event_name="a.3")
        prefix = events.list_events(connection, limit=9, event_name="a.*")

    found = [stored.event.event_id for stored in [*first, *second]]
    assert found == sorted(ids, reverse=True)  # all came in at one moment: the id decides
    assert [stored.event.event_id for stored in named] == [ids[3]]
    assert len(prefix) == 5


_WRITTEN = """
SELECT xmin::text, cmin::text FROM events UNION ALL SELECT xmin::text, cmin::text FROM runs
UNION ALL SELECT xmin::text, cmin::text FROM steps
UNION ALL SELECT xmin::text, cmin::text FROM outbox
"""


@pytest.mark.parametrize("delivery_id", [None, "d-1"])
def test_an_event_and_the_run_that_it_starts_are_one_statement(
    world: World, delivery_id: str | None
) -> None:
    world.activate(DISK)
    with world.database.connect() as connection:
        world.intake.view(connection)

    receipt = world.intake.take_in_together(world.database, [event(delivery_id=delivery_id)])

    assert len(set(world.ask(_WRITTEN))) == 1
    assert len(receipt.run_ids) == 1
    jobs = world.ask("SELECT args->>'run_id' FROM procrastinate_jobs")
    assert jobs == [(str(run_id),) for run_id in receipt.run_ids]


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_what_is_taken_in_together_is_what_is_taken_in_alone(world: World, stage: str) -> None:
    world.activate(DISK, settings={"stage": stage})
    given = [
        [event(delivery_id="known"), event(data={"state": "CRIT"}), event(data={"state": "OK"})],
        [event(delivery_id="new"), event(delivery_id="known")],
        [event(delivery_id="new")],
    ]

    alone = [_outcome(world, [world.take_in(*events)]) for events in given]
    for table in ("runs", "events", "outbox", "procrastinate_jobs", "audit", "suppressions"):
        with world.database.begin() as connection:
            connection.exec_driver_sql(f"TRUNCATE {table} CASCADE")
    together = [
        _outcome(world, [world.intake.take_in_together(world.database, events)]) for events in given
    ]

    assert together == alone
    assert [len(receipts[0][0]) for receipts, *_ in together] == [2, 1, 0]


def _outcome(world: World, receipts: list[Receipt]) -> tuple[Any, ...]:
    """All that stands in the database by now, but for ids; and what the sender was told."""
    return (
        [([0 for _ in each.run_ids], each.duplicate, len(each.stored)) for each in receipts],
        *(
            world.ask(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3")  # noqa: S608 - from here
            for table, columns in (
                ("events", "event_name, delivery_id, data->>'runs', hops, revision, created_at"),
                ("runs", "blueprint_id, status, error::text, inputs::text, hops"),
                ("steps", "key, status, position"),
                ("plans", "digest, 1, 1"),
                ("outbox", "kind, created_at, 1"),
                ("procrastinate_jobs", "queue_name, task_name, priority"),
                ("audit", "actor, 1, 1"),
                ("suppressions", "reason, blueprint_id, 1"),
            )
        ),
    )
