"""Durable three-step runs a second: one worker, two, without records, and those of peers.

The trap: rates are compared within a round, so every side is measured in each,
also where only one row is asked for.
"""

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final

from bench.desired import EVENT
from bench.engine_side import crowd_rate, transform_rate, warm
from bench.floor_engine import FloorEngine
from bench.node import Node
from bench.peer import Peer
from bench.result import Bar, Result, compare
from bench.rounds import pairs, turns
from bench.stamps import Stamps
from bench.step import STEPS

SECONDS: Final = 150.0
CORES_FOR_TWO: Final = 4
"""On fewer, two workers and Postgres have no core each, and the bar is not asked."""

ONE_BAR: Final = Bar(">=", 0.5)
TWO_BAR: Final = Bar(">=", 1.3, than="one worker")
RECORDS_BAR: Final = Bar(">=", 0.95, than="without")
TRANSFORM_BAR: Final = Bar(">=", 3.0)
PEER_BARS: Final = {"DBOS": 3.0}

ONE: Final = f"durable {STEPS}-step runs, one worker"
TRANSFORMS: Final = f"transform-only {STEPS}-step runs, one worker"


def measure_rate(node: Node, stamps: Stamps, peers: Sequence[Peer]) -> Iterator[Result]:
    """Let runs pile up without a worker, start one or two, time from first step to last."""
    sizes = node.place.sizes
    with closing(FloorEngine(node.place, stamps, "floor_rate")) as floor:
        floor_rate = partial(_floor_rate, floor, stamps, sizes.rate_runs)
        sides: dict[str, Callable[[str], float]] = {
            "floor": floor_rate,
            "floor, two": partial(floor_rate, workers=2),
            "one": partial(worker_rate, node, stamps),
            "two": partial(worker_rate, node, stamps, workers=2),
            "without": partial(_without_records, node, stamps),
            **{peer.name: partial(peer.rate, stamps, sizes.rate_runs) for peer in peers},
        }
        rates = turns(node.place.say, ONE, sizes.rate_rounds, sides, seconds=SECONDS)
    yield from _rows(rates, sizes.rate_runs, peers)


def measure_transforms(node: Node, stamps: Stamps) -> Iterator[Result]:
    """Runs of three transforms, beside the floor's runs of three durable steps."""
    sizes = node.place.sizes
    with closing(FloorEngine(node.place, stamps, "floor_transform")) as floor:
        worker = node.start_worker()
        warm(stamps, lambda run: node.emit(EVENT, run), "transform")
        rounds = turns(
            node.place.say,
            TRANSFORMS,
            sizes.transform_rounds,
            {
                "floor": partial(_floor_rate, floor, stamps, sizes.rate_runs),
                "xyn": partial(transforms, node),
            },
            seconds=40.0,
        )
        worker.stop()
    conditions = {
        "value": "from the commit of all events to the last run's end, a waiting worker of one"
        " process; consecutive transforms share a commit; records are written to Git meanwhile",
        "floor_is": "the hand-written engine with durable steps: a commit a step, one thread",
        "runs_per_round": f"{sizes.transform_runs}, floor {sizes.rate_runs}",
    }
    figures = pairs(rounds, "floor", "xyn")
    yield compare(TRANSFORMS, "runs/s", figures, conditions, bar=TRANSFORM_BAR)


def transforms(node: Node, prefix: str) -> float:
    """Transform-only runs a second of one node; a worker has to be there."""
    return transform_rate(node, _names(prefix, node.place.sizes.transform_runs))


def worker_rate(node: Node, stamps: Stamps, prefix: str, *, workers: int = 1) -> float:
    """Durable runs a second of one node; no worker may be there."""

    def pile_up(runs: Sequence[str]) -> None:
        node.take_in(EVENT, runs)
        node.wait_recorded()

    node.wait_recorded()
    runs = _names(prefix, node.place.sizes.rate_runs)
    return crowd_rate(stamps, runs, pile_up, [node.start_worker] * workers)


def _without_records(node: Node, stamps: Stamps, prefix: str) -> float:
    runs = _names(prefix, node.place.sizes.rate_runs)
    node.wait_recorded()
    with node.without_records():
        return crowd_rate(stamps, runs, partial(node.take_in, EVENT), [node.start_worker])


def _floor_rate(
    floor: FloorEngine, stamps: Stamps, count: int, prefix: str, *, workers: int = 1
) -> float:
    runs = _names(prefix, count)
    return crowd_rate(stamps, runs, floor.submit_all, [floor.start_worker] * workers)


def _rows(rates: list[dict[str, float]], runs: int, peers: Sequence[Peer]) -> Iterator[Result]:
    conditions: dict[str, Any] = {
        "value": "runs that had piled up, from the first step's beginning to the last one's end;"
        " one worker process; records are written to Git meanwhile",
        "runs_per_round": runs,
    }
    of_peers = {peer.title: statistics.median(each[peer.name] for each in rates) for peer in peers}
    yield compare(
        ONE,
        "runs/s",
        pairs(rates, "floor", "one"),
        conditions
        | {
            "floor_is": "a hand-written engine: FOR UPDATE SKIP LOCKED, a commit a step, one thread"
        },
        bar=ONE_BAR,
        peers=of_peers,
    )
    for peer in peers:
        factor = PEER_BARS.get(peer.name)
        yield compare(
            f"{ONE}, beside {peer.name}",
            "runs/s",
            pairs(rates, peer.name, "one"),
            conditions | {"floor_is": f"{peer.title}: {peer.how}"},
            bar=None if factor is None else Bar(">=", factor, than=peer.name),
        )
    cores = os.cpu_count() or 1
    gained = compare("", "", pairs(rates, "floor", "floor, two"), {}).ratio
    yield compare(
        f"durable {STEPS}-step runs, two workers",
        "runs/s",
        pairs(rates, "one", "two"),
        conditions
        | {
            "value": "the same with two worker processes, counted while both work",
            "floor_is": "the same with one",
            "hand_written_floor": f"two workers do {gained:.2f} x as many as one",
            "bar_is_asked": f"on {CORES_FOR_TWO} cores or more; here are {cores}",
        },
        bar=TWO_BAR if cores >= CORES_FOR_TWO else None,
    )
    yield compare(
        f"durable {STEPS}-step runs, with records",
        "runs/s",
        pairs(rates, "without", "one"),
        conditions | {"floor_is": "the same while no process writes records"},
        bar=RECORDS_BAR,
    )


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]
