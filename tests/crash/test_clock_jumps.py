"""The clock of the machine jumps forth and back below a running node (libfaketime)."""

import subprocess
from pathlib import Path

import pytest

from tests.crash.ledger import Effects, Ledger, prepare
from tests.neighbours import neighbour
from tests.running import git, wait_for

pytestmark = [pytest.mark.crash, pytest.mark.slow]

CLOCK = """\
id: bp.test.clock
triggers:
  - schedule: {cron: "* * * * *", missed: last}
plan:
  - {id: look, kind: transform, set: {x: 1}}
"""


SLEEP = """\
import select
import time

time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
"""Python sleeps until a moment of the monotonic clock, which libfaketime 0.9.10 answers EINVAL."""


class Clock:
    """What every process of the node takes for the time: the real one, shifted."""

    def __init__(self, folder: Path) -> None:
        neighbour("faketime", "faketime")
        self._file = folder / "clock"
        self.shift("+0")
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(SLEEP)
        self.environment = {
            "PYTHONPATH": str(folder / "site"),
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # A machine's monotonic clock does not jump: that is what it is for.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def shift(self, offset: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(offset)
        fresh.replace(self._file)


def _library() -> str:
    """The preload library that the program ``faketime`` would use, for programs with threads."""
    shown = subprocess.run(
        ["faketime", "-m", "-f", "+0", "env"], check=True, capture_output=True, text=True
    ).stdout
    (preload,) = [line for line in shown.splitlines() if line.startswith("LD_PRELOAD=")]
    return preload.removeprefix("LD_PRELOAD=").split(":")[-1].strip()


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def test_a_clock_that_jumps_forth_and_back_loses_nothing_and_fires_no_slot_twice(
    clock: Clock, ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    node = ledger.node
    node.environment = clock.environment
    node.start()
    prepare(node, tmp_path, effects)
    clone = tmp_path / "clone"
    (clone / "blueprints" / "clock.yaml").write_text(CLOCK)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Look every minute")
    git(clone, "push", "-q", "origin", "HEAD:main")
    processes = {process.pid for process in node.family()}

    def slots() -> list[str]:
        found = node.get("/events", limit="200", event_name="xyn.schedule.fired")["items"]
        return [str(event["data"]["slot"]) for event in found]

    # Under way while the clock jumps: the ends of its lease, its step and itself are past at once.
    effects.open.clear()
    ledger.send(10)
    wait_for(lambda: effects.seen["0"] == 1)
    clock.shift("+3600")
    for _ in range(5):
        assert ledger.send(10) == 202
    wait_for(slots, node.log)
    effects.open.set()
    ledger.settle()

    for jump in ("-3600", "+7200", "+0"):
        clock.shift(jump)
        for _ in range(5):
            assert ledger.send(10) == 202
        ledger.settle()

    ledger.check(effects)
    assert len(slots()) == len(set(slots()))
    assert node.get("/health")["status"] == "ok"
    # Nobody took a jump of the clock for a death.
    assert processes <= {process.pid for process in node.family()}
