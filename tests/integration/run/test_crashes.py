"""A worker that dies, is late, or is told to stop."""

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.errors import PermanentError
from xyn_reconciler.run.sweep import sweep
from xyn_reconciler.store import runs

ROOT = Path(__file__).parents[3]


def action(key: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    return {"id": key, "kind": "action_task", "action": "demo.act", "with": {}, **more}


class Crashing:
    """Runs worker processes on a bench's database that die at a named point."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.effects = folder / "effects"
        bench.actions["demo.act"] = Tool("demo.act", lambda inputs, _: dict(inputs))

    def advance(self, run_id: uuid.UUID, crash_at: str = "") -> int:
        arguments = [self.bench.database.url, self.bench.artifacts.root, run_id, self.effects]
        return subprocess.run(
            [sys.executable, "-m", "tests.integration.run.dying_worker", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "XYN_CRASH_AT": crash_at},
            check=False,
        ).returncode

    def effects_had(self) -> list[str]:
        return self.effects.read_text().splitlines() if self.effects.exists() else []


@pytest.fixture
def crashing(bench: Bench, tmp_path: Path) -> Crashing:
    return Crashing(bench, tmp_path)


def attempts(bench: Bench, run_id: uuid.UUID) -> list[str]:
    with bench.database.begin() as connection:
        rows = connection.execute(
            text(
                "SELECT attempts.status FROM attempts JOIN steps USING (step_id)"
                " WHERE run_id = :run ORDER BY position, number"
            ),
            {"run": run_id},
        )
        return list(rows.scalars())


@pytest.mark.crash
@pytest.mark.parametrize("point", ["run.taken_up", "step.intent", "step.effect"])
def test_a_step_that_may_have_had_its_effect_asks_a_person(
    bench: Bench, crashing: Crashing, point: str
) -> None:
    run_id = bench.start({"plan": [action("one")]})

    assert crashing.advance(run_id, point) == -signal.SIGKILL
    bench.late += dt.timedelta(seconds=5)
    bench.worker().advance(run_id)

    run = bench.shown(run_id)
    assert (run.status, run.wait_reason) == ("waiting", "interrupted")
    assert bench.steps(run_id)["one"].status == "interrupted"
    assert attempts(bench, run_id) == ["interrupted"]


@pytest.mark.crash
def test_a_step_with_an_idempotency_key_is_taken_up_again_with_the_same_key(
    bench: Bench, crashing: Crashing
) -> None:
    run_id = bench.start({"plan": [action("one", idempotency_key="k-{{ run.run_id }}")]})

    assert crashing.advance(run_id, "step.effect") == -signal.SIGKILL
    time.sleep(0.3)
    assert crashing.advance(run_id) == 0

    first, second = (line.split() for line in crashing.effects_had())
    assert bench.shown(run_id).status == "completed"
    assert (first[1], second[1]) == ("1", "2")
    assert first[2] == second[2] == f"k-{run_id}"
    assert attempts(bench, run_id) == ["interrupted", "completed"]


@pytest.mark.crash
def test_a_finished_step_never_runs_again(bench: Bench, crashing: Crashing) -> None:
    plan = [action("one"), {"id": "gate", "kind": "gate", "mode": "manual"}, action("two")]
    run_id = bench.start({"plan": plan})

    assert crashing.advance(run_id, "step.result") == -signal.SIGKILL
    bench.decide(run_id, "gate", "approved")
    bench.late += dt.timedelta(seconds=5)
    bench.worker().advance(run_id)

    assert bench.shown(run_id).status == "completed"
    assert len(crashing.effects_had()) == 1
    assert attempts(bench, run_id) == ["completed", "completed"]


@pytest.mark.crash
def test_a_step_that_kills_three_workers_in_a_row_is_set_aside_as_poison(
    bench: Bench, crashing: Crashing
) -> None:
    run_id = bench.start({"plan": [action("one", idempotency_key="k")]})

    for _ in range(3):
        assert crashing.advance(run_id, "step.effect") == -signal.SIGKILL
        time.sleep(0.3)
    assert crashing.advance(run_id) == 0

    assert (bench.shown(run_id).status, bench.shown(run_id).wait_reason) == ("waiting", "poison")
    assert len(crashing.effects_had()) == 3


@pytest.mark.crash
def test_the_kill_of_a_whole_node_does_not_count_against_a_step(
    bench: Bench, crashing: Crashing
) -> None:
    bench.actions["demo.act"] = Tool("demo.act", lambda inputs, _: dict(inputs))
    run_id = bench.start({"plan": [action("one", idempotency_key="k")]})

    for _ in range(3):
        crashing.advance(run_id, "step.effect")
        time.sleep(0.3)
    started = bench.now()
    bench.worker(lease=dt.timedelta(milliseconds=200), node_started_at=started).advance(run_id)

    assert bench.shown(run_id).status == "completed"


def test_a_run_that_is_held_is_left_alone_and_a_lapsed_one_is_not(bench: Bench) -> None:
    run_id = bench.start({"plan": [{"id": "one", "kind": "transform"}]})
    with bench.database.begin() as connection:
        lease = {"run": run_id, "until": bench.now() + dt.timedelta(seconds=10)}
        taken = "UPDATE runs SET leased_by = 'a', leased_until = :until WHERE run_id = :run"
        connection.execute(text(taken), lease)

    bench.worker().advance(run_id)
    held = bench.shown(run_id)
    bench.late += dt.timedelta(seconds=11)
    bench.worker().advance(run_id)

    assert held.status == "created"
    assert bench.shown(run_id).status == "completed"


def test_a_worker_that_was_asleep_writes_nothing_over_its_successor(bench: Bench) -> None:
    began, wake = threading.Event(), threading.Event()

    def sleep(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        began.set()
        wake.wait(20)
        return {"by": "the sleeper"}

    bench.actions["demo.act"] = Tool("demo.act", sleep)
    run_id = bench.start({"plan": [action("one", idempotency_key="k")], "outputs": {"by": None}})
    sleeper = threading.Thread(target=bench.worker("sleeper").advance, args=(run_id,))
    sleeper.start()
    assert began.wait(10)

    bench.actions["demo.act"] = Tool("demo.act", lambda *_: {"by": "the successor"})
    with bench.database.begin() as connection:
        connection.execute(text("UPDATE runs SET leased_until = now() - interval '1 s'"))
    bench.worker("successor").advance(run_id)
    wake.set()
    sleeper.join(10)

    assert not sleeper.is_alive()
    assert bench.shown(run_id).outputs == {"by": "the successor"}
    assert attempts(bench, run_id) == ["interrupted", "completed"]


def test_a_cancel_reaches_the_step_under_way_and_nothing_begins_after_it(bench: Bench) -> None:
    began = threading.Event()

    def wait(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        began.set()
        while not context.cancelled():
            time.sleep(0.01)
        raise PermanentError("cancelled", "told to stop")

    tool = Tool("demo.act", wait)
    bench.actions["demo.act"] = tool
    rescue = [{"id": "rescue", "kind": "transform"}]
    run_id = bench.start({"plan": [action("one"), action("two")], "on_failure": rescue})
    thread = threading.Thread(target=bench.worker().advance, args=(run_id,))
    thread.start()
    assert began.wait(10)

    with bench.database.begin() as connection:
        runs.request_cancel(connection, run_id, by="ada", now=bench.now())
    thread.join(10)

    run = bench.shown(run_id)
    assert (run.status, run.error, len(tool.calls)) == ("cancelled", None, 1)
    assert {key: step.status for key, step in bench.steps(run_id).items()} == {
        "one": "cancelled",
        "two": "cancelled",
        "rescue": "cancelled",
    }
    assert attempts(bench, run_id) == ["cancelled"]


def test_a_run_that_waits_is_cancelled_by_whoever_takes_it_up(bench: Bench) -> None:
    waiting = bench.run({"plan": [{"id": "gate", "kind": "gate", "mode": "manual"}]})
    with bench.database.begin() as connection:
        runs.request_cancel(connection, waiting.run_id, by="ada", now=bench.now())

    bench.worker().advance(waiting.run_id)

    assert bench.shown(waiting.run_id).status == "cancelled"
    assert "run.cancelled" in bench.told(waiting.run_id)


def test_parallel_steps_run_beside_each_other_and_a_join_waits_for_both(bench: Bench) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        both.wait()
        return {"name": inputs["name"]}

    bench.actions["demo.act"] = Tool("demo.act", meet)
    plan = [
        action("a", **{"with": {"name": "a"}, "needs": []}),
        action("b", **{"with": {"name": "b"}, "needs": []}),
        {
            "id": "join",
            "kind": "transform",
            "needs": ["a", "b"],
            "set": {"all": "{{ steps.a.outputs.name ~ steps.b.outputs.name }}"},
        },
    ]

    assert bench.run({"plan": plan, "outputs": {"all": None}}).outputs == {"all": "ab"}


def test_a_gate_that_is_decided_while_another_step_runs_is_taken_up_at_once(bench: Bench) -> None:
    began, go_on = threading.Event(), threading.Event()

    def wait(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        began.set()
        assert go_on.wait(20)
        return {}

    def free(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        go_on.set()
        return {}

    bench.actions["demo.act"] = Tool("demo.act", wait)
    bench.actions["demo.free"] = Tool("demo.free", free)
    plan = [
        action("slow", needs=[]),
        {"id": "gate", "kind": "gate", "mode": "manual", "needs": []},
        {**action("free", needs=["gate"]), "action": "demo.free"},
    ]
    run_id = bench.start({"plan": plan})
    thread = threading.Thread(target=bench.worker().advance, args=(run_id,))
    thread.start()
    assert began.wait(10)

    bench.decide(run_id, "gate", "approved")
    thread.join(15)

    assert bench.shown(run_id).status == "completed"


def test_a_run_that_lost_its_job_is_found_by_whoever_looks(bench: Bench) -> None:
    forgotten = bench.start({"plan": [{"id": "one", "kind": "transform"}]})
    bench.run({"plan": [{"id": "gate", "kind": "gate", "mode": "manual"}]})

    with bench.database.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs"))
        young = runs.due(connection, now=bench.now(), limit=10)
        bench.late += dt.timedelta(seconds=30)
        found = runs.due(connection, now=bench.now(), limit=10)
        first, second = sweep(connection, bench.now()), sweep(connection, bench.now())

    assert young == []
    assert found == [forgotten]
    assert (first, second) == (1, 0)


def test_of_the_runs_that_nobody_was_told_of_the_most_urgent_is_found_first(bench: Bench) -> None:
    plan = {"plan": [{"id": "one", "kind": "transform"}]}
    old, urgent, young = (bench.start(plan, priority=each) for each in (0, 5, 0))
    for_later = bench.start(plan, priority=9)
    when = "available_at = now(), wait_reason = 'timer'"

    bench.late += dt.timedelta(seconds=30)
    with bench.database.begin() as connection:
        connection.execute(text(f"UPDATE runs SET {when} WHERE run_id = '{for_later}'"))  # noqa: S608 - a uuid
        found = runs.due(connection, now=bench.now(), limit=10)
        first = runs.due(connection, now=bench.now(), limit=2)

    assert found == [for_later, urgent, old, young]
    assert first == found[:2]


def test_a_fault_of_our_own_fails_the_run_instead_of_coming_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = bench.start({"plan": [{"id": "one", "kind": "transform"}]})
    worker = bench.worker()
    monkeypatch.setattr("xyn_reconciler.run.turn.decide", lambda *_, **__: 1 / 0)

    worker.advance(run_id)

    run = bench.shown(run_id)
    assert run.error is not None
    assert (run.status, run.error["code"]) == ("failed", "internal_error")


@pytest.mark.crash
def test_a_worker_that_was_killed_hands_its_run_over_by_its_lease(
    bench: Bench, crashing: Crashing
) -> None:
    run_id = bench.start({"plan": [action("one", idempotency_key="k")]})
    assert crashing.advance(run_id, "step.effect") == -signal.SIGKILL
    stop = threading.Event()
    worker = threading.Thread(target=bench.worker("next").work, args=(stop,))

    worker.start()
    bench.wait_for(lambda: bench.shown(run_id).status == "completed")
    stop.set()
    worker.join(20)

    assert attempts(bench, run_id) == ["interrupted", "completed"]
