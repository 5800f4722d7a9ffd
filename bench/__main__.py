"""``python -m bench [--only NAME ...]``: measure, show, and write the results down.

Within five minutes on two cores. A part of it (``--only``) is shown and not
written: the page always shows one run on one machine.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from bench import (
    measure_events,
    measure_push,
    measure_reconcile,
    measure_records,
    measure_runs,
    report,
)
from bench.machine import machine
from bench.node import start_node
from bench.place import BenchError, Place, open_place
from bench.result import Result
from bench.stamps import Stamps

_ROOT: Final = Path(__file__).parent.parent
PAGE: Final = _ROOT / "docs" / "benchmarks.md"
RESULTS: Final = _ROOT / "bench" / "results.json"

ON_A_NODE: Final = ("push", "events", "first_step", "runs")
IN_PROCESS: Final = ("reconcile", "records")

_ENDS: Final = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    arguments = _arguments()
    chosen = arguments.only or [*ON_A_NODE, *IN_PROCESS]
    for number in _ENDS:
        signal.signal(number, _end)
    say = _say_since(time.monotonic())
    try:
        with open_place(say) as place:
            conditions = machine(place.folder, place.postgres_version)
            measured = [
                replace(result, conditions={**result.conditions, **conditions})
                for result in _measure(place, chosen)
            ]
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 1
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(report.table(measured))
    if not arguments.only:
        RESULTS.write_text(
            json.dumps([result.to_json() for result in measured], indent=2) + "\n",
            encoding="utf-8",
        )
        PAGE.write_text(report.page(measured, conditions), encoding="utf-8")
        say(f"written: {PAGE.relative_to(_ROOT)}, {RESULTS.relative_to(_ROOT)}")
    return 0


def _measure(place: Place, chosen: Sequence[str]) -> Iterator[Result]:
    # In-process first, while nothing else of the benchmark runs.
    if "reconcile" in chosen:
        yield from measure_reconcile.measure(place)
    if "records" in chosen:
        yield from measure_records.measure(place)
    if not set(ON_A_NODE) & set(chosen):
        return
    with Stamps(place.folder / "stamps") as stamps:
        node = start_node(place, stamps)
        if "push" in chosen:
            yield from measure_push.measure(node)
        if "first_step" in chosen:
            yield from measure_runs.measure_latency(node, stamps)
        if "runs" in chosen:
            yield from measure_runs.measure_rate(node, stamps)
        if "events" in chosen:
            yield from measure_events.measure(node)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=[*ON_A_NODE, *IN_PROCESS],
        help="measure this alone and write nothing; may be given again",
    )
    return parser.parse_args()


def _say_since(began: float) -> Callable[[str], None]:
    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {what}", file=sys.stderr, flush=True)

    return say


def _end(*_: object) -> NoReturn:
    """End once: a second signal must not break off the tidying up that the first began."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
