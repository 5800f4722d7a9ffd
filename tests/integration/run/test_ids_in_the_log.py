"""What the worker logs of a run says which run it is of, and which step (seed 32.2)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.integration.run.engine_bench import Bench, Tool
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import step_id
from xyn_reconciler.store.database import Connection

Logged = Callable[[], list[dict[str, Any]]]

IDS = {"correlation_id", "run_id", "step_id"}


def of(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in IDS & line.keys()}


def test_what_an_attempt_logs_carries_the_ids_of_its_step(bench: Bench, logged: Logged) -> None:
    def fail(*_: object) -> None:
        logging.getLogger("a.library").warning("tired of %s", "it")
        raise RuntimeError("broken")

    bench.actions["demo.fail"] = Tool("demo.fail", fail)
    document = {"plan": [{"id": key, "kind": "action_task", "action": "demo.fail"} for key in "ab"]}

    runs = {name: bench.start(document, correlation_id=name) for name in ("c1", "c2")}
    for run_id in runs.values():
        bench.worker().advance(run_id)

    said = [(line["message"], of(line)) for line in logged()]
    for correlation_id, run_id in runs.items():
        ids = {
            "correlation_id": correlation_id,
            "run_id": str(run_id),
            "step_id": str(step_id(run_id, "a")),
        }
        assert ("tired of it", ids) in said
        assert ("action demo.fail failed in a way it does not declare", ids) in said


def test_what_the_worker_says_of_a_run_that_broke_it_names_the_run(
    bench: Bench, logged: Logged
) -> None:
    broken = set[str]()

    def emit(connection: Connection, events: Sequence[Event]) -> None:
        names = {event.event_name for event in events}
        if "xyn.step.completed" in names and not broken:
            broken.update(names)
            raise RuntimeError("broken")
        bench.emit(connection, events)

    bench.actions["demo.do"] = Tool("demo.do", lambda *_: {})
    run_id = bench.start({"plan": [{"id": "a", "kind": "action_task", "action": "demo.do"}]})

    bench.worker(emit=emit, unheard=lambda _: None).advance(run_id)

    (line,) = [line for line in logged() if line["level"] == "error"]
    assert line["message"] == f"run {run_id} broke the worker"
    assert of(line) == {"correlation_id": "c1", "run_id": str(run_id)}
