"""One event after another, and events that do not wait for one another.

Xyn's come in over HTTP; the floor's by a statement.
"""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Final

from bench.desired import EVENT, LONG_EVENT, LONG_STEPS
from bench.engine_side import Timed, one_by_one, open_loop, warm
from bench.floor_engine import FloorEngine
from bench.node import Node
from bench.result import Bar, Result, compare, quantile
from bench.rounds import pairs, turns
from bench.stamps import Stamps

SECONDS: Final = 30.0
LONG: Final = f"a flow of {LONG_STEPS} steps"
OPEN_RATE: Final = 50.0
OPEN: Final = f"open loop, {OPEN_RATE:g} events/s"
SECOND_MS: Final = 1000.0

P50_BAR: Final = Bar("<=", 3.0)
P95_BAR: Final = Bar("<=", 15.0, than=None)
OPEN_BAR: Final = Bar("<=", 8.0)
SLOWEST_BAR: Final = Bar("<=", SECOND_MS, than=None)
LONG_BAR: Final = Bar("<=", 3.0)


def measure_latency(node: Node, stamps: Stamps) -> Iterator[Result]:
    """Post an event, wait for its run, again and again; p50 and p95 of both sides."""
    name, sizes = "event to first step", node.place.sizes
    with _engines(node, stamps, "floor_latency") as floor:
        rounds = turns(
            node.place.say,
            name,
            sizes.latency_rounds,
            {
                "floor": lambda prefix: one_by_one(
                    stamps, floor.submit, prefix, sizes.latency_events
                ),
                "xyn": lambda prefix: latencies(node, stamps, prefix),
            },
            seconds=SECONDS,
        )
    conditions = {
        "value": "from the beginning of POST /api/v1/events to the beginning of the first step's"
        " work, one event at a time, an idle worker of one process",
        "floor_is": "the same from the beginning of the statement that commits event and run, to a"
        " worker woken by NOTIFY; no HTTP, no plan",
        "events_per_round": sizes.latency_events,
    }
    for share, bar in ((0.5, P50_BAR), (0.95, P95_BAR)):
        taken = [
            {side: first_step(times, share) for side, times in each.items()} for each in rounds
        ]
        figures = pairs(taken, "floor", "xyn")
        yield compare(f"{name}, p{share * 100:.0f}", "ms", figures, conditions, bar=bar)


def measure_open_loop(node: Node, stamps: Stamps) -> Iterator[Result]:
    """Post 50 events a second, whether the ones before are answered or not."""
    sizes = node.place.sizes
    with _engines(node, stamps, "floor_open") as floor:
        side = partial(open_loop, stamps, rate=OPEN_RATE, seconds=sizes.open_loop_seconds)
        rounds = turns(
            node.place.say,
            OPEN,
            sizes.open_loop_rounds,
            {
                "floor": partial(side, floor.submitter),
                "xyn": partial(side, partial(node.submitter, EVENT)),
            },
            seconds=60.0,
        )
    late = [{side: quantile(times, 0.99) for side, times in each.items()} for each in rounds]
    worst = [{side: max(times) for side, times in each.items()} for each in rounds]
    conditions = {
        "value": "from the moment when the event is due (Poisson arrivals) to the beginning of its"
        " run's first step; eight senders over HTTP, one worker process",
        "floor_is": "the same arrivals, one statement each, the hand-written worker",
        "seconds_per_round": sizes.open_loop_seconds,
    }
    figures = pairs(late, "floor", "xyn")
    yield compare(f"{OPEN}, p99", "ms", figures, conditions, bar=OPEN_BAR)
    yield Result(
        name=f"{OPEN}, the slowest of all",
        value=max(each["xyn"] for each in worst),
        floor=max(each["floor"] for each in worst),
        ratio=statistics.median(each["xyn"] / each["floor"] for each in worst),
        unit="ms",
        bar=SLOWEST_BAR,
        conditions={"rounds": len(worst), **conditions},
    )


def measure_long(node: Node, stamps: Stamps) -> Iterator[Result]:
    """One run of forty steps after another."""
    sizes = node.place.sizes
    with _engines(node, stamps, "floor_long") as floor:
        submit = partial(floor.submit, steps=LONG_STEPS)
        rounds = turns(
            node.place.say,
            LONG,
            sizes.long_rounds,
            {
                "floor": lambda prefix: median_end(
                    one_by_one(stamps, submit, prefix, sizes.long_runs)
                ),
                "xyn": lambda prefix: long_time(node, stamps, prefix),
            },
            seconds=SECONDS,
        )
    conditions = {
        "value": "from the beginning of POST /api/v1/events to the end of the last step's work;"
        " each step is durable before the next begins",
        "floor_is": "the hand-written engine: a commit a step",
        "flows_per_round": sizes.long_runs,
    }
    yield compare(LONG, "ms", pairs(rounds, "floor", "xyn"), conditions, bar=LONG_BAR)


def latencies(node: Node, stamps: Stamps, prefix: str) -> list[Timed]:
    """Of one node, one event at a time; a worker has to be there."""
    count = node.place.sizes.latency_events
    return one_by_one(stamps, lambda run: node.emit(EVENT, run), prefix, count)


def long_time(node: Node, stamps: Stamps, prefix: str) -> float:
    """Milliseconds from event to end of a flow of forty steps; a worker has to be there."""
    count = node.place.sizes.long_runs
    return median_end(one_by_one(stamps, lambda run: node.emit(LONG_EVENT, run), prefix, count))


def first_step(times: Sequence[Timed], share: float) -> float:
    """Milliseconds to the first step, of that share of all."""
    return quantile([each.first for each in times], share)


def median_end(times: Sequence[Timed]) -> float:
    return statistics.median(each.end for each in times)


@contextmanager
def _engines(node: Node, stamps: Stamps, database: str) -> Iterator[FloorEngine]:
    """Have a worker of the floor and one of Xyn, both warm."""
    with closing(FloorEngine(node.place, stamps, database)) as floor:
        workers = [floor.start_worker(), node.start_worker()]
        warm(stamps, floor.submit, database)
        warm(stamps, lambda run: node.emit(EVENT, run), f"{database}-xyn")
        yield floor
        for worker in workers:
            worker.stop()
