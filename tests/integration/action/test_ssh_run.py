"""``ssh.run`` against a real sshd on this machine."""

import base64
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.action.conftest import Kept
from tests.running import wait_for
from tests.sshd import Sshd, make_key, sshd
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.ssh_run import SshRun
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

CHECKOUT = Path(__file__).parents[3]


def run(context: ActionContext, server: Sshd, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - the action's inputs
    usual = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "key_ref": "env/KEY",
        "known_hosts": server.known_hosts(),
    }
    given = {name: value for name, value in (usual | inputs).items() if value is not None}
    with_key = replace(context, secret=lambda name: server.key if name == "env/KEY" else None)
    return SshRun().run(given, with_key)


def failure(act: Callable[[], object]) -> StepError:
    with pytest.raises(StepError) as caught:
        act()
    return caught.value


def processes() -> str:
    return subprocess.check_output(["ps", "-eo", "args"], text=True)


def test_a_command_gives_its_streams_apart_and_its_exit_status(
    attempt: ActionContext, server: Sshd
) -> None:
    outputs = run(attempt, server, cmd="echo out; echo err >&2")

    assert outputs == {
        "exit_status": 0,
        "stdout": "out\n",
        "stdout_bytes": 4,
        "stderr": "err\n",
        "stderr_bytes": 4,
    }


def test_the_words_of_argv_meet_no_shell(attempt: ActionContext, server: Sshd) -> None:
    outputs = run(attempt, server, argv=["printf", "%s|", "a b", "$(id)", "'", 7])

    assert outputs["stdout"] == "a b|$(id)|'|7|"


def test_another_exit_status_than_0_is_a_failure_with_what_was_printed(
    attempt: ActionContext, server: Sshd
) -> None:
    error = failure(lambda: run(attempt, server, cmd="echo why >&2; exit 3"))

    assert error.failure_code == "exit_status"
    assert isinstance(error, PermanentError)
    assert error.details is not None
    assert (error.details["exit_status"], error.details["stderr"]) == (3, "why\n")


def test_no_terminal_no_agent_and_no_input(attempt: ActionContext, server: Sshd) -> None:
    script = "tty; cat; echo ${SSH_AUTH_SOCK-none}; echo ${SSH_TTY-none}"

    outputs = run(attempt, server, cmd=script)

    assert outputs["stdout"] == "not a tty\nnone\nnone\n"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_host_may_be_known_by_any_of_its_keys(
    attempt: ActionContext, server: Sshd, kind: str
) -> None:
    assert run(attempt, server, argv=["true"], known_hosts=server.known_hosts(kind))


def test_an_unknown_host_is_refused_with_the_line_to_add(
    attempt: ActionContext, server: Sshd
) -> None:
    error = failure(lambda: run(attempt, server, argv=["true"], known_hosts=""))

    assert error.failure_code == "host_key_unknown"
    assert server.fingerprint() in error.message
    assert error.details is not None
    assert run(attempt, server, argv=["true"], known_hosts=error.details["add"])


def test_a_changed_key_is_refused_with_both_fingerprints(
    attempt: ActionContext, server: Sshd, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    kind, other, *_ = (tmp_path / "other.pub").read_text().split()
    shown = subprocess.check_output(["ssh-keygen", "-l", "-f", tmp_path / "other.pub"], text=True)
    known = f"[127.0.0.1]:{server.port} {kind} {other}"

    error = failure(lambda: run(attempt, server, argv=["true"], known_hosts=known))

    assert error.failure_code == "host_key_changed"
    assert server.fingerprint() in error.message
    assert shown.split()[1] in error.message


def test_a_host_that_is_known_by_a_key_of_another_kind_has_changed(
    attempt: ActionContext, server: Sshd, tmp_path: Path
) -> None:
    make_key(tmp_path / "other", "ecdsa")
    kind, other, *_ = (tmp_path / "other.pub").read_text().split()
    known = f"[127.0.0.1]:{server.port} {kind} {other}"

    error = failure(lambda: run(attempt, server, argv=["true"], known_hosts=known))

    assert error.failure_code == "host_key_changed"
    assert server.fingerprint() in error.message


def test_the_repositorys_known_hosts_count_where_the_step_has_none(
    attempt: ActionContext, server: Sshd
) -> None:
    pinned = replace(attempt, known_hosts=server.known_hosts())
    elsewhere = replace(attempt, known_hosts=server.known_hosts(host="192.0.2.1"))

    outputs = run(pinned, server, argv=["true"], known_hosts=None)
    error = failure(lambda: run(elsewhere, server, argv=["true"], known_hosts=None))

    assert outputs["exit_status"] == 0
    assert error.failure_code == "host_key_unknown"
    assert "known_hosts in the state repository" in error.message


def test_what_it_prints_is_shown_while_it_runs(attempt: ActionContext, server: Sshd) -> None:
    said: list[str] = []
    seen = threading.Event()

    def live(text: str) -> None:
        said.append(text)
        if "first" in "".join(said):
            seen.set()

    shown = replace(attempt, live=live, cancelled=seen.is_set)
    error = failure(lambda: run(shown, server, cmd="echo first; sleep 60; echo second"))

    assert error.failure_code == "cancelled"
    assert "".join(said) == "first\n"


def test_a_revoked_key_is_refused_though_it_is_listed(attempt: ActionContext, server: Sshd) -> None:
    known = f"{server.known_hosts()}@revoked {server.known_hosts()}"

    error = failure(lambda: run(attempt, server, argv=["true"], known_hosts=known))

    assert error.failure_code == "host_key_unknown"


def test_the_wrong_key_is_not_let_in_and_only_it_was_tried(
    attempt: ActionContext, server: Sshd, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    other = (tmp_path / "other").read_text()
    wrong = replace(attempt, secret=lambda _: other)
    inputs = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "argv": ["true"],
        "known_hosts": server.known_hosts(),
        "key_ref": "env/OTHER",
    }
    tries = server.log().count("Failed publickey")

    error = failure(lambda: SshRun().run(inputs, wrong))

    assert error.failure_code == "auth_failed"
    assert isinstance(error, PermanentError)
    assert server.log().count("Failed publickey") <= tries + 1
    assert other.splitlines()[1] not in error.message


@pytest.mark.parametrize(
    ("secret", "code"), [(None, "secret_not_found"), ("no key", "invalid_key")]
)
def test_a_secret_that_is_no_key_is_named_and_not_shown(
    attempt: ActionContext, server: Sshd, secret: str | None, code: str
) -> None:
    context = replace(attempt, secret=lambda _: secret)
    inputs = {"host": "127.0.0.1", "port": server.port, "argv": ["true"], "key_ref": "env/MINE"}

    error = failure(lambda: SshRun().run(inputs, context))

    assert error.failure_code == code
    assert "env/MINE" in error.message
    assert secret is None or secret not in error.message.partition("env/MINE")[0]


def test_a_key_that_is_damaged_is_none(attempt: ActionContext, server: Sshd) -> None:
    first, *middle, last = server.key.strip().splitlines()
    raw = bytearray(base64.b64decode("".join(middle)))
    raw[59] ^= 1  # what paramiko only asserts: how many keys there are
    damaged = "\n".join([first, base64.b64encode(raw).decode(), last])
    inputs = {"host": "127.0.0.1", "port": server.port, "argv": ["true"], "key_ref": "env/KEY"}

    error = failure(lambda: SshRun().run(inputs, replace(attempt, secret=lambda _: damaged)))

    assert error.failure_code == "invalid_key"


def test_the_egress_rule_is_asked(attempt: ActionContext, server: Sshd) -> None:
    error = failure(lambda: run(replace(attempt, egress=()), server, argv=["true"]))

    assert error.failure_code == "egress_denied"
    assert f"127.0.0.1:{server.port}" in error.message


def test_a_host_that_is_not_there_is_worth_another_try(
    attempt: ActionContext, server: Sshd
) -> None:
    error = failure(lambda: run(attempt, server, argv=["true"], port=1))

    assert error.failure_code == "connection"
    assert isinstance(error, TemporaryError)


@pytest.mark.parametrize("how", ["timeout", "cancelled"])
@pytest.mark.parametrize(
    "cmd",
    [
        "sleep {mark}",
        "trap '' TERM; sleep {mark} & while :; do sleep {mark}; done",
        "yes {mark}",
        "bash -c 'set -m; trap \"\" TERM HUP; nohup sleep {mark} >/dev/null 2>&1 & wait'",
    ],
)
def test_neither_timeout_nor_cancel_leaves_a_process_behind(
    attempt: ActionContext, server: Sshd, how: str, cmd: str
) -> None:
    mark = f"{time.time_ns() % 10**9}.25"
    cancelled = threading.Event()
    stopped = replace(attempt, cancelled=cancelled.is_set)
    if how == "timeout":
        began = time.monotonic()
        run(attempt, server, cmd="true")
        # Enough for the command to be begun, however busy this machine is.
        deadline = 2 * time.monotonic() - began + 2
        stopped = replace(stopped, deadline=deadline)
    outcome: list[StepError] = []

    def act() -> None:
        outcome.append(failure(lambda: run(stopped, server, cmd=cmd.format(mark=mark))))

    running = threading.Thread(target=act)
    running.start()
    wait_for(lambda: mark in processes())
    if how == "cancelled":
        cancelled.set()
    running.join()

    assert outcome[0].failure_code == how
    assert isinstance(outcome[0], TemporaryError) == (how == "timeout")
    wait_for(lambda: mark not in processes())


def test_a_connection_that_breaks_ends_the_command_over_there(
    attempt: ActionContext, server: Sshd
) -> None:
    mark = f"{time.time_ns() % 10**9}.75"
    script = (
        "import sys, time, uuid, pathlib\n"
        "from xyn_reconciler.action.context import ActionContext\n"
        "from xyn_reconciler.action.ssh_run import SshRun\n"
        "key = pathlib.Path(sys.argv[1]).read_text()\n"
        "context = ActionContext(run_id=uuid.uuid4(), step_id=uuid.uuid4(), attempt=1,\n"
        "    correlation_id='c', deadline=time.monotonic() + 60, cancelled=lambda: False,\n"
        "    log=print, secret=lambda _: key, egress=('127.0.0.1',))\n"
        "SshRun().run({'host': '127.0.0.1', 'port': int(sys.argv[2]), 'user': sys.argv[3],\n"
        "    'known_hosts': sys.argv[4], 'key_ref': 'env/K', 'cmd': sys.argv[5]}, context)\n"
    )
    key = str(server.folder / "user_key")
    arguments = [key, str(server.port), server.user, server.known_hosts()]
    worker = subprocess.Popen(
        [sys.executable, "-c", script, *arguments, f"/bin/sleep {mark}"], cwd=CHECKOUT
    )
    wait_for(lambda: f"\n/bin/sleep {mark}" in processes())

    worker.kill()
    worker.wait()

    wait_for(lambda: f"\n/bin/sleep {mark}" not in processes())


def test_what_is_left_running_on_purpose_does_not_hold_the_step(
    attempt: ActionContext, server: Sshd
) -> None:
    outputs = run(attempt, server, cmd="sleep 6 & echo started")

    assert outputs["stdout"] == "started\n"
    assert attempt.seconds_left() > 0


def test_much_output_is_cut_in_the_outputs_and_whole_in_an_artifact(
    attempt: ActionContext, server: Sshd
) -> None:
    kept = Kept()

    outputs = run(replace(attempt, artifact=kept), server, cmd="seq 100000; echo short >&2")

    whole = "".join(f"{number}\n" for number in range(1, 100_001))
    assert outputs["stdout"].startswith("1\n2\n3\n")
    assert outputs["stdout"].endswith("\n99999\n100000\n")
    assert "bytes left out" in outputs["stdout"]
    assert outputs["stdout_bytes"] == len(whole)
    assert kept.contents == {outputs["stdout_artifact"]: whole.encode()}
    assert kept.about[outputs["stdout_artifact"]][0] == "stdout.txt"
    assert outputs["stderr"] == "short\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, in which ssh's configuration lies."""
    (tmp_path / ".ssh").mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def configure(home: Path, server: Sshd, more: str = "") -> None:
    (home / ".ssh" / "config").write_text(
        f"Host web-1\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.folder}/user_key\n  ForwardAgent yes\n{more}"
    )
    (home / ".ssh" / "known_hosts").write_text(server.known_hosts())


def test_a_server_that_speaks_no_ssh_is_told_once(
    attempt: ActionContext, caplog: pytest.LogCaptureFixture
) -> None:
    def answer() -> None:
        with listening.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=answer, daemon=True).start()
        port = listening.getsockname()[1]
        error = failure(
            lambda: SshRun().run({"host": "127.0.0.1", "port": port, "argv": ["true"]}, attempt)
        )

    assert isinstance(error, TemporaryError)
    assert error.failure_code == "connection"
    assert not caplog.records


def test_an_alias_of_the_workers_ssh_configuration_says_all_the_rest(
    attempt: ActionContext, server: Sshd, home: Path
) -> None:
    # A key that is not there is passed over, as ssh does.
    configure(home, server, f"  IdentityFile {home}/no-such-key\n")

    outputs = SshRun().run({"host": "web-1", "cmd": "echo hi"}, attempt)

    assert outputs["stdout"] == "hi\n"


def test_a_gateway_is_gone_through_and_the_host_behind_it_has_to_be_allowed_by_name(
    attempt: ActionContext, server: Sshd, home: Path
) -> None:
    behind = (
        f"Host inner\n  HostName localhost\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.folder}/user_key\n  ProxyJump web-1\n"
    )
    configure(home, server, behind)
    with (home / ".ssh" / "known_hosts").open("a") as file:
        file.write(server.known_hosts(host="localhost"))
    inputs = {"host": "inner", "cmd": "echo $SSH_CONNECTION"}

    denied = failure(lambda: SshRun().run(inputs, attempt))
    allowed = replace(attempt, egress=("127.0.0.1", f"localhost:{server.port}"))
    outputs = SshRun().run(inputs, allowed)

    assert denied.failure_code == "egress_denied"
    assert f"localhost:{server.port}" in denied.message
    assert outputs["exit_status"] == 0


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[Sshd]:
    """Another machine, with keys of its own."""
    folder = tmp_path / "inner"
    folder.mkdir()
    with sshd(folder) as found:
        yield found


def through(context: ActionContext, server: Sshd, inner: Sshd, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - the action's inputs
    """Run on the inner machine by way of ``server``; both are known, ``env/GATE`` opens the one."""
    keys = {"env/GATE": server.key, "env/KEY": inner.key}
    usual = {
        "host": "127.0.0.1",
        "port": inner.port,
        "user": inner.user,
        "key_ref": "env/KEY",
        "known_hosts": server.known_hosts() + inner.known_hosts(),
        "cmd": "echo $SSH_CONNECTION",
    }
    return SshRun().run(usual | inputs, replace(context, secret=keys.get))


def test_each_gateway_is_opened_with_its_own_key(
    attempt: ActionContext, server: Sshd, inner: Sshd
) -> None:
    gate = {
        "host": "127.0.0.1", "port": server.port, "user": server.user, "key_ref": "env/GATE",
    }  # fmt: skip

    once = through(attempt, server, inner, gateway=gate)
    twice = through(attempt, server, inner, gateway=[gate, gate])

    assert once["stdout"].split()[-1] == str(inner.port)
    assert twice["stdout"].split()[-1] == str(inner.port)


def test_a_gateway_without_a_key_is_shown_the_steps_own(
    attempt: ActionContext, server: Sshd, inner: Sshd, home: Path
) -> None:
    gateway = f"{server.user}@127.0.0.1:{server.port}"

    error = failure(lambda: through(attempt, server, inner, gateway=gateway))
    outputs = run(attempt, server, gateway=gateway, argv=["true"])

    assert error.failure_code == "auth_failed"
    assert gateway in error.message
    assert outputs["exit_status"] == 0
    assert home.exists()


def test_the_key_of_each_host_on_the_way_is_checked(
    attempt: ActionContext, server: Sshd, inner: Sshd
) -> None:
    gate = {
        "host": "127.0.0.1", "port": server.port, "user": server.user, "key_ref": "env/GATE",
    }  # fmt: skip

    def knowing(known: Sshd) -> StepError:
        lines = known.known_hosts()
        return failure(lambda: through(attempt, server, inner, gateway=gate, known_hosts=lines))

    for known, shown in ((server, inner), (inner, server)):
        error = knowing(known)

        assert error.failure_code == "host_key_unknown"
        assert shown.fingerprint() in error.message


def test_a_host_behind_a_gateway_has_to_be_allowed_too(
    attempt: ActionContext, server: Sshd, inner: Sshd
) -> None:
    gate = {
        "host": "127.0.0.1", "port": server.port, "user": server.user, "key_ref": "env/GATE",
    }  # fmt: skip
    narrow = replace(attempt, egress=(f"127.0.0.1:{server.port}",))

    error = failure(lambda: through(narrow, server, inner, gateway=gate))

    assert error.failure_code == "egress_denied"
    assert f"127.0.0.1:{inner.port}" in error.message


def test_a_proxy_command_is_refused(attempt: ActionContext, server: Sshd, home: Path) -> None:
    configure(home, server, f"Host *\n  ProxyCommand touch {home}/ran\n")

    error = failure(lambda: SshRun().run({"host": "web-1", "argv": ["true"]}, attempt))

    assert error.failure_code == "proxy_command_refused"
    assert not (home / "ran").exists()


@pytest.mark.slow
def test_a_gibibyte_of_output_goes_through_32_mebibytes_of_memory(server: Sshd) -> None:
    script = (
        "import resource, sys, time, uuid, pathlib\n"
        "from xyn_reconciler.action.context import ActionContext\n"
        "from xyn_reconciler.action.ssh_run import SshRun\n"
        "key = pathlib.Path(sys.argv[1]).read_text()\n"
        "def keep(*, content, **_):\n"
        "    while content.read(65536): pass\n"
        "    return uuid.uuid4()\n"
        "context = ActionContext(run_id=uuid.uuid4(), step_id=uuid.uuid4(), attempt=1,\n"
        "    correlation_id='c', deadline=time.monotonic() + 300, cancelled=lambda: False,\n"
        "    log=str, secret=lambda _: key, egress=('127.0.0.1',), artifact=keep, live=len)\n"
        "def used(command):\n"
        "    given = {'host': '127.0.0.1', 'port': int(sys.argv[2]), 'user': sys.argv[3],\n"
        "        'known_hosts': sys.argv[4], 'key_ref': 'env/K', 'cmd': command}\n"
        "    outputs = SshRun().run(given, context)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, outputs['stdout_bytes']\n"
        "before, _ = used('echo')\n"
        "after, length = used('head -c 1073741824 /dev/zero')\n"
        "print(length, after - before)\n"
    )
    key = str(server.folder / "user_key")
    arguments = [key, str(server.port), server.user, server.known_hosts()]

    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )

    length, kibibytes = map(int, done.stdout.split())
    assert length == 1 << 30
    assert kibibytes <= 32 * 1024
