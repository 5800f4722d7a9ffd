"""What ``ssh.run`` refuses, and what it hands to the other side; without any connection."""

import shlex
import subprocess
import time
from typing import Any

import pytest

from tests.attempts import an_attempt
from xyn_reconciler.action.ssh_command import LONGEST, remote_command
from xyn_reconciler.action.ssh_run import SshRun
from xyn_reconciler.model.errors import PermanentError


@pytest.mark.parametrize(
    "inputs",
    [
        {"host": "-oProxyCommand=id", "argv": ["id"]},
        {"host": "", "argv": ["id"]},
        {"host": "a b", "argv": ["id"]},
        {"host": "a;id", "argv": ["id"]},
        {"host": "root@a", "argv": ["id"]},
        {"host": "%h", "argv": ["id"]},
        {"host": "a:22", "argv": ["id"]},
        {"host": "a:22", "port": 22, "argv": ["id"]},
        {"host": "a:b", "argv": ["id"]},
        {"host": "fe80::1%eth0", "argv": ["id"]},
        {"host": "a\nHost *", "argv": ["id"]},
        {"host": "a", "user": "-l", "argv": ["id"]},
        {"host": "a", "user": "a;b", "argv": ["id"]},
        {"host": "a", "user": "", "argv": ["id"]},
        {"host": "a", "gateway": "-oProxyCommand=id", "argv": ["id"]},
        {"host": "a", "gateway": "ada@-b", "argv": ["id"]},
        {"host": "a", "gateway": "-ada@b", "argv": ["id"]},
        {"host": "a", "gateway": "b:99999", "argv": ["id"]},
        {"host": "a", "gateway": "b;id", "argv": ["id"]},
        {"host": "a", "gateway": ["b", "$(id)"], "argv": ["id"]},
        {"host": "a", "gateway": {"host": "-b"}, "argv": ["id"]},
        {"host": "a", "gateway": [{"host": "b", "user": "-l"}], "argv": ["id"]},
        {"host": "a", "argv": ["-c", "id"]},
        {"host": "a", "argv": [""]},
        {"host": "a", "argv": ["id", "\0"]},
        {"host": "a", "cmd": "id\0"},
        {"host": "a", "cmd": "echo \ud800"},
        {"host": "a", "argv": ["echo", "\udcff"]},
        {"host": "a", "cmd": "x" * LONGEST},
        {"host": "a", "argv": ["echo", *["'" * 1000] * 100]},
    ],
)
def test_what_a_tool_could_read_as_something_else_is_refused(inputs: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as caught:
        SshRun().run(inputs, an_attempt())

    assert caught.value.failure_code == "invalid_inputs"


@pytest.mark.parametrize("words", [["a b", "$(id)", "'", '"', "\\", "*", "-n", "; id", "\n"]])
def test_the_words_of_argv_arrive_as_they_are(words: list[str]) -> None:
    line = remote_command({"argv": ["printf", "%s|", *words]}, 5)

    assert printed(line) == "".join(f"{word}|" for word in words)


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_the_exit_status_is_the_commands_own(status: int) -> None:
    line = remote_command({"cmd": f"exit {status}"}, 5)

    with subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE) as process:
        assert process.wait(5) == status


def test_the_end_of_the_connection_ends_the_command_and_what_it_started() -> None:
    mark = f"{time.time_ns() % 10**9}.5"
    line = remote_command({"cmd": f"trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}"}, 60)

    with subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        while mark not in running():
            time.sleep(0.05)
        process.stdin.close()
        process.wait(10)

    assert mark not in running()


@pytest.mark.parametrize("how", ["the connection ends", "its time is over"])
def test_what_left_its_process_group_goes_with_the_session(how: str) -> None:
    mark = f"{time.time_ns() % 10**9}.125"
    quiet = f"bash -c 'set -m; trap \"\" TERM HUP; nohup sleep {mark} >/dev/null 2>&1 & wait'"
    line = remote_command({"cmd": quiet}, 60 if how == "the connection ends" else -1)

    with subprocess.Popen(
        ["sh", "-c", line], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        while mark not in running():
            time.sleep(0.05)
        if how == "the connection ends":
            process.stdin.close()
        process.wait(20)

    assert mark not in running()


def test_the_other_side_ends_the_command_by_itself_when_its_time_is_over() -> None:
    line = remote_command({"cmd": "sleep 60"}, -1)

    with subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE) as process:
        assert process.wait(20) == 124


def printed(line: str) -> str:
    """Run a line as sshd does: the standard input stays open while the connection does."""
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", line], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        return process.stdout.read()


def running() -> str:
    return subprocess.check_output(["ps", "-eo", "args"], text=True)


def test_the_shell_reads_a_command_line_whose_values_are_quoted_by_the_engine() -> None:
    assert SshRun.spec.shell_inputs == {"cmd"}
    line = remote_command({"cmd": f"echo {shlex.quote('a; id')} | tr a b"}, 5)

    assert printed(line) == "b; id\n"
