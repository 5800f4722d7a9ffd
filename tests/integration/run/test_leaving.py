"""A worker that is told to stop, a database that goes away, and what a run used up."""

import datetime as dt
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import Footprint
from xyn_reconciler.model.errors import TemporaryError, UnavailableError
from xyn_reconciler.run import worker as worker_module
from xyn_reconciler.store import claims
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.events import Told
from xyn_reconciler.store.turns import Turn


def act(key: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    return {"id": key, "kind": "action_task", "action": "demo.act", "with": {}, **more}


@contextmanager
def working(bench: Bench, name: str) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=bench.worker(name).work, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def held(bench: Bench, run_id: uuid.UUID) -> str | None:
    with bench.database.begin() as connection:
        holder: str | None = connection.execute(
            text("SELECT leased_by FROM runs WHERE run_id = :run"), {"run": run_id}
        ).scalar_one()
        return holder


def test_a_worker_told_to_stop_lets_a_step_end_and_hands_the_run_over(bench: Bench) -> None:
    began, go_on = threading.Event(), threading.Event()

    def wait(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        began.set()
        assert go_on.wait(20)
        return {}

    bench.actions["demo.act"] = tool = Tool("demo.act", wait)
    run_id = bench.start({"plan": [act("one"), act("two")]})
    with working(bench, "first") as stop:
        assert began.wait(20)
        stop.set()
        threading.Timer(0.3, go_on.set).start()

    assert len(tool.calls) == 1
    assert held(bench, run_id) is None
    assert bench.steps(run_id)["one"].status == "completed"
    bench.worker("second").advance(run_id)
    assert bench.shown(run_id).status == "completed"


def test_a_step_that_outlasts_the_grace_is_handed_over_as_interrupted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "GRACE", 0.2)
    began, told = threading.Event(), threading.Event()

    def wait(_inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        began.set()
        while not context.cancelled():
            threading.Event().wait(0.01)
        told.set()
        return {}

    bench.actions["demo.act"] = Tool("demo.act", wait)
    safe = bench.start({"plan": [act("one", idempotency_key="k")]})
    unsafe = bench.start({"plan": [act("one")]})
    with working(bench, "first"):
        assert began.wait(20)
        bench.wait_for(lambda: bool(held(bench, safe) and held(bench, unsafe)))

    assert told.wait(20)
    bench.actions["demo.act"] = Tool("demo.act", lambda *_: {})
    for run_id in (safe, unsafe):
        assert held(bench, run_id) is None
        bench.worker("second").advance(run_id)
    assert bench.shown(safe).status == "completed"
    assert bench.shown(unsafe).wait_reason == "interrupted"


@pytest.mark.parametrize("heard", [False, True])
def test_a_result_is_not_lost_with_the_connection_that_was_to_carry_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    bench.actions["demo.act"] = tool = Tool("demo.act", lambda *_: {"n": 1})
    tries = lose_commits(bench.database, monkeypatch, after_the_effect=tool, committed=False)
    run_id = bench.start({"plan": [act("one")], "outputs": {"n": None}})

    bench.worker(**hearing(heard)).advance(run_id)

    run = bench.shown(run_id)
    assert (run.status, run.outputs, len(tool.calls), tries[0]) == ("completed", {"n": 1}, 1, 0)


@pytest.mark.parametrize("heard", [False, True])
def test_a_commit_whose_answer_was_lost_is_asked_about_and_not_done_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    bench.actions["demo.act"] = tool = Tool("demo.act", lambda *_: {"n": 1})
    tries = lose_commits(bench.database, monkeypatch, after_the_effect=tool, committed=True)
    run_id = bench.start({"plan": [act("one"), act("two")]})

    bench.worker(**hearing(heard)).advance(run_id)

    assert (bench.shown(run_id).status, len(tool.calls), tries[0]) == ("completed", 2, 0)
    assert bench.told(run_id).count("step.completed") == 2


def hearing(heard: bool) -> dict[str, Any]:
    """Whether somebody waits for what is told: then a round is no single statement."""
    return {"unheard": lambda _: None} if heard else {}


def lose_commits(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, after_the_effect: Tool, committed: bool
) -> list[int]:
    """Cut the connection once at the commit that follows an effect; how often is still to come."""
    left, begin = [1], database.begin

    @contextmanager
    def begin_and_lose() -> Iterator[Connection]:
        with begin() as connection:
            yield connection
            wrote = getattr(connection, "_xyn_wrote", False)
            lose = after_the_effect.calls and left[0] and wrote
            if lose:
                left[0] -= 1
            if lose and not committed:
                raise UnavailableError("the connection was cut")
        if lose:
            raise UnavailableError("the connection was cut")

    save = Turn.save

    def save_and_lose(
        turn: Turn,
        connection: Connection,
        told: Told | None = None,
        *,
        held: Sequence[claims.Token] = (),
        worker: str = "",
    ) -> bool:
        lose = bool(held and after_the_effect.calls and left[0])
        left[0] -= lose
        written = (committed or not lose) and save(turn, connection, told, held=held, worker=worker)
        if lose:
            raise UnavailableError("the connection was cut")
        return written

    hold = claims.hold

    def note(connection: Connection, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on
        connection._xyn_wrote = bool(arguments[0])  # type: ignore[attr-defined]  # noqa: SLF001 - this test's own mark
        return hold(connection, *arguments, **named)

    monkeypatch.setattr(claims, "hold", note)
    monkeypatch.setattr(Turn, "save", save_and_lose)
    monkeypatch.setattr(database, "begin", begin_and_lose)
    return left


def test_what_a_run_used_up_is_noted_once_a_metric_and_step(bench: Bench) -> None:
    def use(inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        context.footprint(Footprint("tokens_in", 10, "token", {"model": "m"}))
        if inputs["n"] == 2 and context.attempt == 1:
            raise TemporaryError("connection", "no route")
        return {}

    bench.actions["demo.act"] = Tool("demo.act", use)
    retry = {"max_attempts": 2, "delay": "1s"}
    each = act("each", foreach=[1, 2], retry=retry, **{"with": {"n": "{{ item }}"}})
    plan = [each, {"id": "end", "kind": "transform"}, {**act("no"), "when": "false"}]

    run_id = bench.run({"plan": plan}).run_id
    bench.late += dt.timedelta(seconds=5)
    bench.worker().advance(run_id)

    with bench.database.begin() as connection:
        rows = connection.execute(
            text(
                "SELECT key, metric, source_kind, source_ref, sum(quantity), unit FROM footprints"
                " WHERE run_id = :run GROUP BY 1, 2, 3, 4, 6"
            ),
            {"run": run_id},
        ).all()
    found = {(row[0], row[1]): tuple(row)[2:] for row in rows}
    assert found["", "run.count"] == ("blueprint", "bp.test", 1, "count")
    assert found["each", "tokens_in"] == ("action_task", "demo.act", 30, "token")
    assert found["each", "step.count"] == ("action_task", "demo.act", 1, "count")
    assert found["end", "step.count"] == ("transform", "end", 1, "count")
    assert {key for key, metric in found if metric == "wall_ms"} == {"each", "end"}
    assert not [key for key, _ in found if key == "no"]
