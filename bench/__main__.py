"""``python -m bench [--only NAME ...]``: measure, show, and write the results down.

Some eight minutes on two cores. A part of it (``--only``) is shown and not
written: the page always shows one run on one machine.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bench import (
    measure_backtest,
    measure_events,
    measure_history,
    measure_idle,
    measure_latency,
    measure_push,
    measure_rate,
    measure_reconcile,
    measure_records,
    measure_takeover,
    report,
)
from bench.machine import machine
from bench.node import Node, running_node
from bench.obstacles import OBSTACLES
from bench.peer import open_peers
from bench.place import BenchError, Place, open_place
from bench.plot import plot
from bench.result import Result, Row, explained
from bench.sizes import FULL, TINY
from bench.stamps import Stamps
from bench.terminal import heed_signals, say_since

_ROOT: Final = Path(__file__).parent.parent
PAGE: Final = _ROOT / "docs" / "benchmarks.md"
RESULTS: Final = _ROOT / "bench" / "results.json"

_Measure = Callable[[], Iterator[Result]]

IN_PROCESS: Final = ("reconcile", "records", "backtest")
ON_A_NODE: Final = (
    "idle",
    "push",
    "latency",
    "open-loop",
    "long",
    "rate",
    "transforms",
    "events",
    "takeover",
)
ON_TWO_NODES: Final = ("gates", "history")
NAMES: Final = (*IN_PROCESS, *ON_A_NODE, *ON_TWO_NODES)


def main() -> int:
    arguments = _arguments()
    if arguments.page:
        _write([explained(row, OBSTACLES) for row in json.loads(RESULTS.read_text())], {})
        return 0
    heed_signals()
    say = say_since(time.monotonic())
    try:
        with open_place(say, TINY if arguments.tiny else FULL) as place:
            conditions = machine(place.folder, place.postgres_version)
            bench = _Bench(place, arguments.only or NAMES, arguments.peers)
            bench.measure()
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 1
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    rows = [_row(result, conditions) for result in bench.results]
    print(report.table(rows))
    if not (arguments.only or arguments.tiny):
        _write(rows, bench.unmeasured)
        say(f"written: {PAGE.relative_to(_ROOT)}, {RESULTS.relative_to(_ROOT)}")
    return 1 if bench.unmeasured else 0


class _Bench:
    """Measures one thing after another; what cannot be measured keeps nothing else from it."""

    def __init__(self, place: Place, chosen: Sequence[str], peers: str | None) -> None:
        self._place = place
        self._chosen = chosen
        self._peers = peers
        self.results: list[Result] = []
        self.unmeasured: dict[str, str] = {}

    def measure(self) -> None:
        place = self._place
        # In-process first, while nothing else of the benchmark runs.
        self._take("reconcile", lambda: measure_reconcile.measure(place))
        self._take("records", lambda: measure_records.measure(place))
        self._take("backtest", lambda: measure_backtest.measure(place))
        with Stamps(place.folder / "stamps") as stamps:
            if set(ON_A_NODE) & set(self._chosen):
                with running_node(place, stamps, "seed") as node:
                    self._on_a_node(node, stamps)
            gates, history = (name in self._chosen for name in ON_TWO_NODES)
            if gates or history:
                self._take(
                    "history" if history else "gates",
                    lambda: measure_history.measure(place, stamps, gates=gates, history=history),
                )

    def _on_a_node(self, node: Node, stamps: Stamps) -> None:
        def rate() -> Iterator[Result]:
            peers = open_peers(node.place, stamps, self._peers) if self._peers else []
            return measure_rate.measure_rate(node, stamps, peers)

        # First what is told of a node at rest.
        measures: dict[str, _Measure] = {
            "idle": lambda: measure_idle.measure(node, stamps),
            "push": lambda: measure_push.measure(node),
            "latency": lambda: measure_latency.measure_latency(node, stamps),
            "open-loop": lambda: measure_latency.measure_open_loop(node, stamps),
            "long": lambda: measure_latency.measure_long(node, stamps),
            "rate": rate,
            "transforms": lambda: measure_rate.measure_transforms(node, stamps),
            "events": lambda: measure_events.measure(node),
            "takeover": lambda: measure_takeover.measure(node, stamps),
        }
        for name, measure in measures.items():
            self._take(name, measure)

    def _take(self, name: str, measure: _Measure) -> None:
        if name not in self._chosen:
            return
        try:
            self.results.extend(measure())
        except (BenchError, OSError) as error:
            self._place.say(f"{name} could not be measured: {error}")
            self.unmeasured[name] = str(error).splitlines()[0]
            self._place.stop_workers()


def _row(result: Result, conditions: Row) -> Row:
    row = result.to_json()
    row["conditions"] |= conditions
    return explained(row, OBSTACLES)


def _write(rows: list[Row], unmeasured: dict[str, str]) -> None:
    RESULTS.write_text(report.results(rows), encoding="utf-8")
    PAGE.write_text(report.page(rows, unmeasured), encoding="utf-8")
    (PAGE.parent / report.PLOT).write_text(plot(rows), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Xyn beside its floors."
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"measure this alone and write nothing; may be given again: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--peers",
        metavar="PYTHON",
        help="measure DBOS and Absurd too, with this Python that has them (make bench PEERS=1)",
    )
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="see in a minute that everything can be measured; write nothing",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="write the page anew from bench/results.json, after an edit of bench/obstacles.py",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
