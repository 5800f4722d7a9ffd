"""Kill the worker that holds a run; time until another one has it."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Final

from bench.desired import EVENT, HOLD_EVENT
from bench.engine_side import RUN_SECONDS
from bench.node import Node
from bench.place import BenchError, Child
from bench.result import Bar, Result
from bench.rounds import turns
from bench.stamps import Stamps

BAR: Final = Bar("<=", 5.0, than=None)
_TRIES: Final = 200


def measure(node: Node, stamps: Stamps) -> Iterator[Result]:
    name = "kill -9 of a worker, to its run going on elsewhere"
    rounds = turns(
        node.place.say,
        name,
        node.place.sizes.takeover_rounds,
        {"xyn": partial(_takeover, node, stamps)},
        seconds=60.0,
    )
    times = [each["xyn"] for each in rounds]
    yield Result(
        name=name,
        value=max(times),
        unit="s",
        bar=BAR,
        conditions={
            "rounds": len(times),
            "value": "the slowest; from SIGKILL of the worker in the middle of a step that may be"
            " repeated, to the end of that step in another worker, which was idle",
            "floor_is": "none: the hand-written engine leaves such a run lying",
            "each_s": ", ".join(f"{each:.1f}" for each in times),
        },
    )


def _takeover(node: Node, stamps: Stamps, run: str) -> float:
    doomed = node.start_worker(holds=True)
    node.emit(HOLD_EVENT, run)
    stamps.wait_began(run, seconds=RUN_SECONDS)
    heir = node.start_worker()
    _wait_until_works(node, stamps, heir, run)
    doomed.kill()
    killed = time.monotonic()
    stamps.wait([run], seconds=RUN_SECONDS)
    heir.stop()
    return stamps.ended[run].moment - killed


def _wait_until_works(node: Node, stamps: Stamps, heir: Child, prefix: str) -> None:
    """Emit events until one of their runs is the heir's."""
    for number in count():
        run = f"{prefix}-probe-{number}"
        node.emit(EVENT, run)
        stamps.wait([run], seconds=RUN_SECONDS)
        if stamps.ended[run].pid == heir.process.pid:
            return
        if number > _TRIES:
            raise BenchError("the second worker never got a run")
        time.sleep(0.05)
