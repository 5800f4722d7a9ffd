"""What a step says while it runs: seen at once, without secrets, and gone with its claim."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from tests.integration.run.engine_bench import SECRET, Bench, Tool
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.run.leftovers import Leftovers
from xyn_reconciler.run.live_log import KEEP
from xyn_reconciler.store import live_log

STEP = {"id": "talk", "kind": "action_task", "action": "talk.tool", "with": {}}


class Talk:
    """A tool that says what it is told to, piece by piece, while it runs."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.ready = threading.Event()
        self.over = threading.Event()
        self.context: ActionContext | None = None
        bench.actions["talk.tool"] = Tool("talk.tool", self.run)

    def run(self, _inputs: Any, context: ActionContext) -> dict[str, Any]:  # noqa: ANN401 - as Tool has it
        self.context = context
        self.ready.set()
        assert self.over.wait(30)
        return {}

    def say(self, *pieces: str) -> None:
        assert self.context is not None
        for piece in pieces:
            self.context.live(piece)

    @contextmanager
    def going_on(self, document: dict[str, Any] | None = None) -> Iterator[uuid.UUID]:
        """A run of it, in another thread, for as long as the body takes."""
        run_id = self.bench.start(document or {"plan": [STEP]})
        worker = self.bench.worker()
        advancing = threading.Thread(target=worker.advance, args=(run_id,))
        advancing.start()
        try:
            assert self.ready.wait(30)
            yield run_id
        finally:
            self.over.set()
            advancing.join()

    def seen(self, run_id: uuid.UUID) -> str:
        return "".join(one.text for one in self.rows(run_id))

    def rows(self, run_id: uuid.UUID) -> list[live_log.LiveText]:
        with self.bench.database.begin() as connection:
            return live_log.of_step(connection, run_id, "talk")

    def kept(self) -> int:
        with self.bench.database.begin() as connection:
            return int(connection.execute(text("SELECT count(*) FROM live_texts")).scalar_one())


@pytest.fixture
def talk(bench: Bench) -> Talk:
    return Talk(bench)


def test_what_a_step_says_and_logs_is_seen_while_it_runs(bench: Bench, talk: Talk) -> None:
    with talk.going_on() as run_id:
        talk.say("half of ", "a sentence\n")
        assert talk.context is not None
        talk.context.log("and a line")

        bench.wait_for(lambda: talk.seen(run_id) == "half of a sentence\nand a line\n")


def test_a_secret_is_taken_out_also_where_it_comes_in_two_looks(bench: Bench, talk: Talk) -> None:
    with talk.going_on() as run_id:
        talk.say(f"it is {SECRET[:7]}")
        bench.wait_for(lambda: talk.seen(run_id) == "it is ")
        talk.say(f"{SECRET[7:]} indeed\n")

        bench.wait_for(lambda: talk.seen(run_id) == "it is [redacted] indeed\n")


def test_only_the_last_of_it_is_kept(bench: Bench, talk: Talk) -> None:
    with talk.going_on() as run_id:
        talk.say("first\n")
        bench.wait_for(lambda: talk.seen(run_id) == "first\n")
        talk.say("x\n" * (KEEP // 2))
        bench.wait_for(lambda: talk.rows(run_id)[0].start == len("first\n"))

        assert talk.seen(run_id) == "x\n" * (KEEP // 2)


def test_what_is_too_much_for_one_look_leaves_a_gap_and_no_half_of_a_secret(
    bench: Bench, talk: Talk
) -> None:
    with talk.going_on() as run_id:
        for _ in range(400):
            talk.say(f"{SECRET * 100}\n")
        bench.wait_for(lambda: talk.seen(run_id) != "")
        seen = talk.seen(run_id)

    assert "[...]" in seen
    assert all(SECRET[i : i + 5] not in seen for i in range(len(SECRET) - 5))


def test_it_is_gone_once_the_run_waits_or_has_ended(bench: Bench, talk: Talk) -> None:
    gate = {"id": "ok", "kind": "gate", "mode": "manual", "needs": ["talk"]}
    with talk.going_on({"plan": [STEP, gate]}) as run_id:
        talk.say("going on\n")
        bench.wait_for(lambda: talk.seen(run_id) != "")

    assert bench.shown(run_id).status == "waiting"
    assert talk.seen(run_id) == ""
    bench.wait_for(lambda: talk.kept() == 0)


def test_a_worker_that_leaves_takes_what_was_said_with_it(bench: Bench, talk: Talk) -> None:
    with talk.going_on() as run_id:
        talk.say("going on\n")
        bench.wait_for(lambda: talk.seen(run_id) != "")

    for worker in bench.workers:
        worker.close()

    assert talk.kept() == 0


def test_what_an_abandoned_step_says_later_is_not_shown(bench: Bench, talk: Talk) -> None:
    with talk.going_on() as run_id:
        talk.say("going on\n")
        bench.wait_for(lambda: talk.seen(run_id) != "")
    talk.say("still here\n")

    bench.wait_for(lambda: talk.kept() == 0)


def test_what_a_killed_worker_left_is_not_shown_and_swept(bench: Bench, talk: Talk) -> None:
    step = uuid.uuid4()
    run_id = bench.start({"plan": [STEP]})
    said = live_log.LiveText(
        attempt_id=uuid.uuid4(), run_id=run_id, run_attempt=1, step_id=step, item_index=None,
        number=1, start=0, text="the last words",
    )  # fmt: skip
    with bench.database.begin() as connection:
        live_log.keep(connection, [said])

    Leftovers(bench.database, "w2", lambda _: 0)()

    assert talk.kept() == 0


def test_a_run_that_says_nothing_costs_no_statement(bench: Bench, talk: Talk) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with talk.going_on() as run_id:
            pass
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    assert bench.shown(run_id).status == "completed"
    assert not [one for one in statements if "live_texts" in one]


def test_items_that_run_side_by_side_speak_apart(bench: Bench, talk: Talk) -> None:
    def run(inputs: dict[str, Any], context: ActionContext) -> dict[str, Any]:
        context.live(f"item {inputs['n']}\n")
        talk.ready.set()
        assert talk.over.wait(30)
        return {}

    bench.actions["talk.tool"] = Tool("talk.tool", run)
    step = {**STEP, "foreach": ["a", "b"], "max_parallel": 2, "with": {"n": "{{ item }}"}}
    with talk.going_on({"plan": [step]}) as run_id:
        bench.wait_for(lambda: len(talk.rows(run_id)) == 2)

        found = [(one.item_index, one.text) for one in talk.rows(run_id)]

    assert found == [(0, "item a\n"), (1, "item b\n")]
