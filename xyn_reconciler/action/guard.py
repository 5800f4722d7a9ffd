"""The process between a worker and a program of a pack: it locks the program in, and ends it.

Run as a program of its own (``python -I -S -c``), with nothing but the standard library: what
has to happen between ``fork`` and ``exec`` cannot happen in a worker with threads. It stays
outside of the walls, as the reaper of everything that the program starts, however it hides
(``setsid``, double ``fork``): when the program ends, or the worker's end of the lifeline
closes, which it also does when the worker is killed, all of it is killed.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import sys
import time
from typing import Any, Final, NoReturn

from xyn_reconciler.action import landlock, seccomp

_SET_PDEATHSIG, _CAPBSET_DROP, _SET_NO_NEW_PRIVS = 1, 24, 38
_SET_CHILD_SUBREAPER, _CAP_AMBIENT, _CAP_AMBIENT_RAISE = 36, 47, 2
_SET_KEEPCAPS: Final = 8
_CAPABILITIES: Final = 64
_READ_SEARCH: Final = 2
"""CAP_DAC_READ_SEARCH: the interpreter may stand below a folder of root's; Landlock says which
of what it could read then it may."""
_CAPABILITY_VERSION: Final = 0x20080522
_UIDS: Final = (61_184, 65_520)
"""Numbers that systemd gives to passing users too: they own no file (systemd, UIDS-GIDS)."""


def main() -> None:
    """Run what the third argument says, and report its end; JSON, as ``confined`` has it."""
    lifeline, report = int(sys.argv[1]), int(sys.argv[2])
    order: dict[str, Any] = json.loads(sys.argv[3])
    for descriptor in (lifeline, report):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's own signature
    _prctl(_SET_CHILD_SUBREAPER, 1)
    program = os.fork()
    if program == 0:
        _become(order, report)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    _wait(program, lifeline)
    status = _end_all(program)
    # Here, so that a worker that is killed leaves no folder; rm gets through however deep it is.
    os.spawnvp(os.P_WAIT, "rm", ["rm", "-rf", "--", order["folder"]])  # noqa: S606 - no shell
    _tell(report, {"status": status})


def _tell(report: int, what: dict[str, Any]) -> None:
    os.write(report, json.dumps(what).encode() + b"\n")


def _wait(program: int, lifeline: int) -> None:
    ends = os.pidfd_open(program)
    waiting = select.poll()
    waiting.register(lifeline, select.POLLIN)
    waiting.register(ends, select.POLLIN)
    waiting.poll()
    os.close(ends)


# ── ending ───────────────────────────────────────────────────────────────────────────────────────


def _end_all(program: int) -> int:
    """Kill all that is left, and give the program's own status, or minus the signal."""
    status = 0
    while True:
        with contextlib.suppress(ChildProcessError):
            while True:
                ended, how = os.waitpid(-1, os.WNOHANG)
                if ended == 0:
                    break
                if ended == program:
                    status = os.waitstatus_to_exitcode(how)
        left = _descendants()
        if not left:
            return status
        # One that is stopped starts nobody, and still counts: a fork bomb runs out of room.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            left |= _descendants()
        time.sleep(0.002)


def _descendants() -> set[int]:
    """Give the processes below this one; also those that have ended and wait to be noticed."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is not loaded here
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                # The name of the program, in brackets, may hold anything.
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found - {os.getpid()}
        found |= more


# ── locking in ───────────────────────────────────────────────────────────────────────────────────


def _become(order: dict[str, Any], report: int) -> NoReturn:
    try:
        guard = os.getppid()
        os.setsid()
        # Python ignores it, and what is ignored stays so over exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - pathlib is not loaded here
            file.write("1000")  # Where memory ends, this goes before the worker.
        before = os.getuid()
        _leave_root(order["work"], order["argv"][0])
        # Another user is forgotten who asked for it, so it comes after.
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(127)
        for name, most in order["limits"].items():
            _limit(getattr(resource, name), most)
        others = _threads_of(before) if os.getuid() == before else 0
        _limit(resource.RLIMIT_NPROC, order["processes"] + others)
        os.chdir(order["work"])
        _prctl(_SET_NO_NEW_PRIVS, 1)
        landlock.restrict(order["read"], order["write"])
        seccomp.install()
        _start(order, report)
    except BaseException as error:  # noqa: BLE001 - nothing of the guard's may run in here
        _tell(report, {"refused": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(127)


def _start(order: dict[str, Any], report: int) -> None:
    try:
        os.execve(order["argv"][0], order["argv"], order["environment"])  # noqa: S606 - no shell is the point
    except OSError as error:
        _tell(report, {"not_started": error.strerror})


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (allowed, allowed))


def _threads_of(user: int) -> int:
    """How many threads a user has; RLIMIT_NPROC counts those that were there before, too."""
    found = 0
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is not loaded here
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/status", "rb") as file:  # noqa: PTH123 - as above
                status = dict(line.split(b":", 1) for line in file if b":" in line)
                if int(status[b"Uid"].split()[0]) == user:
                    found += int(status[b"Threads"])
    return found


def _leave_root(work: str, program: str) -> None:
    """Become a passing user with no capability but to read, if this is root.

    RLIMIT_NPROC counts the processes of a user and does not hold for root. A user that nobody
    else is makes it exact, and takes signals, files and sockets of root's out of reach besides.
    """
    if os.geteuid() != 0:
        return
    kept = 0 if _open_to_all(program) else _capabilities() & (1 << _READ_SEARCH)
    for capability in range(_CAPABILITIES):
        if capability != _READ_SEARCH:
            with contextlib.suppress(OSError):  # This kernel has fewer, or we may not.
                _prctl(_CAPBSET_DROP, capability)
    least, end = _UIDS
    user = least + os.getpid() % (end - least)
    _prctl(_SET_KEEPCAPS, 1)
    with contextlib.suppress(OSError):  # A user namespace may lack the user; the walls stand.
        os.chown(work, user, user)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _keep_capabilities(kept)
    if kept:
        _prctl(_CAP_AMBIENT, _CAP_AMBIENT_RAISE, _READ_SEARCH)


def _open_to_all(program: str) -> bool:
    """Whether any user gets to a file."""
    place = program
    while place != "/":
        place = os.path.dirname(place)  # noqa: PTH120 - pathlib is not loaded here
        if not os.stat(place).st_mode & stat.S_IXOTH:  # noqa: PTH116 - as above
            return False
    return True


def _capabilities() -> int:
    """Those that this process may have, of the first 32."""
    data = (ctypes.c_uint32 * 6)()
    _checked(_libc().capget((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), data), "capget")
    return int(data[1])


def _keep_capabilities(kept: int) -> None:
    """Have these alone: effective, permitted and inheritable."""
    data = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    _checked(_libc().capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), data), "capset")


def _prctl(what: int, *values: int) -> None:
    given = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _checked(_libc().prctl(what, *given), f"prctl {what}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
