"""Event to first step, and durable three-step runs a second with one worker.

Both sides do the same step (:func:`bench.stamps.light_step`) and say when by the
same datagrams. Xyn's events come in over HTTP; the floor's by a statement.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final

from bench.desired import EVENT
from bench.floor_engine import STEPS, FloorEngine
from bench.node import Node
from bench.place import Child, wait_for
from bench.result import Bar, Result, compare, quantile
from bench.rounds import rounds
from bench.stamps import Stamps

LATENCY_ROUNDS: Final = 3
LATENCY_EVENTS: Final = 30
LATENCY_SECONDS: Final = 30.0
PAUSE: Final = 0.02
"""Between two events: each finds a worker that waits."""

RATE_ROUNDS: Final = 3
RATE_RUNS: Final = 150
RATE_SECONDS: Final = 45.0

_RUN_SECONDS: Final = 60.0

LATENCY_BAR: Final = Bar("<=", 3.0)
LATENCY_OBSTACLE: Final = (
    "an event is taken in by three transactions (node, event, answer) of some fifteen statements"
    " behind HTTP, and a run is taken up by some twelve before its first step begins; the floor"
    " needs one and one. Most of the time is the interpreter's, building and sending statements."
)
RATE_BAR: Final = Bar(">=", 0.5)
RATE_OBSTACLE: Final = (
    "each of a run's four commits carries some ten statements (steps, tries, events, outbox,"
    " notices, gates), each a round trip that costs the interpreter more than it costs Postgres,"
    " and the run's log is synced to the artifact store; the floor needs four statements in all."
)


def measure_latency(node: Node, stamps: Stamps) -> Iterator[Result]:
    """Post an event, wait for its run, again and again; p50 and p95 of both sides."""
    name = "event to first step"
    with closing(FloorEngine(node.place, stamps, "floor_latency")) as floor:
        workers = [floor.start_worker(), node.start_worker()]
        _warm(floor, node, stamps)
        times = [
            (
                _latencies(stamps, floor.submit, f"floor-{number}"),
                _latencies(stamps, lambda run: node.emit(EVENT, run), f"xyn-{number}"),
            )
            for number in rounds(node.place.say, name, LATENCY_ROUNDS, seconds=LATENCY_SECONDS)
        ]
        for worker in workers:
            worker.stop()
    conditions = {
        "value": "from the beginning of POST /api/v1/events to the beginning of the first step's"
        " work, one event at a time, an idle worker of one process",
        "floor_is": "the same from the beginning of the statement that commits event and run, to a"
        " worker woken by NOTIFY; no HTTP, no plan",
        "events_per_round": LATENCY_EVENTS,
    }
    for share, bar in ((0.5, LATENCY_BAR), (0.95, None)):
        pairs = [(quantile(floor, share), quantile(xyn, share)) for floor, xyn in times]
        yield compare(
            f"{name}, p{share * 100:.0f}",
            "ms",
            pairs,
            conditions,
            bar=bar,
            obstacle=LATENCY_OBSTACLE,
        )


def measure_rate(node: Node, stamps: Stamps) -> Iterator[Result]:
    """Let events pile up without a worker, start one, time from first step to last."""
    name = f"durable {STEPS}-step runs, one worker"
    with closing(FloorEngine(node.place, stamps, "floor_rate")) as floor:

        def pile_up(runs: Sequence[str]) -> None:
            node.emit_all(EVENT, runs)
            wait_for(node.recorded, "the record of the events", seconds=_RUN_SECONDS)

        pairs = [
            (
                _rate(stamps, floor.submit_all, floor.start_worker, f"floors-{number}"),
                _rate(stamps, pile_up, node.start_worker, f"xyns-{number}"),
            )
            for number in rounds(node.place.say, name, RATE_ROUNDS, seconds=RATE_SECONDS)
        ]
    conditions = {
        "value": "runs that had piled up, from the first step's beginning to the last one's end;"
        " one worker process; records are written to Git meanwhile",
        "floor_is": "a hand-written engine: FOR UPDATE SKIP LOCKED, a commit a step, one thread",
        "runs_per_round": RATE_RUNS,
    }
    yield compare(name, "runs/s", pairs, conditions, bar=RATE_BAR, obstacle=RATE_OBSTACLE)


def _warm(floor: FloorEngine, node: Node, stamps: Stamps) -> None:
    runs = [f"warm-{number}" for number in range(5)]
    floor.submit_all(runs)
    stamps.wait(runs, seconds=_RUN_SECONDS)
    runs = [f"warm-xyn-{number}" for number in range(5)]
    node.emit_all(EVENT, runs)
    stamps.wait(runs, seconds=_RUN_SECONDS)


def _latencies(stamps: Stamps, submit: Callable[[str], None], prefix: str) -> list[float]:
    found = []
    for number in range(LATENCY_EVENTS):
        run = f"{prefix}-{number}"
        time.sleep(PAUSE)
        began = time.monotonic()
        submit(run)
        stamps.wait([run], seconds=_RUN_SECONDS)
        found.append((stamps.began[run] - began) * 1000)
    return found


def _rate(
    stamps: Stamps,
    submit: Callable[[Sequence[str]], None],
    start: Callable[[], Child],
    prefix: str,
) -> float:
    runs = [f"{prefix}-{number}" for number in range(RATE_RUNS)]
    submit(runs)
    worker = start()
    try:
        stamps.wait(runs, seconds=_RUN_SECONDS)
    finally:
        worker.stop()
    began = min(stamps.began[run] for run in runs)
    return len(runs) / (max(stamps.ended[run] for run in runs) - began)
