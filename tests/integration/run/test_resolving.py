"""What people may say to a step whose worker died under it, and gates that change meanwhile."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.errors import TemporaryError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.store import gates, runs


def act(key: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a step
    return {"id": key, "kind": "action_task", "action": "demo.act", "with": {}, **more}


def interrupted(
    bench: Bench,
    step: dict[str, Any],
    *then: dict[str, Any],
    run: Callable[..., dict[str, Any]] = lambda *_: {"by": "the second try"},
) -> uuid.UUID:
    """A run whose worker died under its first step."""
    bench.actions["demo.act"] = Tool("demo.act", run)
    run_id = bench.start({"plan": [step, *then]})
    with bench.database.begin() as connection:
        died = (
            "UPDATE runs SET status = 'running', started_at = now(), attempt = 1,"
            " leased_by = 'dead', leased_until = now() - interval '1 s' WHERE run_id = :run"
        )
        under_way = (
            "UPDATE steps SET status = 'running', attempt = 1 WHERE run_id = :run AND position = 0"
        )
        for statement in (died, under_way):
            connection.execute(text(statement), {"run": run_id})
    bench.worker().advance(run_id)
    return run_id


def resolve(bench: Bench, run_id: uuid.UUID, key: str, resolution: str) -> bool:
    with bench.database.begin() as connection:
        runs.lock(connection, run_id)
        return runs.resolve_step(
            connection,
            bench.steps(run_id)[key].step_id,
            resolution=resolution,
            by="ada",
            now=bench.now(),
        )


@pytest.mark.parametrize(
    ("resolution", "status", "step"),
    [
        ("retry", "completed", "completed"),
        ("done", "completed", "completed"),
        ("fail", "failed", "failed"),
    ],
)
def test_a_person_says_what_becomes_of_an_interrupted_step(
    bench: Bench, resolution: str, status: str, step: str
) -> None:
    run_id = interrupted(bench, act("one"), {"id": "two", "kind": "transform"})
    asked = bench.shown(run_id)

    accepted = resolve(bench, run_id, "one", resolution)
    bench.worker().advance(run_id)

    assert (asked.status, asked.wait_reason, accepted) == ("waiting", "interrupted", True)
    assert bench.shown(run_id).status == status
    found = bench.steps(run_id)["one"]
    assert found.status == step
    assert found.outputs == ({"by": "the second try"} if resolution == "retry" else None)


def test_a_step_that_asks_nobody_takes_no_word(bench: Bench) -> None:
    run_id = interrupted(bench, act("one", idempotency_key="k"))

    assert bench.shown(run_id).status == "completed"
    assert not resolve(bench, run_id, "one", "retry")


def test_an_interruption_uses_up_no_attempt(bench: Bench) -> None:
    errors = iter([TemporaryError("connection", "gone"), None])

    def flaky(_inputs: Mapping[str, Any], _context: ActionContext) -> dict[str, Any]:
        error = next(errors)
        if error is not None:
            raise error
        return {}

    retry = {"max_attempts": 2, "delay": "1m"}
    run_id = interrupted(bench, act("one", idempotency_key="k", retry=retry), run=flaky)
    bench.late = dt.timedelta(minutes=2)
    bench.worker().advance(run_id)

    assert bench.shown(run_id).status == "completed"
    assert bench.steps(run_id)["one"].attempt == 3


def test_a_step_that_ends_clears_what_is_held_against_another(bench: Bench) -> None:
    bench.actions["demo.act"] = Tool("demo.act", lambda *_: {})
    plan = [act("one", needs=[], idempotency_key="k"), {"id": "two", "kind": "transform"}]
    run_id = bench.start({"plan": [*plan, act("three", needs=[])]})
    with bench.database.begin() as connection:
        died_twice = (
            "UPDATE steps SET status = 'waiting', wait_reason = 'retry', attempt = 2,"
            " interruptions = 2, available_at = now() + interval '1 h'"
            " WHERE run_id = :run AND key = 'one'"
        )
        connection.execute(text(died_twice), {"run": run_id})
        taken_up = "UPDATE runs SET status = 'waiting', started_at = now() WHERE run_id = :run"
        connection.execute(text(taken_up), {"run": run_id})

    bench.worker().advance(run_id)

    with bench.database.begin() as connection:
        held_against = "SELECT interruptions FROM steps WHERE run_id = :run AND key = 'one'"
        found = connection.execute(text(held_against), {"run": run_id}).scalar_one()
    assert bench.steps(run_id)["three"].status == "completed"
    assert found == 0


def test_a_get_request_is_taken_up_again_and_a_post_asks(bench: Bench) -> None:
    bench.actions["http.call"] = Tool("http.call", lambda *_: {})
    call = {"id": "one", "kind": "action_task", "action": "http.call"}

    read = interrupted(bench, {**call, "with": {"url": "http://a"}})
    written = interrupted(bench, {**call, "with": {"url": "http://a", "method": "POST"}})
    unknown = interrupted(bench, {**call, "with": {"url": "http://a", "method": "{{ 'GET' }}"}})

    assert bench.shown(read).status == "completed"
    assert bench.shown(written).wait_reason == "interrupted"
    assert bench.shown(unknown).wait_reason == "interrupted"


def test_an_approval_dies_when_what_it_lets_through_changes(bench: Bench) -> None:
    plan = [
        act("slow", needs=[], retry={"max_attempts": 2, "delay": "1m", "on": "any"}),
        {
            "id": "ok",
            "kind": "gate",
            "mode": "manual",
            "needs": [],
            "approvals": {"min": 2, "from_any_of": ["role:Operator"]},
        },
        act("fix", needs=["ok", "slow"], **{"with": {"n": "{{ steps.slow.outputs.n }}"}}),
    ]
    bench.actions["demo.act"] = Tool("demo.act", lambda *_: 1 / 0)
    run_id = bench.run({"plan": plan}).run_id
    ada = Principal("ada", roles=frozenset({"Operator"}))
    bench.decide(run_id, "ok", "approved", ada)
    with bench.database.begin() as connection:
        before = gates.list_gates(connection, limit=1)[0]

    bench.actions["demo.act"] = Tool("demo.act", lambda *_: {"n": 7})
    bench.late += dt.timedelta(minutes=2)
    bench.worker().advance(run_id)

    with bench.database.begin() as connection:
        after = gates.list_gates(connection, limit=1)[0]
    assert after.effect_digest != before.effect_digest
    assert after.effect["steps"][0]["with"] == {"n": 7}
    assert not bench.decide(run_id, "ok", "approved", ada)
