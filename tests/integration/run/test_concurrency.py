"""Runs that share a limit: who begins, who waits, and that no slot is ever lost."""

import datetime as dt
import threading
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.run.engine_bench import Bench, Tool
from tests.trigger_world import World, event
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.service.explain import explain
from xyn_reconciler.store import runs

GATE = {"id": "ok", "kind": "gate", "mode": "manual"}


def limited(on_conflict: str = "queue", limit: int = 1, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a blueprint
    return {
        "inputs": {"host": {"type": "string", "default": "web1"}},
        "concurrency": {
            "key": "{{ inputs.host }}",
            "limit": limit,
            "on_conflict": on_conflict,
        },
        "plan": [GATE, {"id": "end", "kind": "transform"}],
        **more,
    }


def advance_all(bench: Bench, *run_ids: uuid.UUID) -> None:
    for run_id in run_ids:
        bench.worker().advance(run_id)


def due(bench: Bench) -> list[uuid.UUID]:
    with bench.database.begin() as connection:
        return runs.due(connection, now=bench.now(), limit=10)


def test_queue_lets_runs_begin_one_after_the_other_in_their_order(bench: Bench) -> None:
    first, second, third = (bench.start(limited()) for _ in range(3))

    advance_all(bench, first, third, second)
    waiting = [bench.shown(run).wait_reason for run in (first, second, third)]
    bench.decide(first, "ok", "approved")
    advance_all(bench, first)
    next_one = due(bench)
    advance_all(bench, third, second)

    assert waiting == ["gate", "concurrency", "concurrency"]
    assert bench.shown(first).status == "completed"
    assert next_one == [second]
    assert bench.shown(second).wait_reason == "gate"
    assert (bench.shown(third).status, bench.shown(third).wait_reason) == ("created", "concurrency")


def test_as_many_begin_as_the_limit_says_and_other_keys_do_not_count(bench: Bench) -> None:
    started = [bench.start(limited(limit=2)) for _ in range(3)]
    other = bench.start(limited(limit=2), {"host": "web2"})

    advance_all(bench, *started, other)

    reasons = [bench.shown(run).wait_reason for run in (*started, other)]
    assert reasons == ["gate", "gate", "concurrency", "gate"]


@pytest.mark.parametrize("ending", ["rejected", "cancelled", "broken"])
def test_a_slot_is_freed_on_every_ending(
    bench: Bench, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bench.start(limited()), bench.start(limited())
    advance_all(bench, first, second)

    if ending == "rejected":
        bench.decide(first, "ok", "rejected")
    else:
        with bench.database.begin() as connection:
            runs.request_cancel(connection, first, by="ada", now=bench.now())
    if ending == "broken":
        with monkeypatch.context() as broken:
            broken.setattr("xyn_reconciler.run.turn.decide", lambda *_, **__: 1 / 0)
            advance_all(bench, first)
    else:
        advance_all(bench, first)

    assert bench.shown(first).status in {"failed", "cancelled"}
    assert due(bench) == [second]
    advance_all(bench, second)
    assert bench.shown(second).wait_reason == "gate"


def test_a_queued_run_that_nobody_wakes_is_looked_at_all_the_same(bench: Bench) -> None:
    first, second = bench.start(limited()), bench.start(limited())
    advance_all(bench, first, second)

    early = due(bench)
    bench.late += dt.timedelta(minutes=1)

    assert early == []
    assert due(bench) == [second]


def test_a_queued_run_is_cancelled_without_ever_beginning(bench: Bench) -> None:
    first, second = bench.start(limited()), bench.start(limited())
    advance_all(bench, first, second)
    with bench.database.begin() as connection:
        runs.request_cancel(connection, second, by="ada", now=bench.now())

    advance_all(bench, second)

    assert bench.shown(second).status == "cancelled"
    assert "run.started" not in bench.told(second)


def test_skip_ends_the_run_and_says_which_one_has_the_slot(bench: Bench) -> None:
    first, second = bench.start(limited("skip")), bench.start(limited("skip"))

    advance_all(bench, first, second)

    skipped = bench.shown(second)
    assert skipped.error is not None
    assert (skipped.status, skipped.error["code"]) == ("cancelled", "concurrency_skipped")
    assert str(first) in skipped.error["message"]
    assert "run.cancelled" in bench.told(second)
    assert {str(step.status) for step in bench.steps(second).values()} == {"skipped"}


@pytest.mark.parametrize("on_conflict", ["skip", "fail"])
def test_explain_says_of_the_event_that_its_run_was_turned_away(
    bench: Bench, on_conflict: str
) -> None:
    world = World(bench.database)
    world.activate(
        limited(on_conflict) | {"id": "bp.one", "triggers": [{"event_type": "checkmk.alert"}]}
    )
    first, second = world.take_in(event()), world.take_in(event())
    advance_all(bench, *first.run_ids, *second.run_ids)

    with bench.database.connect() as connection:
        view = world.intake.view(connection)
        (began,), (refused,) = [
            explain(connection, view, event(event_id=receipt.event_ids[0]))
            for receipt in (first, second)
        ]

    assert (began.outcome, began.run_id) == ("started", first.run_ids[0])
    assert (refused.outcome, refused.condition) == ("suppressed", "concurrency")
    assert str(first.run_ids[0]) in refused.reason
    assert refused.run_id == second.run_ids[0]


def test_fail_ends_the_run_as_failed(bench: Bench) -> None:
    first, second = bench.start(limited("fail")), bench.start(limited("fail"))

    advance_all(bench, first, second)

    failed = bench.shown(second)
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == ("failed", "concurrency_conflict")
    assert "run.failed" in bench.told(second)


def test_replace_cancels_the_run_under_way_and_begins_when_it_has_ended(bench: Bench) -> None:
    began = threading.Event()

    def wait(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        began.set()
        while not context.cancelled():
            threading.Event().wait(0.01)
        return {}

    bench.actions["demo.act"] = Tool("demo.act", wait)
    act = {"id": "act", "kind": "action_task", "action": "demo.act", "with": {}}
    first = bench.start(limited("replace", plan=[act]))
    second = bench.start(limited("replace", plan=[{"id": "end", "kind": "transform"}]))
    thread = threading.Thread(target=bench.worker("first").advance, args=(first,))
    thread.start()
    assert began.wait(20)

    advance_all(bench, second)
    thread.join(20)
    advance_all(bench, second)

    assert bench.shown(first).status == "cancelled"
    assert bench.shown(second).status == "completed"


def test_replace_waits_for_a_run_that_has_passed_a_gate(bench: Bench) -> None:
    later = {**GATE, "id": "later"}
    first = bench.start(limited("replace", plan=[GATE, later]))
    second = bench.start(limited("replace"))
    advance_all(bench, first)
    bench.decide(first, "ok", "approved")

    advance_all(bench, first, second)

    assert (bench.shown(first).status, bench.shown(first).wait_reason) == ("waiting", "gate")
    assert bench.shown(second).wait_reason == "concurrency"


def test_runs_that_two_workers_take_up_at_once_share_one_slot(bench: Bench) -> None:
    running, most, lock = [0], [0], threading.Lock()

    def count(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.02)
        with lock:
            running[0] -= 1
        return {}

    bench.actions["demo.act"] = Tool("demo.act", count)
    act = {"id": "act", "kind": "action_task", "action": "demo.act", "with": {}}
    started = [bench.start(limited(plan=[act])) for _ in range(8)]
    stop = threading.Event()
    workers = [
        threading.Thread(target=bench.worker(f"w{number}").work, args=(stop,))
        for number in range(2)
    ]
    for worker in workers:
        worker.start()

    bench.wait_for(lambda: all(bench.shown(run).status == "completed" for run in started))
    stop.set()
    for worker in workers:
        worker.join(20)

    assert most[0] == 1


def test_a_key_without_a_value_fails_the_run_before_it_begins(bench: Bench) -> None:
    document = {
        "inputs": {"hosts": {"type": "array"}},
        "concurrency": {"key": "{{ inputs.hosts[0] }}"},
        "plan": [{"id": "end", "kind": "transform"}],
    }

    run_id = bench.start(document, {"hosts": []})

    run = bench.shown(run_id)
    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "undefined_value")
