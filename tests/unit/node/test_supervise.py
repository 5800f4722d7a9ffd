"""The supervisor and its forks; what they do stands in modules that the tests write."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import clean_environment, wait_for
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.identity import identity, pid_of

SUPERVISE = """
import json, os, sys, time
from pathlib import Path
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.output import Output
from xyn_reconciler.node.supervise import Child, StopSignal, Supervisor

home = Home(Path(sys.argv[1]))
home.create()
secret = open(home.path / "held", "w")
supervisor = Supervisor(
    home, [Child("toy", "toy", ["--home", str(home.path)])],
    output=Output(home.log("all")), say=lambda text: print("say", text, flush=True),
)
stop = StopSignal()
with stop.heard():
    try:
        supervisor.start({**os.environ, "SECRET_FD": str(secret.fileno())})
        print("started", flush=True)
        while True:
            supervisor.look()
            time.sleep(0.02)
    except XynError as error:
        print("gave up:", error.message, flush=True)
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        supervisor.stop(stop.hurry)
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Run a supervisor over one toy process, whose ``main()`` is given."""

    def begin(body: str) -> "subprocess.Popen[str]":
        (tmp_path / "toy.py").write_text(
            "import os, sys, time, signal\ndef main():\n" + textwrap.indent(body, "    ")
        )
        return subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(tmp_path / "home")],
            env=clean_environment(
                PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
            ),
            stdout=subprocess.PIPE,
            text=True,
        )

    return begin


def pids(tmp_path: Path) -> list[int]:
    """The pids that the toy has printed."""
    log = Home(tmp_path / "home").log("all")
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def alive(pid: int) -> bool:
    return identity(pid) is not None


def ended(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> str:
    process.send_signal(number)
    return process.communicate(timeout=20)[0]


def test_a_killed_process_is_started_again_and_the_person_is_told(
    start: Start, tmp_path: Path
) -> None:
    process = start("print(os.getpid(), flush=True)\ntime.sleep(60)")
    (first,) = wait_for(lambda: pids(tmp_path))

    os.kill(first, signal.SIGKILL)
    _, second = wait_for(lambda: pids(tmp_path) if len(pids(tmp_path)) > 1 else None)
    said = ended(process)

    assert "the toy process was ended by SIGKILL and is started again in 0.1 s" in said
    assert not alive(second)


def test_a_process_that_cannot_start_ends_the_node_with_what_it_printed(start: Start) -> None:
    process = start("sys.exit('toy: the cupboard is bare')")

    said, _ = process.communicate(timeout=20)

    assert said.count("the cupboard is bare") == 2  # when it happened, and at the end
    assert "for the second time in a row" in said
    assert "gave up: the toy process cannot start:\ntoy: the cupboard is bare" in said


def test_a_traceback_of_a_process_is_shown(start: Start) -> None:
    said, _ = start("raise LookupError('nothing there')").communicate(timeout=20)

    assert "LookupError: nothing there" in said


def test_the_death_of_the_supervisor_is_felt_in_the_process(start: Start, tmp_path: Path) -> None:
    process = start(
        "from xyn_reconciler.node.lifeline import watch_lifeline\n"
        "watch_lifeline()\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    (child,) = wait_for(lambda: pids(tmp_path))

    process.kill()
    process.communicate(timeout=10)

    assert wait_for(lambda: not alive(child))


def test_a_fork_holds_none_of_the_supervisors_files(start: Start, tmp_path: Path) -> None:
    process = start(
        "target = os.readlink('/proc/self/fd/' + os.environ['SECRET_FD'])\n"
        "print(os.getpid() if target == '/dev/null' else 0, flush=True)\ntime.sleep(60)"
    )

    (child,) = wait_for(lambda: pids(tmp_path))
    ended(process)

    assert child != 0


def test_a_process_that_will_not_end_is_killed_at_the_second_ctrl_c(
    start: Start, tmp_path: Path
) -> None:
    process = start(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    (child,) = wait_for(lambda: pids(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"

    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # the same hand: no haste yet
    assert process.stdout.readline() == "stopping\n"
    time.sleep(1.2)
    assert alive(child)
    said = ended(process, signal.SIGINT)

    assert "the toy process did not end in time and is killed" in said
    assert not alive(child)


def test_what_a_killed_start_left_is_ended_by_the_next_one(start: Start, tmp_path: Path) -> None:
    body = "print(os.getpid(), flush=True)\ntime.sleep(60)"  # it does not watch its lifeline
    process = start(body)
    (left,) = wait_for(lambda: pids(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"  # and noted
    process.kill()
    process.communicate(timeout=10)
    assert alive(left)

    from xyn_reconciler.node.supervise import end_leftovers  # noqa: PLC0415 - beside its use

    names = end_leftovers(Home(tmp_path / "home"))

    assert names == ["toy"]
    assert not alive(left)


def test_a_living_supervisors_processes_are_no_leftovers(start: Start, tmp_path: Path) -> None:
    process = start("print(os.getpid(), flush=True)\ntime.sleep(60)")
    (child,) = wait_for(lambda: pids(tmp_path))

    from xyn_reconciler.node.supervise import end_leftovers  # noqa: PLC0415 - beside its use

    assert end_leftovers(Home(tmp_path / "home")) == []
    assert alive(child)
    ended(process)


def test_an_identity_names_one_living_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    named = identity(child.pid)

    assert named is not None
    assert pid_of(named) == child.pid
    assert identity(child.pid) == named
    assert identity(os.getpid()) != named
    child.communicate(b"\n")
    assert identity(child.pid) is None
