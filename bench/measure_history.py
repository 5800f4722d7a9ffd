"""The main figures again at a hundred times the history, and beside ten thousand waiting runs.

Two nodes do the same few hundred runs; then one of them gets what the row is
about, and both are measured in turns.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

import psutil

from bench import measure_events, measure_latency, measure_push, measure_rate
from bench.desired import EVENT, GATE_BLUEPRINT, GATE_EVENT
from bench.engine_side import RUN_SECONDS, open_loop, warm
from bench.history import copy_history, copy_waiting, drop_runs, read_history
from bench.node import Node, running_node
from bench.place import Child, Place, wait_for
from bench.result import Bar, Result, compare, quantile
from bench.rounds import pairs, turns
from bench.stamps import Stamps

LIMIT: Final = 1.2
BESIDE: Final = Bar("<=", LIMIT, than="without them")
SLOWER: Final = Bar("<=", LIMIT, than="a short history")
FEWER: Final = Bar(">=", 1 / LIMIT, than="a short history")
NOTHING: Final = Bar("<=", 0.0, than=None)

_WAITING: Final = (
    "SELECT count(*) FROM runs WHERE blueprint_id = %s AND status = 'waiting' AND leased_by IS NULL"
)
_JOBS: Final = "SELECT count(*) FROM procrastinate_jobs"


def measure(place: Place, stamps: Stamps, *, gates: bool, history: bool) -> Iterator[Result]:
    with ExitStack() as stack:
        young = stack.enter_context(running_node(place, stamps, "young"))
        old = stack.enter_context(running_node(place, stamps, "old"))
        for node in (young, old):
            _live(node, stamps)
        if gates:
            yield from _measure_gates(young, old, stamps)
        if history:
            drop_runs(old, GATE_BLUEPRINT)
            place.say(f"copying the history of {place.sizes.history_runs} runs")
            copy_history(old, place.sizes.history_copies)
            yield from _measure_history(young, old, stamps)


def _live(node: Node, stamps: Stamps) -> None:
    """Do what is to become the history."""
    runs = [f"{node.name}-{number}" for number in range(node.place.sizes.history_runs)]
    node.take_in(EVENT, runs)
    worker = node.start_worker()
    stamps.wait(runs, seconds=RUN_SECONDS)
    worker.stop()
    node.wait_recorded()


# ── runs that wait for people ────────────────────────────────────────────────────────────────────


def _measure_gates(young: Node, old: Node, stamps: Stamps) -> Iterator[Result]:
    sizes = old.place.sizes
    count = sizes.gate_runs * (sizes.gate_copies + 1)
    name = f"{count:,} runs waiting at gates"
    workers = [young.start_worker(), old.start_worker()]
    for node in (young, old):
        warm(stamps, partial(node.emit, EVENT), f"{node.name}-gates")
    old.take_in(GATE_EVENT, [f"gated-{number}" for number in range(sizes.gate_runs)])
    _wait_for_waiting(old, sizes.gate_runs)
    threads = _threads(workers[1])
    old.place.say(f"{name}: copying {sizes.gate_runs} of them")
    copy_waiting(old, GATE_BLUEPRINT, sizes.gate_copies)
    _wait_for_waiting(old, count)
    old.wait_recorded()
    times = turns(
        old.place.say,
        name,
        sizes.latency_rounds,
        {node.name: partial(_p50, stamps, node) for node in (young, old)},
        seconds=30.0,
    )
    _wait_for_waiting(old, count)
    taken_up = _jobs(old) + max(0, _threads(workers[1]) - threads)
    for worker in workers:
        worker.stop()
    conditions = {
        "how": f"{sizes.gate_runs} runs were started and came to their gates; each was copied"
        f" {sizes.gate_copies} times as it waited, in all its rows"
    }
    yield Result(
        name=f"{name}, jobs and threads they take",
        value=taken_up,
        unit="jobs and threads",
        bar=NOTHING,
        conditions={
            "value": "jobs in the queue, and threads that the worker has more than before",
            "floor_is": "none: it is zero or it is not",
            **conditions,
        },
    )
    yield compare(
        f"event to first step, p50, beside {name}",
        "ms",
        pairs(times, young.name, old.name),
        {
            "value": "a new event's way to the first step of its run, as above",
            "floor_is": "the same on a node without waiting runs",
            **conditions,
        },
        bar=BESIDE,
    )


def _wait_for_waiting(node: Node, count: int) -> None:
    with node.database() as connection:

        def all_wait() -> bool:
            row = connection.execute(_WAITING, (GATE_BLUEPRINT,)).fetchone()
            return row is not None and row[0] == count

        wait_for(all_wait, f"{count} runs at their gates", seconds=RUN_SECONDS)


def _jobs(node: Node) -> int:
    with node.database() as connection:
        row = connection.execute(_JOBS).fetchone()
    return 0 if row is None else int(row[0])


def _threads(worker: Child) -> int:
    return psutil.Process(worker.process.pid).num_threads()


# ── a hundred times the history ──────────────────────────────────────────────────────────────────


def _measure_history(young: Node, old: Node, stamps: Stamps) -> Iterator[Result]:
    sizes = old.place.sizes
    times = sizes.history_copies + 1
    conditions = {
        "history": str(read_history(old)),
        "floor_is": f"the same Xyn with 1/{times} of it: {read_history(young)}",
        "how": f"{sizes.history_runs} runs really ran on both; their rows and record commits were"
        f" then copied {sizes.history_copies} times with ids and moments of their own",
    }
    for name, unit, bar, side in _figures(young, old, stamps):
        rounds = turns(
            old.place.say,
            f"{name}, {times} x",
            sizes.history_rounds,
            {node.name: partial(side, node) for node in (young, old)},
            seconds=45.0,
        )
        figures = pairs(rounds, young.name, old.name)
        yield compare(f"{name}, at {times} x the history", unit, figures, conditions, bar=bar)


Side = Callable[[Node, str], float]


def _figures(young: Node, old: Node, stamps: Stamps) -> Iterator[tuple[str, str, Bar, Side]]:
    """Name, unit, bar and measure of each; workers are there from one figure to the next."""
    nodes = (young, old)
    yield (
        measure_rate.ONE,
        "runs/s",
        FEWER,
        lambda node, prefix: measure_rate.worker_rate(node, stamps, prefix),
    )
    workers = [node.start_worker() for node in nodes]
    for node in nodes:
        warm(stamps, partial(node.emit, EVENT), f"{node.name}-history")
    yield "event to first step, p50", "ms", SLOWER, partial(_p50, stamps)
    yield f"{measure_latency.OPEN}, p99", "ms", SLOWER, partial(_open_p99, stamps)
    yield (
        measure_latency.LONG,
        "ms",
        SLOWER,
        lambda node, prefix: measure_latency.long_time(node, stamps, prefix),
    )
    yield measure_rate.TRANSFORMS, "runs/s", FEWER, measure_rate.transforms
    for worker in workers:
        worker.stop()
    yield measure_events.INGESTED, "events/s", FEWER, lambda node, _: measure_events.rate(node)
    yield "push to active, over HTTP", "ms", SLOWER, measure_push.push_time


def _p50(stamps: Stamps, node: Node, prefix: str) -> float:
    return measure_latency.first_step(measure_latency.latencies(node, stamps, prefix), 0.5)


def _open_p99(stamps: Stamps, node: Node, prefix: str) -> float:
    taken = open_loop(
        stamps,
        partial(node.submitter, EVENT),
        prefix,
        rate=measure_latency.OPEN_RATE,
        seconds=node.place.sizes.open_loop_seconds / 2,
    )
    return quantile(taken, 0.99)
