"""Processes of a node killed at random under load; ``XYN_KILLS=10000`` for a night of it."""

import contextlib
import os
import random
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.crash.ledger import Effects, Ledger, prepare

pytestmark = [pytest.mark.crash, pytest.mark.slow]

KILLS = int(os.environ.get("XYN_KILLS", "60"))
SEED = int(os.environ.get("XYN_KILL_SEED", "1"))
VICTIMS = ("xyn-node", "xyn-worker", "xyn-web", "postgres")


def test_whoever_is_killed_at_random_nothing_acknowledged_is_lost_or_done_twice(
    ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    node = ledger.node
    node.start()
    prepare(node, tmp_path, effects)
    chance = random.Random(SEED)
    ended = threading.Event()
    faults: list[BaseException] = []

    def load() -> None:
        try:
            while not ended.is_set():
                ledger.send(0.5)
                time.sleep(0.05)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            faults.append(error)

    sender = threading.Thread(target=load)
    sender.start()
    killed = 0
    while killed < KILLS:
        time.sleep(chance.uniform(0.05, 0.6))
        name = chance.choice(VICTIMS)
        victims = [process for process in node.family() if _is(process, name)]
        for victim in victims[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
                killed += 1
    ended.set()
    sender.join()

    ledger.settle(120)
    assert faults == []
    assert len(ledger.acknowledged) > KILLS / 10
    ledger.check(effects)


def _is(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == name
    return False
