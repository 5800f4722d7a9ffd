"""What is done to an engine to measure it: one run after another, or a crowd of them.

The same for floor, Xyn and peers. They do the same step (:mod:`bench.step`) and
say when by the same datagrams.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final

from bench.desired import TRANSFORM_BLUEPRINT, TRANSFORM_EVENT
from bench.node import Node
from bench.place import Child, wait_for
from bench.stamps import Stamps

RUN_SECONDS: Final = 90.0
PAUSE: Final = 0.02
"""Between two events: each finds a worker that waits."""

SENDERS: Final = 8
"""Of an open loop: enough that one that waits for its answer keeps no other from sending."""

_TRANSFORMS_LEFT: Final = (
    "SELECT count(*) FROM runs"
    " WHERE status IN ('created', 'running', 'waiting') AND blueprint_id = %s"
)

Submit = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds from an event to its run's first step, and to its last one's end."""

    first: float
    end: float


def one_by_one(stamps: Stamps, submit: Submit, prefix: str, count: int) -> list[Timed]:
    """Submit, wait for the end, pause, again and again."""
    found = []
    for number in range(count):
        run = f"{prefix}-{number}"
        time.sleep(PAUSE)
        began = time.monotonic()
        submit(run)
        stamps.wait([run], seconds=RUN_SECONDS)
        found.append(_timed(stamps, run, began))
    return found


def warm(stamps: Stamps, submit: Submit, prefix: str) -> None:
    """Wait until a worker works, and let it do the first few."""
    one_by_one(stamps, submit, f"{prefix}-warm", 5)


def crowd_rate(
    stamps: Stamps,
    runs: Sequence[str],
    pile_up: Callable[[Sequence[str]], object],
    start: Sequence[Callable[[], Child]],
) -> float:
    """Pile runs up with no worker, start workers; runs a second from first step to last."""
    pile_up(runs)
    workers = [each() for each in start]
    try:
        stamps.wait(runs, seconds=RUN_SECONDS)
    finally:
        for worker in workers:
            worker.stop()
    return stamps.rate(runs)


def transform_rate(node: Node, runs: Sequence[str]) -> float:
    """Runs of transforms alone, a second: from the commit of their events to the last one's end.

    A worker waits for them. There is no step that could say when, so rows are looked at.
    """
    with node.database() as connection:

        def over() -> bool:
            row = connection.execute(_TRANSFORMS_LEFT, (TRANSFORM_BLUEPRINT,)).fetchone()
            return row is not None and row[0] == 0

        began = node.take_in(TRANSFORM_EVENT, runs)
        wait_for(over, "the end of all transforms", seconds=RUN_SECONDS)
        return len(runs) / (time.monotonic() - began)


def open_loop(
    stamps: Stamps,
    submitters: Callable[[], AbstractContextManager[Submit]],
    prefix: str,
    *,
    rate: float,
    seconds: float,
) -> list[float]:
    """Submit at moments that do not wait for answers; milliseconds from moment to first step.

    Arrivals are those of a Poisson process, the same for everybody. A sender
    that comes late is late: its event counts from when it was due.
    """
    arrivals = _arrivals(rate, seconds)
    due = {f"{prefix}-{number}": moment for number, moment in enumerate(arrivals)}
    waiting, lock = iter(due.items()), threading.Lock()
    failed: list[Exception] = []
    began = time.monotonic() + 0.1

    def send(submit: Submit) -> None:
        try:
            while True:
                with lock:
                    run, moment = next(waiting, ("", 0.0))
                if not run:
                    return
                time.sleep(max(0.0, began + moment - time.monotonic()))
                submit(run)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            failed.append(error)

    with ExitStack() as stack:
        threads = [
            threading.Thread(target=send, args=(stack.enter_context(submitters()),))
            for _ in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    stamps.wait(list(due), seconds=RUN_SECONDS)
    return [(stamps.began[run].moment - began - moment) * 1000 for run, moment in due.items()]


def _arrivals(rate: float, seconds: float) -> list[float]:
    return list(_until(seconds, random.Random(7), rate))


def _until(seconds: float, dice: random.Random, rate: float) -> Iterator[float]:
    moment = dice.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += dice.expovariate(rate)


def _timed(stamps: Stamps, run: str, began: float) -> Timed:
    first, end = stamps.began[run].moment, stamps.ended[run].moment
    return Timed((first - began) * 1000, (end - began) * 1000)
