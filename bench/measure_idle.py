"""What a worker costs while there is nothing to do."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import psutil

from bench.engine_side import transform_rate, warm
from bench.floor_engine import FloorEngine
from bench.node import Node
from bench.place import Child
from bench.result import Bar, Result
from bench.stamps import Stamps

MEMORY_BAR: Final = Bar("<=", 80.0, than=None)
CPU_BAR: Final = Bar("<=", 0.5, than=None)
SETTLE_SECONDS: Final = 4.0
WORK: Final = 20


def measure(node: Node, stamps: Stamps) -> Iterator[Result]:
    """Give a row for memory and one for CPU; nothing else happens on the node meanwhile."""
    seconds = node.place.sizes.idle_seconds
    node.wait_recorded()
    with closing(FloorEngine(node.place, stamps, "floor_idle")) as floor:
        children = [floor.start_worker(), node.start_plain_worker()]
        # Both have worked before: what the first run brings in stays in memory.
        warm(stamps, floor.submit, "floor_idle")
        transform_rate(node, [f"idle-{number}" for number in range(WORK)])
        node.place.say(f"an idle worker: {SETTLE_SECONDS + seconds:.0f} s")
        time.sleep(SETTLE_SECONDS)
        before = [_cpu_seconds(child) for child in children]
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        used = [
            (_cpu_seconds(child) - one) / took * 100
            for child, one in zip(children, before, strict=True)
        ]
        shared = psutil.Process(children[1].process.pid).memory_full_info()
        held = [psutil.Process(child.process.pid).memory_info().rss / 2**20 for child in children]
        for child in children:
            child.check()
            child.stop()
    conditions = {
        "floor_is": "the hand-written worker, which waits for NOTIFY",
        "seconds": seconds,
        "settled_for_s": SETTLE_SECONDS,
        "before": f"it has done {WORK} runs",
    }
    yield Result(
        name="an idle worker, memory",
        value=held[1],
        unit="MiB",
        floor=held[0],
        ratio=held[1] / held[0],
        bar=MEMORY_BAR,
        conditions={
            "value": "resident set of the worker process, shared pages and all",
            "its_own_mib": f"{shared.uss / 2**20:.0f}, with its share of what others map too"
            f" {shared.pss / 2**20:.0f}",
            **conditions,
        },
    )
    yield Result(
        name="an idle worker, CPU",
        value=used[1],
        unit="%",
        floor=used[0],
        ratio=used[1] / used[0] if used[0] else None,
        bar=CPU_BAR,
        conditions={"value": "user and system time of the worker process, of one core"}
        | conditions,
    )


def _cpu_seconds(child: Child) -> float:
    times = psutil.Process(child.process.pid).cpu_times()
    return times.user + times.system
