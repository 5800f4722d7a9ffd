"""Processes of a node killed at random under load; ``XYN_KILLS=10000`` for a night of it."""

import contextlib
import os
import random
import threading
import time
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.crash.ledger import BLUEPRINT, Effects, Ledger, prepare
from tests.neighbours import confinement
from tests.running import PLAIN

pytestmark = [pytest.mark.crash, pytest.mark.slow]

KILLS = int(os.environ.get("XYN_KILLS", "60"))
SEED = int(os.environ.get("XYN_KILL_SEED", "1"))
SECRET = "team/app/crash"
MORE = """\
  - id: program
    kind: action_task
    when: event.data.more
    action: crash.same
    with: {n: "{{ event.data.n }}"}
  - id: keep
    kind: action_task
    when: event.data.more
    action: artifacts.put
    with: {name: kept, text: "kept of {{ steps.program.outputs.n }}"}
"""
"""What every eighth run does besides: each may be done again, and is there once in the end."""
FILES = {
    "blueprints/crash.yaml": BLUEPRINT.replace(
        "method: POST}", f"method: POST, bearer_ref: {SECRET}}}"
    )
    + MORE,
    "packs/crash/pack.yaml": """\
id: crash
name: Crash
version: 0.1.0
xyn_core: ">=0.1"
attachment: external
actions:
  crash.same:
    summary: Give what was given.
    idempotent: true
    input_schema: {type: object, properties: {n: {type: integer}}}
    output_schema: {type: object, properties: {n: {type: integer}}}
    run: {file: actions/same.py}
""",
    "packs/crash/actions/same.py": (
        "import json, sys\nprint(json.dumps({'outputs': json.load(sys.stdin)['inputs']}))\n"
    ),
    "packs/crash/examples/same.yaml": (
        "action: crash.same\nwith: {n: 1}\nexpect: {outputs: {n: 1}}\n"
    ),
}
VICTIMS = ("xyn-node", "xyn-worker", "xyn-web", "postgres")


def test_whoever_is_killed_at_random_nothing_acknowledged_is_lost_or_done_twice(
    ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    node = ledger.node
    confinement()
    node.start()
    node.xynctl("secret", "set", SECRET, stdin="said to nobody else\n")
    prepare(node, tmp_path, effects, FILES)
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
    check_more(ledger)


def check_more(ledger: Ledger) -> None:
    """Compare what runs kept with what they were to: nothing is missing, nothing there twice."""
    node = ledger.node
    numbers = {event_id: number for number, event_id in ledger.acknowledged.items()}
    wanted = {
        run["run_id"]: f"kept of {numbers[run['event_id']]}"
        for run in ledger.runs()
        if run["status"] == "completed" and numbers[run["event_id"]] % 8 == 0
    }
    found = {}
    for run_id in wanted:
        (kept,) = node.get("/artifacts", run_id=run_id, kind="output")["items"]
        found[run_id] = httpx2.get(
            f"{node.url}/api/v1/artifacts/{kept['artifact_id']}/download", **PLAIN
        ).text
    assert found == wanted
    assert wanted
    refused = {each["entry"]["outcome"] for each in node.get("/audit", kind="secret.used")["items"]}
    assert refused == {"granted"}


def _is(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == name
    return False
