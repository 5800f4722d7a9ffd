"""What a program of a pack can do in its confined process, and above all what it cannot."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.neighbours import confinement
from xyn_reconciler.action import confined, landlock, seccomp
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.program_output import MOST_LOG, Ended
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

MEMORY = 256_000_000


@pytest.fixture(autouse=True)
def confined_here() -> None:
    confinement()


def run(code: str, attempt: ActionContext, request: bytes = b"{}") -> Ended:
    files = {"actions/it.py": textwrap.dedent(code)}
    return confined.run("actions/it.py", files, request, attempt, memory=MEMORY)


def printed(code: str, attempt: ActionContext) -> str:
    ended = run(code, attempt)
    assert ended.status == 0, ended.said
    return ended.stdout.decode().strip()


def refused(statement: str, attempt: ActionContext) -> bool:
    """Whether the kernel refuses it: any other end of it is another thing."""
    said = printed(
        f"""
        import os, socket, signal, ctypes, sys, pathlib
        try:
            {statement}
        except OSError as error:
            print("refused", error.errno)
        else:
            print("done")
        """,
        attempt,
    )
    assert said.startswith(("refused", "done"))
    # EPERM, EACCES, and EXDEV, which is Landlock's no to links.
    return said in {"refused 1", "refused 13", "refused 18"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What stands for a node's home, readable for everybody: modes are not what protects it."""
    (tmp_path / "age.key").write_text("AGE-SECRET-KEY-1")
    (tmp_path / ".env").write_text("DATABASE_URL=postgres://")
    (tmp_path / "state.git" / "refs").mkdir(parents=True)
    for place in (tmp_path, *tmp_path.rglob("*"), *list(tmp_path.parents)[:3]):
        with contextlib.suppress(PermissionError):
            place.chmod(0o777)
    return tmp_path


# ── at work ──────────────────────────────────────────────────────────────────────────────────────


def test_a_program_reads_its_request_and_prints_its_answer(attempt: ActionContext) -> None:
    ended = run("import sys; print(sys.stdin.read().upper())", attempt, b'{"a": 1}')

    assert (ended.status, ended.stdout.strip()) == (0, b'{"A": 1}')


def test_a_request_larger_than_a_pipe_gets_through(attempt: ActionContext) -> None:
    ended = run("import sys; print(len(sys.stdin.buffer.read()))", attempt, b"x" * 3_000_000)

    assert ended.stdout.strip() == b"3000000"


def test_a_program_that_reads_nothing_is_no_failure(attempt: ActionContext) -> None:
    assert run("print(1)", attempt, b"x" * 3_000_000).stdout == b"1\n"


def test_what_it_says_on_standard_error_is_logged_line_by_line(attempt: ActionContext) -> None:
    lines: list[str] = []
    run(
        r"import sys; sys.stderr.write('one\ntwo\nthree')",
        replace(attempt, log=lines.append),
    )

    assert lines == ["one", "two", "three"]


def test_a_program_of_another_language_is_run_by_its_first_line(attempt: ActionContext) -> None:
    files = {"actions/it": "#!/bin/sh\nread x; echo got $x; pwd\n"}
    ended = confined.run("actions/it", files, b"this\n", attempt, memory=MEMORY)

    assert ended.stdout.splitlines()[0] == b"got this"


def test_a_file_that_nothing_would_run_is_told_so(attempt: ActionContext) -> None:
    with pytest.raises(PermanentError) as caught:
        confined.run("actions/it", {"actions/it": "echo"}, b"", attempt, memory=MEMORY)

    assert caught.value.failure_code == "not_executable"


def test_it_may_import_what_lies_beside_it_and_write_into_its_own_folder(
    attempt: ActionContext,
) -> None:
    files = {
        "actions/it.py": "import beside, pathlib; pathlib.Path('f').write_text('own');"
        "print(beside.NAME, pathlib.Path('f').read_text())",
        "actions/beside.py": "NAME = 'beside'",
    }
    ended = confined.run("actions/it.py", files, b"", attempt, memory=MEMORY)

    assert ended.stdout == b"beside own\n"


def test_nothing_of_it_stays_on_the_disk_however_deep(attempt: ActionContext) -> None:
    lines: list[str] = []
    with pytest.raises(PermanentError) as caught:
        run(
            """
            import os, sys, time
            print(__file__, file=sys.stderr, flush=True)
            for _ in range(1500):
                os.mkdir("d" * 200); os.chdir("d" * 200)
            open("f", "w").write("x")
            time.sleep(60)
            """,
            replace(attempt, log=lines.append),
        )

    assert caught.value.failure_code == "disk_full"
    assert not Path(lines[0]).parents[1].exists()


# ── walls ────────────────────────────────────────────────────────────────────────────────────────


def test_its_environment_holds_nothing_of_the_workers(
    attempt: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2hunter2")
    names = printed("import os; print(sorted(os.environ))", attempt)

    assert names == "['HOME', 'LANG', 'PATH', 'TMPDIR', 'TZ']"


@pytest.mark.parametrize(
    "name", ["age.key", ".env", "state.git", "state.git/refs"], ids=lambda name: name
)
def test_it_cannot_read_the_home(name: str, home: Path, attempt: ActionContext) -> None:
    act = "os.listdir" if (home / name).is_dir() else "open"

    assert refused(f"{act}({str(home / name)!r})", attempt)


@pytest.mark.parametrize(
    "statement",
    [
        "open(HOME + '/state.git/refs/evil', 'w')",
        "os.truncate(HOME + '/age.key', 0)",
        "os.unlink(HOME + '/age.key')",
        "os.rename(HOME + '/age.key', 'mine')",
        "os.link(HOME + '/age.key', 'mine')",
        "os.chmod(HOME + '/age.key', 0o644)",
        "os.setxattr(HOME + '/age.key', 'user.x', b'1')",
        "os.mkdir(HOME + '/evil')",
        "(os.symlink(HOME + '/age.key', 'mine'), open('mine'))",
        "os.listdir('/')",
        "os.listdir('/etc')",
        "open('/etc/passwd')",
        "os.listdir('/proc')",
        "os.listdir('/tmp')",
        "open('/dev/shm/x', 'w')",
        "open(__file__, 'a')",
        "open(os.path.dirname(__file__) + '/more.py', 'w')",
    ],
)
def test_it_cannot_touch_other_files(statement: str, home: Path, attempt: ActionContext) -> None:
    assert refused(statement.replace("HOME", repr(str(home))), attempt)


@pytest.mark.parametrize(
    "statement",
    [
        "open(f'/proc/{WORKER}/environ')",
        "open(f'/proc/{WORKER}/mem')",
        "os.listdir(f'/proc/{WORKER}/fd')",
        "open(f'/proc/{os.getppid()}/environ')",
        "os.kill(WORKER, 0)",
        "os.kill(WORKER, signal.SIGTERM)",
        "os.kill(os.getppid(), signal.SIGKILL)",
        "__import__('resource').prlimit(WORKER, 7, (0, 0))",
    ],
)
def test_it_can_neither_look_at_the_worker_nor_signal_it(
    statement: str, attempt: ActionContext
) -> None:
    assert refused(statement.replace("WORKER", str(os.getpid())), attempt)


def test_calls_beside_landlock_are_refused(attempt: ActionContext) -> None:
    known = seccomp.machine()
    assert known is not None
    said = printed(
        f"""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        for number in {known.refused}:
            if libc.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 1:
                print(number)
        """,
        attempt,
    )

    assert said == ""


def test_namespaces_are_refused_and_processes_are_not(attempt: ActionContext) -> None:
    known = seccomp.machine()
    assert known is not None
    said = printed(
        f"""
        import ctypes, os, threading
        libc = ctypes.CDLL(None, use_errno=True)
        for flag in (0x00020000, 0x02000000, 0x10000000, 0x20000000, 0x40000000, 0x00000080):
            assert libc.syscall({known.clone}, flag | 17, 0, 0, 0, 0) == -1, hex(flag)
            assert ctypes.get_errno() == 1, hex(flag)
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
        print(os.popen("echo process").read().strip())
        """,
        attempt,
    )

    assert said.split() == ["thread", "process"]


@contextlib.contextmanager
def listening(
    family: socket.AddressFamily, where: str | tuple[str, int]
) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(where)
        server.listen()
        yield server


def test_it_cannot_connect_to_a_socket_of_postgres(home: Path, attempt: ActionContext) -> None:
    path = str(home / ".s.PGSQL.5432")
    with listening(socket.AF_UNIX, path):
        Path(path).chmod(0o777)
        statement = f"socket.socket(socket.AF_UNIX).connect({path!r})"

        assert refused(statement, attempt)


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"])
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
def test_it_has_no_network(family: str, kind: str, attempt: ActionContext) -> None:
    assert refused(f"socket.socket(socket.{family}, socket.{kind})", attempt)


def test_landlock_alone_forbids_tcp_too() -> None:
    """The second wall, looked at without the first."""
    if landlock.abi() < 4:
        pytest.skip("this kernel's Landlock does not know TCP")
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as server:
        code = f"""if True:
            import ctypes, socket, sys
            sys.path.insert(0, {str(Path(landlock.__file__).parents[2])!r})
            from xyn_reconciler.action import landlock
            ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
            landlock.restrict(["/usr", "/lib", "/lib64", sys.base_prefix], [])
            try:
                socket.create_connection(("127.0.0.1", {server.getsockname()[1]}))
            except PermissionError:
                print("refused")
        """
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert done.stdout == b"refused\n"


def test_it_holds_no_descriptor_of_the_workers(attempt: ActionContext, tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - the standard library's own
        held = printed(
            """
            import os
            def is_open(number):
                try:
                    os.fstat(number)
                except OSError:
                    return False
                return True
            print([number for number in range(256) if is_open(number)])
            """,
            attempt,
        )

    assert held == "[0, 1, 2]"


def test_it_gains_nothing_by_a_setuid_program(attempt: ActionContext) -> None:
    said = printed(
        """
        import ctypes, os
        libc = ctypes.CDLL(None)
        print(libc.prctl(39, 0, 0, 0, 0), os.geteuid() == 0)
        """,
        attempt,
    )

    assert said == "1 False"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's programs become somebody else")
def test_roots_programs_are_a_user_that_nobody_else_is(attempt: ActionContext) -> None:
    said = printed("import os; print(os.getuid(), os.getgid(), os.getgroups())", attempt)
    user, group, _ = said.split(" ", 2)

    assert user == group
    assert 61_184 <= int(user) < 65_520
    assert "[0]" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be tried by root only")
def test_the_walls_hold_for_a_worker_that_is_not_root(home: Path) -> None:
    """The same walls, without a change of user: what the program may not, the user may."""
    code = f"""if True:
        import time, uuid
        from xyn_reconciler.action import confined
        from xyn_reconciler.action.context import ActionContext
        context = ActionContext(
            run_id=uuid.uuid4(), step_id=uuid.uuid4(), attempt=1, correlation_id="c",
            deadline=time.monotonic() + 20, cancelled=lambda: False, log=print,
            secret=lambda _: None,
        )
        tried = '''
        import os
        for act in (
            lambda: open({str(home / "age.key")!r}),
            lambda: os.chmod({str(home)!r}, 0),
            lambda: os.kill(os.getppid(), 9),
            lambda: open(f"/proc/{{os.getppid()}}/environ"),
        ):
            try:
                act()
            except PermissionError:
                continue
            raise SystemExit(1)
        print(os.getuid())
        '''
        import textwrap
        files = {{"actions/it.py": textwrap.dedent(tried)}}
        ended = confined.run("actions/it.py", files, b"", context, memory={MEMORY})
        print(ended.status, ended.stdout.decode(), ended.said)
    """
    capability = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    done = subprocess.run(
        [
            *("setpriv", "--reuid", "61000", "--regid", "61000", "--clear-groups", *capability),
            *(sys.executable, "-B", "-c", code),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(confined.__file__).parents[2],
    )

    assert done.stdout.split() == ["0", "61000"], done.stderr


# ── limits ───────────────────────────────────────────────────────────────────────────────────────


def descendants() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def soon(attempt: ActionContext, seconds: float = 1.0) -> ActionContext:
    return replace(attempt, deadline=time.monotonic() + seconds)


def failure(code: str, attempt: ActionContext) -> str:
    before = descendants()
    with pytest.raises(StepError) as caught:
        run(code, attempt)
    assert descendants() <= before
    return caught.value.failure_code


def test_a_fork_bomb_has_a_small_room_and_ends_with_the_attempt(attempt: ActionContext) -> None:
    bomb = """
    import os
    while True:
        try:
            os.fork()
            os.setsid()
        except OSError:
            pass
    """
    assert failure(bomb, soon(attempt)) == "timeout"


def test_processes_are_counted(attempt: ActionContext) -> None:
    made = printed(
        """
        import os, time
        made = 0
        try:
            while made < 1000:
                if os.fork() == 0:
                    time.sleep(60)
                made += 1
        except OSError:
            print(made)
        """,
        attempt,
    )

    assert 8 <= int(made) < confined.PROCESSES + 8


def test_memory_is_bounded(attempt: ActionContext) -> None:
    ended = run("x = bytearray(1_000_000_000)", attempt)

    assert ended.status == 1
    assert "MemoryError" in ended.said


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_without_end_is_not_held_in_memory(stream: str, attempt: ActionContext) -> None:
    lines: list[str] = []
    context = replace(soon(attempt), log=lines.append)
    endless = f"import sys\nwhile True: sys.{stream}.buffer.write(b'x' * 65536)"

    assert failure(endless, context) == ("output_too_large" if stream == "stdout" else "timeout")
    assert sum(map(len, lines)) <= MOST_LOG + 100


def test_a_full_disk_is_not_its_to_make(attempt: ActionContext) -> None:
    files = """
    import time
    for number in range(20_000):
        open(str(number), "w")
    time.sleep(60)
    """
    assert failure(files, attempt) == "disk_full"


def test_time_on_the_processor_is_bounded_as_time_is(attempt: ActionContext) -> None:
    assert failure("while True: pass", soon(attempt)) == "timeout"


def test_a_cancelled_run_ends_it(attempt: ActionContext) -> None:
    cancelled = replace(attempt, cancelled=lambda: True)

    assert failure("import time; time.sleep(60)", cancelled) == "cancelled"


def test_what_it_leaves_in_the_background_does_not_hold_its_answer_back(
    attempt: ActionContext,
) -> None:
    before = descendants()
    ended = run(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        print("answer")
        """,
        attempt,
    )

    assert ended.stdout == b"answer\n"
    assert descendants() <= before


def test_it_ends_with_the_worker_that_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    worker = f"""if True:
        import time, uuid
        from xyn_reconciler.action import confined
        from xyn_reconciler.action.context import ActionContext
        def log(line):
            open({str(told)!r}, "a").write(line + "\\n")
        context = ActionContext(
            run_id=uuid.uuid4(), step_id=uuid.uuid4(), attempt=1, correlation_id="c",
            deadline=time.monotonic() + 60, cancelled=lambda: False, log=log,
            secret=lambda _: None,
        )
        code = "import os, sys, time; os.fork(); os.setsid() if os.getpid() != os.getsid(0) else 0;"
        code += "print(__file__, file=sys.stderr, flush=True); time.sleep(600)"
        confined.run("actions/it.py", {{"actions/it.py": code}}, b"", context, memory={MEMORY})
    """
    with subprocess.Popen(
        [sys.executable, "-B", "-c", worker], cwd=Path(confined.__file__).parents[2]
    ) as process:
        _until(lambda: told.exists() and len(told.read_text().splitlines()) == 2)
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) == 3
        process.send_signal(signal.SIGKILL)
    folder = Path(told.read_text().splitlines()[0]).parents[1]

    _until(lambda: not any(each.is_running() for each in below))
    _until(lambda: not folder.exists())


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_where_it_cannot_be_confined_nothing_is_run(
    attempt: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(PermanentError, match="in: container") as caught:
        run("print(1)", attempt)

    assert caught.value.failure_code == "confinement_unavailable"


def test_a_program_that_cannot_be_started_is_told_with_its_reason(attempt: ActionContext) -> None:
    with pytest.raises(PermanentError, match="No such file") as caught:
        confined.run(
            "actions/it", {"actions/it": "#!/no/such/thing\n"}, b"", attempt, memory=MEMORY
        )

    assert caught.value.failure_code == "not_executable"


def test_a_lost_guard_is_worth_another_try(
    attempt: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "_GUARD", "raise SystemExit(1)")
    with pytest.raises(TemporaryError) as caught:
        run("print(1)", attempt)

    assert caught.value.failure_code == "guard_lost"
