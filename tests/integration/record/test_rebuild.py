import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.record.record_world import World
from xyn_reconciler.model.capability import ActionSpec, Catalogue
from xyn_reconciler.record.read import DamagedRecordError
from xyn_reconciler.store import desired, outbox
from xyn_reconciler.store.database import Database

NewDatabase = Callable[[], Database]

CALL = """\
id: bp.call
triggers:
  - event_type: call.wanted
plan:
  - {id: call, kind: action_task, action: demo.call, with: {x: "{{ event.data.x }}"}}
  - {id: ok, kind: gate, mode: manual, approvals: {min: 2, from_any_of: ["role:Operator"]}}
"""


class Call:
    """An action with an effect; what it was called with."""

    spec = ActionSpec("demo.call", "Call.", {"type": "object"}, {}, idempotent=False)

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def run(self, inputs: Any, _context: Any) -> dict[str, Any]:  # noqa: ANN401 - as the protocol says
        self.calls.append(inputs)
        return {"answer": [1.0, None, {"b": 1, "a": 2}]}


def with_an_action(world: World) -> Call:
    """Activate a blueprint with an action step that this node's catalogue knows."""
    call = Call()
    world.catalogue = Catalogue({**world.catalogue.actions, "demo.call": call.spec})
    world.adopt(world.database)
    world.push(**{"blueprints/call.yaml": CALL})
    return call


def test_after_a_lost_database_every_row_is_what_it_was(
    world: World, new_database: NewDatabase
) -> None:
    call = with_an_action(world)
    for _ in range(3):
        world.happen()
    world.take_in(
        world.event(
            "nobody.cares",
            data={"z": 1, "a": [1.0, 1e300, "é\u2028\u0000"], "a b": {"y": None, "x": ""}},
            raw=bytes(range(256)),
            content_type="application/json",
            delivery_id="d-1",
        )
    )
    (run_id,) = world.take_in(world.event("call.wanted", data={"x": "1\n2"}))
    world.advance(run_id, actions={"demo.call": call})
    world.committer.drain()
    before = world.digests()

    done = world.rebuild_into(new_database())

    assert world.digests() == before
    assert world.rows("attempts") != []
    assert (done.runs, done.interrupted) == (4, 0)
    assert world.waiting() == 0


def test_a_waiting_run_goes_on_after_a_lost_database_when_it_is_approved(
    world: World, new_database: NewDatabase
) -> None:
    run_id = world.happen("deploy.wanted", data={"what": "v2"})
    world.committer.drain()

    world.rebuild_into(new_database())
    world.approve(run_id)
    world.advance(run_id)

    assert world.ask("SELECT status, outputs ->> 'by' FROM runs WHERE run_id = :r", r=run_id) == [
        ("completed", '["operator"]')
    ]


def test_what_was_active_is_active_again_without_a_word(
    world: World, new_database: NewDatabase
) -> None:
    world.push(**{"blueprints/other.yaml": "id: bp.other\nplan:\n  - {id: a, kind: transform}\n"})
    world.push(**{"blueprints/disk.yaml": None})
    world.commit({"blueprints/other.yaml": "id: bp.other\nplan: 7\n"})
    world.reconciler.reconcile()
    world.committer.drain()
    documents, events = world.rows("documents"), world.rows("events")
    with world.database.connect() as connection:
        before = desired.read_node(connection)

    world.rebuild_into(new_database())
    world.reconciler.reconcile(everything=True)

    with world.database.connect() as connection:
        after = desired.read_node(connection)
    assert world.rows("documents") == documents
    assert world.rows("events") == events
    for name in (
        "node_id",
        "last_applied_revision",
        "last_attempted_revision",
        "applied_at",
        "applied_sequence",
        "settings",
        "conditions",
    ):
        assert getattr(after, name) == getattr(before, name), name
    assert after.database_id != before.database_id


def test_a_run_that_was_under_way_and_has_no_record_waits_for_a_person_with_its_event(
    world: World, new_database: NewDatabase
) -> None:
    (run_id,) = world.take_in(world.event(data={"host": "db9"}))
    world.committer.drain()

    done = world.rebuild_into(new_database())

    assert done.interrupted == 1
    assert world.ask(
        "SELECT r.status, r.wait_reason, e.data ->> 'host' FROM runs r JOIN events e"
        " USING (event_id)"
    ) == [("waiting", "interrupted", "db9")]
    assert world.ask("SELECT key, status FROM steps ORDER BY position") == [
        ("look", "interrupted"),
        ("size", "created"),
        ("note", "created"),
    ]
    assert run_id in [row[0] for row in world.ask("SELECT subject FROM outbox WHERE kind = 'run'")]


def test_a_run_whose_last_record_says_running_is_not_taken_up_by_itself(
    world: World, new_database: NewDatabase
) -> None:
    run_id = world.happen("deploy.wanted", data={"what": "v2"})
    with world.database.begin() as connection:
        # As a worker leaves it that has just taken up the step behind the gate.
        connection.exec_driver_sql("UPDATE runs SET status = 'running', wait_reason = NULL")
        connection.exec_driver_sql("UPDATE steps SET status = 'completed' WHERE key = 'ok'")
        connection.exec_driver_sql("UPDATE steps SET status = 'running' WHERE key = 'done'")
    world.committer.drain()

    world.rebuild_into(new_database())

    assert world.ask("SELECT status, wait_reason FROM runs WHERE run_id = :r", r=run_id) == [
        ("waiting", "interrupted")
    ]
    assert world.ask("SELECT key, status FROM steps ORDER BY position") == [
        ("look", "completed"),
        ("ok", "completed"),
        ("done", "interrupted"),
    ]


def test_a_run_started_by_hand_survives_once_it_is_in_the_outbox(
    world: World, new_database: NewDatabase
) -> None:
    world.push(**{"blueprints/hand.yaml": "id: bp.hand\nplan:\n  - {id: a, kind: transform}\n"})
    with world.database.begin() as connection:
        run_id = world.intake.start_run(
            connection, "bp.hand", {}, actor="ada", correlation_id="c-9"
        )
        outbox.put(connection, "run", [run_id], world.now())
    world.committer.drain()

    world.rebuild_into(new_database())

    assert world.ask("SELECT run_id, status, wait_reason, actor FROM runs") == [
        (run_id, "waiting", "interrupted", "ada")
    ]


def test_a_delivery_is_still_known_after_a_lost_database(
    world: World, new_database: NewDatabase
) -> None:
    event = world.event(delivery_id="d-1", source="checkmk")
    world.take_in(event)
    world.committer.drain()

    world.rebuild_into(new_database())
    with world.database.begin() as connection:
        again = world.intake.take_in(connection, [world.event(delivery_id="d-1", source="checkmk")])

    assert again.duplicate
    assert again.event_ids == [event.event_id]


def test_a_rebuild_puts_back_what_was_changed_or_lost_and_leaves_what_is_in_flight(
    world: World,
) -> None:
    ended = world.happen()
    (going,) = world.take_in(world.event(data={"host": "db2"}))
    world.committer.drain()
    before = world.digests()
    with world.database.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET outputs = '{}' WHERE run_id = %s", (ended,))
        connection.exec_driver_sql("DELETE FROM steps WHERE run_id = %s", (ended,))
        connection.exec_driver_sql(
            "INSERT INTO events (event_id, event_name, occurred_at, created_at, env_id, actor,"
            " correlation_id, data, source) VALUES (gen_random_uuid(), 'a.ghost', now(), now(),"
            " 'local', 'x', 'x', '{}', 'api')"
        )

    world.rebuild()

    assert world.digests() == before
    world.advance(going)
    assert world.ask("SELECT status FROM runs WHERE run_id = :r", r=going) == [("completed",)]


def test_the_order_of_commits_counts_and_not_the_clock(
    world: World, new_database: NewDatabase
) -> None:
    run_id = world.happen("deploy.wanted", data={"what": "v2"})
    world.committer.drain()
    world.late = -dt.timedelta(hours=30)
    world.approve(run_id)
    world.advance(run_id)
    world.committer.drain()
    before = world.digests()

    world.rebuild_into(new_database())

    assert world.digests() == before
    assert world.ask("SELECT status FROM runs") == [("completed",)]


def test_a_fresh_clone_lists_the_same_runs_and_takes_up_none_of_them(
    world: World, new_database: NewDatabase
) -> None:
    ended = world.happen()
    waiting = world.happen("deploy.wanted", data={"what": "v2"})
    (created,) = world.take_in(world.event())
    world.committer.drain()
    # What the run that is in flight told of itself stands in no record yet.
    told = [row for row in world.rows("events") if f",{created}," not in row]
    before = told, world.rows("steps"), world.rows("gates")

    world.node_id = "node-1"
    world.rebuild_into(new_database())
    world.advance(ended, waiting, created)

    assert (world.rows("events"), world.rows("steps"), world.rows("gates")) == before
    assert sorted(world.ask("SELECT run_id, status, leased_by FROM runs")) == sorted(
        [
            (ended, "completed", None),
            (waiting, "waiting", "node seed"),
            (created, "created", "node seed"),
        ]
    )
    with world.database.connect() as connection:
        assert desired.read_node(connection).last_applied_revision is None
    assert world.waiting() == 0


def test_of_two_nodes_that_took_in_one_delivery_this_ones_counts_here(
    world: World, new_database: NewDatabase
) -> None:
    mine = world.event(delivery_id="d-1", source="checkmk")
    world.take_in(mine)
    world.committer.drain()
    world.node_id = "node-1"
    world.rebuild_into(new_database())
    world.adopt(new_database())  # one that has not heard of the first
    world.push(**{"nodes/node-1.yaml": "id: node-1\nenv_id: local\nmode: active\nstage: dev\n"})
    theirs = world.event(delivery_id="d-1", source="checkmk")
    world.take_in(theirs)
    world.committer.drain()

    world.rebuild_into(new_database())

    deliveries = world.ask("SELECT event_id, delivery_id FROM events WHERE source = 'checkmk'")
    assert sorted(deliveries) == sorted([(theirs.event_id, "d-1"), (mine.event_id, None)])


def test_what_another_node_took_in_and_ran_is_no_repeat_here(
    world: World, new_database: NewDatabase
) -> None:
    quiet = world.event("nobody.cares", delivery_id="d-1", source="checkmk")
    loud = world.event(delivery_id="d-2", source="checkmk")
    world.take_in(quiet)
    for run_id in world.take_in(loud):
        world.advance(run_id)
    world.committer.drain()
    world.node_id = "node-1"
    world.push(**{"nodes/node-1.yaml": "id: node-1\nenv_id: local\nmode: active\nstage: dev\n"})
    world.rebuild_into(new_database())
    theirs = world.ask("SELECT event_id, delivery_id FROM events WHERE source = 'checkmk'")

    with world.database.begin() as connection:
        receipts = [
            world.intake.take_in(connection, [replace(event, event_id=uuid.uuid4())])
            for event in (quiet, loud)
        ]

    assert sorted(theirs) == sorted([(quiet.event_id, None), (loud.event_id, None)])
    assert [receipt.duplicate for receipt in receipts] == [False, False]


def test_deliveries_that_redaction_made_alike_do_not_stop_a_rebuild(
    world: World, new_database: NewDatabase
) -> None:
    token = "ghp_" + "a1B2" * 9
    for number in range(2):
        world.take_in(world.event(delivery_id=f"{token[:-1]}{number}", source="checkmk"))
    world.committer.drain()

    world.rebuild_into(new_database())

    assert world.ask("SELECT count(*) FROM events WHERE source = 'checkmk'") == [(2,)]


def test_records_that_cannot_be_read_leave_the_index_as_it_was(world: World) -> None:
    world.happen()
    world.committer.drain()
    before = world.digests()
    ref, tip = next(iter(world.repository.refs("refs/xyn/runs/").items()))
    world.repository.append_records(
        ref,
        expected=tip,
        files={f"{uuid.uuid4()}.jsonl": b"{}\n"},
        message="x\n\nSegment: missing.jsonl\n",
        author="A <a@b>",
        now=world.now(),
    )

    with pytest.raises(DamagedRecordError, match=r"missing\.jsonl"):
        world.rebuild()

    assert world.digests() == before


def test_a_run_whose_record_came_before_its_events_is_not_taken_for_lost(
    world: World, new_database: NewDatabase
) -> None:
    run_id = world.happen()
    world.committer.drain()
    with world.database.begin() as connection:
        outbox.put(
            connection,
            "event",
            [row[0] for row in connection.exec_driver_sql("SELECT event_id FROM runs")],
            world.now(),
        )
    world.committer.drain()
    before = world.digests()

    done = world.rebuild_into(new_database())

    assert done.interrupted == 0
    assert world.digests() == before
    assert world.ask("SELECT run_id, status FROM runs") == [(run_id, "completed")]
