"""A round that concerns nobody else: one statement, which writes all of it or nothing."""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.model.event import Event
from xyn_reconciler.store import runs
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.events import Told
from xyn_reconciler.store.turns import Turn

PLAN = [{"id": key, "kind": "action_task", "action": "demo.do"} for key in ("a", "b", "c")]
TOLD = ["step.completed"] * 3 + ["step.started"] * 3


@pytest.fixture
def tool(bench: Bench) -> Tool:
    bench.actions["demo.do"] = tool = Tool("demo.do", lambda *_: {"n": 1})
    return tool


def test_a_step_that_concerns_nobody_else_needs_no_transaction_of_several_statements(
    bench: Bench, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = bench.start({"plan": PLAN})
    begun, begin = [], bench.database.begin

    @contextmanager
    def counted() -> Iterator[Connection]:
        begun.append(len(tool.calls))
        with begin() as connection:
            yield connection

    monkeypatch.setattr(bench.database, "begin", counted)
    bench.worker().advance(run_id)
    monkeypatch.undo()

    assert bench.shown(run_id).status == "completed"
    # The one that took it up, before any step.
    assert begun == [0]
    assert [name for name in bench.told(run_id) if name.startswith("step.")] == TOLD


def test_what_is_told_under_an_old_revision_is_handed_to_whoever_knows_the_new_one(
    bench: Bench, tool: Tool
) -> None:
    heard: list[str] = []

    def emit(connection: Connection, events: Sequence[Event]) -> None:
        heard.extend(event.event_name for event in events)
        bench.emit(connection, events)

    def unheard(events: Sequence[Event]) -> Told:
        return Told(events, [], bench.now(), "r1", (uuid.uuid4(), 1))

    run_id = bench.start({"plan": PLAN})
    bench.worker(emit=emit, unheard=unheard).advance(run_id)

    assert (bench.shown(run_id).status, len(tool.calls)) == ("completed", 3)
    told = bench.told(run_id)
    assert [name for name in told if name.startswith("step.")] == TOLD
    assert sorted(heard) == [f"xyn.{name}" for name in told]


def test_a_cancel_that_nobody_has_heard_of_is_found_out_in_writing(bench: Bench) -> None:
    def cancel(*_: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs and context
        with bench.database.begin() as connection:
            runs.request_cancel(connection, run_id, by="ada", now=bench.now())
        return {}

    bench.actions["demo.do"] = Tool("demo.do", cancel)
    run_id = bench.start({"plan": PLAN})

    bench.worker().advance(run_id)

    steps = bench.steps(run_id)
    assert bench.shown(run_id).status == "cancelled"
    assert [steps[key].status for key in "abc"] == ["completed", "cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("change", "written"),
    [
        ("leased_until = leased_until + interval '1 s'", True),
        ("cancel_requested_at = now()", False),
    ],
    ids=["a heartbeat", "a cancel"],
)
def test_who_is_just_changing_a_run_is_waited_for_and_heeded(
    bench: Bench, change: str, written: bool
) -> None:
    run_id, now = bench.start({"plan": PLAN}), bench.now()
    held = {"run_id": run_id, "status": "running", "attempt": 1, "leased_by": "w1"}
    turn = Turn(runs=[held | {"leased_until": now, "warnings": 0, "wait_reason": "written"}])
    with bench.database.begin() as connection:
        connection.execute(text("UPDATE runs SET leased_by = 'w1', leased_until = now()"))
        connection.execute(text("UPDATE runs SET attempt = 1"))

    def save() -> bool:
        with bench.database.autocommit() as connection:
            return turn.save(connection, held=[(run_id, 1)], worker="w1")

    with ThreadPoolExecutor() as threads:
        with bench.database.begin() as connection:
            connection.execute(text(f"UPDATE runs SET {change}"))  # noqa: S608 - of the parameters
            saved = threads.submit(save)
            bench.wait_for(lambda: _somebody_waits(bench))
        assert saved.result() is written

    assert (bench.shown(run_id).wait_reason == "written") is written


def _somebody_waits(bench: Bench) -> bool:
    with bench.database.read() as connection:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(
            connection.execute(text(f"{waiting} AND datname = current_database()")).scalar_one()
        )
