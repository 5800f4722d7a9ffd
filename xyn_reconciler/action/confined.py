"""Run a program of a pack in a process that can compute and nothing else.

It has an own folder with the pack's ``actions/`` (read-only) and a place to write, the
system's libraries, a clean environment, limits, and standard input, output and error: no
other file, no network, no signal to anybody, no look at other processes. Linux holds it to
that (:mod:`~xyn_reconciler.action.guard`); where the kernel cannot, nothing is run. What was
printed is bounded here, whatever comes, and the end of the attempt ends all that was started.
"""

import contextlib
import errno
import json
import os
import platform
import selectors
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import xyn_reconciler
from xyn_reconciler.action import landlock, seccomp
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.program_output import Ended, Printed
from xyn_reconciler.action.watch import SLICE_SECONDS, go_on
from xyn_reconciler.model.errors import PermanentError, TemporaryError
from xyn_reconciler.store.own_folder import own_folder

MOST_DISK: Final = 256_000_000
"""Bytes below its own folder, in at most ``MOST_FILES`` files."""
MOST_FILES: Final = 10_000
PROCESSES: Final = 32
"""Processes and threads at a time."""
_OPEN_FILES: Final = 256
_LEAVING_SECONDS: Final = 5.0
"""What the guard may take to end everything; then it is ended itself."""

_GUARD: Final = """
import sys
sys.path.append(sys.argv.pop())
from xyn_reconciler.action.guard import main
main()
"""
_SYSTEM: Final = (
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
)


def unavailable() -> str | None:
    """Say why no program can be confined on this machine; ``None`` where it can."""
    if landlock.abi() < landlock.LEAST_ABI:
        here = f"{platform.system()} {platform.release()}"
        return f"it takes Linux 6.2 or later with Landlock, and this is {here}"
    if seccomp.machine() is None:
        return f"the system calls of {platform.machine()} are not known"
    return None


def run(
    file: str,
    files: Mapping[str, str],
    request: bytes,
    context: ActionContext,
    *,
    memory: int,
) -> Ended:
    """Run ``file``, one of ``files`` (path -> text), with ``request`` as its standard input.

    ``memory`` is bytes, for each of its processes. Codes: ``confinement_unavailable``,
    ``not_executable``, ``output_too_large``, ``disk_full``, ``guard_lost``, ``timeout``,
    ``cancelled``.
    """
    why = unavailable()
    if why is not None:
        raise PermanentError(
            "confinement_unavailable",
            f"a program of a pack cannot be confined here: {why}; let it run `in: container`",
        )
    with _folder(files) as folder:
        work = folder / "work"
        argv = _command(file, files, folder)
        order = {
            "argv": argv,
            "environment": _environment(work),
            "folder": str(folder),
            "work": str(work),
            "read": [*_SYSTEM, *(_interpreter() if argv[0] == _python() else ()), str(folder)],
            "write": [str(work), "/dev/null"],
            "limits": _limits(memory, context.seconds_left()),
            "processes": PROCESSES,
        }
        return _Program(order, work, context).run(request)


# ── what it is given ─────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _folder(files: Mapping[str, str]) -> Iterator[Path]:
    with own_folder() as folder:
        # The user that it becomes, where the worker is root, has to get through.
        folder.chmod(0o711)
        (folder / "work").mkdir(mode=0o700)
        for name, text in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            place.chmod(0o555)
        yield folder


def _command(file: str, files: Mapping[str, str], folder: Path) -> list[str]:
    """The node's own Python for ``.py``, else what the file's first line asks for."""
    place = str(folder / file)
    if file.endswith(".py"):
        # Not its packages: an action that needs some runs in a container.
        return [_python(), "-E", "-s", "-S", "-B", place]
    if not files[file].startswith("#!"):
        message = f"{file} is no .py file and does not begin with #!: what would run it?"
        raise PermanentError("not_executable", message)
    return [place]


def _python() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def _interpreter() -> list[str]:
    """Where the node's Python keeps itself; a venv's packages are not among it."""
    libraries = Path(sys.base_prefix) / "lib"
    return [
        _python(),
        sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}),
        sysconfig.get_path("platstdlib", vars={"platbase": sys.base_prefix}),
        *map(str, libraries.glob("libpython*")),
    ]


def _environment(work: Path) -> dict[str, str]:
    return {
        "HOME": str(work),
        "TMPDIR": str(work),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def _limits(memory: int, seconds: float) -> dict[str, int]:
    return {
        "RLIMIT_AS": memory,
        "RLIMIT_CPU": max(int(seconds), 0) + 1,
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_FSIZE": MOST_DISK,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
    }


# ── the program at work ──────────────────────────────────────────────────────────────────────────


class _Program:
    def __init__(self, order: Mapping[str, Any], work: Path, context: ActionContext) -> None:
        self._order = order
        self._work = work
        self._context = context
        self._printed = Printed(context)
        self._report = bytearray()

    def run(self, request: bytes) -> Ended:
        lifeline, ours = os.pipe()
        reports, theirs = os.pipe()
        with _closed(ours) as let_go, os.fdopen(reports, "rb", 0) as report:
            try:
                guard = subprocess.Popen(
                    [
                        sys.executable,
                        *("-I", "-S", "-B", "-c", _GUARD),
                        *(str(lifeline), str(theirs), json.dumps(self._order)),
                        str(Path(xyn_reconciler.__file__).parents[1]),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(lifeline, theirs),
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
            finally:
                os.close(lifeline)
                os.close(theirs)
            with guard:
                try:
                    self._attend(guard, report, request)
                finally:
                    let_go()
                    _leave(guard)
        return self._printed.ended(self._status())

    def _attend(self, guard: "subprocess.Popen[bytes]", report: Any, request: bytes) -> None:  # noqa: ANN401 - a raw file
        """Feed it and take in what it prints, until all of it is gone; raises where time is up."""
        stdin, stdout, stderr = _streams(guard)
        waiting = selectors.DefaultSelector()
        left = memoryview(request)
        takes: dict[Any, Callable[[bytes], None]] = {
            stdout: self._printed.answer,
            stderr: self._printed.say,
            report: self._report.extend,
        }
        with waiting:
            for stream in takes:
                waiting.register(stream, selectors.EVENT_READ)
            os.set_blocking(stdin.fileno(), False)
            waiting.register(stdin, selectors.EVENT_WRITE)
            looked = time.monotonic()
            while takes:
                go_on(self._context)
                if time.monotonic() - looked > SLICE_SECONDS:
                    _bounded(self._work)
                    looked = time.monotonic()
                for key, _ in waiting.select(SLICE_SECONDS):
                    if key.fileobj is stdin:
                        left = _fed(stdin.fileno(), left)
                        if not left:
                            waiting.unregister(stdin)
                            stdin.close()
                        continue
                    chunk = os.read(key.fd, 65_536)
                    takes[key.fileobj](chunk)
                    if not chunk:
                        waiting.unregister(key.fileobj)
                        del takes[key.fileobj]

    def _status(self) -> int:
        try:
            report = json.loads(self._report.splitlines()[0])
        except (ValueError, IndexError):
            # Nobody but root, or the kernel short of memory, ends a guard.
            raise TemporaryError("guard_lost", "the process that guards it was ended") from None
        if "not_started" in report:
            message = f"{Path(self._order['argv'][-1]).name} cannot be run: {report['not_started']}"
            raise PermanentError("not_executable", message)
        if "refused" in report:
            message = f"the program could not be confined: {report['refused']}"
            raise PermanentError("confinement_unavailable", message)
        return int(report["status"])


def _streams(guard: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert guard.stdin is not None  # noqa: S101 - for the type checker
    assert guard.stdout is not None  # noqa: S101 - as above
    assert guard.stderr is not None  # noqa: S101 - as above
    return guard.stdin, guard.stdout, guard.stderr


def _fed(descriptor: int, left: memoryview) -> memoryview:
    try:
        return left[os.write(descriptor, left) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]  # It ended, or it does not care what it was asked.


def _bounded(work: Path) -> None:
    """Raise where the program fills the disk; each look costs at most some ``MOST_FILES``."""
    size = count = 0
    try:
        for folder, folders, names in os.walk(work, onerror=_too_deep):
            for name in names:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - ten thousand times
            count += len(names) + len(folders)
            if size > MOST_DISK or count > MOST_FILES:
                raise RecursionError  # noqa: TRY301 - too wide, as another is too deep
    except RecursionError:
        message = f"the program wrote more than {MOST_DISK:,} bytes or {MOST_FILES:,} files"
        raise PermanentError("disk_full", message) from None


def _too_deep(error: OSError) -> None:
    if error.errno == errno.ENAMETOOLONG:
        raise RecursionError from error


@contextlib.contextmanager
def _closed(descriptor: int) -> Iterator[Callable[[], None]]:
    """Give what closes a descriptor, which also happens at the end."""
    held = [descriptor]

    def close() -> None:
        while held:
            os.close(held.pop())

    try:
        yield close
    finally:
        close()


def _leave(guard: "subprocess.Popen[bytes]") -> None:
    """Wait until the guard has ended everything."""
    for stream in _streams(guard):
        with contextlib.suppress(OSError):  # What it did not read is nobody's.
            stream.close()
    try:
        guard.wait(_LEAVING_SECONDS)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()
