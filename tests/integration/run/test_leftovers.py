"""What a worker that was killed left running outside of its process."""

import datetime as dt
import uuid
from collections.abc import Callable, Collection

import pytest
from sqlalchemy import text

from tests.integration.run.engine_bench import Bench
from xyn_reconciler.model.errors import TemporaryError
from xyn_reconciler.run.leftovers import Leftovers

Ask = Callable[[Collection[uuid.UUID]], Collection[uuid.UUID]]

COMPUTE = {
    "id": "one",
    "kind": "action_task",
    "action": "container.exec",
    "with": {"image": "sha256:" + "a" * 64, "argv": ["id"]},
}
GATE = {"id": "ok", "kind": "gate", "mode": "manual"}


def hold(bench: Bench, run_id: uuid.UUID, worker: str, seconds: float) -> None:
    with bench.database.begin() as connection:
        connection.execute(
            text(
                "UPDATE runs SET status = 'running', started_at = now(), attempt = 1,"
                " leased_by = :worker, leased_until = :until WHERE run_id = :run"
            ),
            {"run": run_id, "worker": worker, "until": bench.now() + dt.timedelta(seconds=seconds)},
        )


class Engine:
    """A container engine with a container of each of these runs."""

    def __init__(self, *run_ids: uuid.UUID) -> None:
        self.run_ids = set(run_ids)
        self.removed: set[uuid.UUID] = set()

    def remove(self, left: Ask) -> int:
        found = set(left(self.run_ids))
        self.removed |= found
        return len(found)


def test_only_containers_of_runs_that_no_other_worker_has_are_removed(bench: Bench) -> None:
    mine, others, nobodys = (bench.start({"plan": [GATE, COMPUTE]}) for _ in range(3))
    hold(bench, mine, "w1", 9)
    hold(bench, others, "w2", 9)
    engine = Engine(mine, others, nobodys, uuid.uuid4())

    Leftovers(bench.database, "w1", engine.remove)()

    assert engine.removed == {mine, nobodys}


def test_no_engine_is_asked_where_no_run_ever_used_one(bench: Bench) -> None:
    bench.run({"plan": [GATE]})

    Leftovers(bench.database, "w1", lambda _: pytest.fail("nobody is to be asked"))()


def test_an_engine_that_does_not_answer_harms_nobody(bench: Bench) -> None:
    def refuse(_left: Ask) -> int:
        raise TemporaryError("engine_unavailable", "no answer")

    bench.run({"plan": [GATE, COMPUTE]})

    Leftovers(bench.database, "w1", refuse)()


def test_a_run_whose_worker_died_is_taken_up_and_what_it_left_is_removed(
    bench: Bench,
) -> None:
    run_id = bench.start({"plan": [GATE, COMPUTE]})
    hold(bench, run_id, "dead", -1)
    engine = Engine(run_id)

    bench.worker(remove_leftovers=engine.remove).advance(run_id)

    bench.wait_for(lambda: engine.removed == {run_id})
