"""Run one Postgres program that may not outlive the process that asked for it.

A program of its own, run as ``python -I -S postgres_watcher.py USER COMMAND...``
by :mod:`xyn_reconciler.store.embedded_postgres`: standard library only, so that
it starts at once and nothing of the user's environment can break it.

Standard input is a pipe from the asker. When it ends, the asker is gone, by
whatever signal, and the server is stopped: fast, then immediately, then by
force. ``USER`` is ``-``, or the uid that root becomes inside a user namespace
(Postgres refuses root; to the world outside the process stays root's, so it
reaches a home that no other user may enter). Exits with the program's status;
with ``FORBIDDEN`` where the kernel allows no user namespace.

The trap: Ctrl-C reaches the whole foreground group, so this runs in a session
of its own and stops Postgres only when it is told to.
"""

import contextlib
import ctypes
import os
import select
import signal
import stat
import sys
import time
from pathlib import Path

FORBIDDEN = 77
STOPS = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0))
"""Fast, immediate, by force; seconds that each is given."""

# From the kernel's headers: linux/{sched,prctl,capability,securebits}.h.
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION = 0x20080522
_ENTER_ANY_FOLDER = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_LAST_ID = 0xFFFFFFFE

_NOT_MAPPED, _MAPPED, _MAPPED_WIDE = b"0", b"1", b"2"


def main(user: str, command: list[str]) -> int:
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    child = _spawn(user, command)
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        told_to_stop = 0 in ready and not os.read(0, 1)
        if wake in ready:
            told_to_stop |= signal.SIGTERM in os.read(wake, 64)
        status = _ended(child)
        if status is None and told_to_stop:
            status = _stop(child)
        if status is not None:
            return status


def _spawn(user: str, command: list[str]) -> int:
    parent = os.getpid()
    asked, ask = os.pipe()
    answered, answer = os.pipe()
    child = os.fork()
    if child:
        os.close(ask)
        if os.read(asked, 1):
            wide = not all(_may_enter(Path(place)) for place in (command[0], Path.cwd()))
            os.write(answer, _map_users(child, int(user), wide=wide))
        for descriptor in (asked, answered, answer):
            os.close(descriptor)
        return child
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        if user != "-":
            _become_another(ask, answered)
        # Also closes the home's lock, which the watcher holds and Postgres must not.
        os.closerange(3, 256)
        _end_with(parent)
        os.execv(command[0], command)  # noqa: S606 - a program by its path, no shell
    except PermissionError as error:
        print(f"not allowed: {error}", file=sys.stderr)  # noqa: T201 - the server's log
        os._exit(FORBIDDEN)
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr)  # noqa: T201 - the server's log
    os._exit(1)


def _become_another(ask: int, answered: int) -> None:
    """Enter a user namespace, and have the watcher say who this is there.

    Raises ``PermissionError`` for whatever way the kernel has of refusing
    (seccomp, ``max_user_namespaces=0``, an LSM).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise PermissionError(f"user namespace: {os.strerror(ctypes.get_errno())}")
    os.write(ask, b"?")
    mapped = os.read(answered, 1)
    if mapped == _NOT_MAPPED:
        raise PermissionError("user namespace: the map of users was refused")
    if mapped == _MAPPED_WIDE:
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        sets = (ctypes.c_uint32 * 6)()
        libc.capget(header, sets)
        for capability in _ENTER_ANY_FOLDER:
            sets[2] |= 1 << capability  # may be inherited, or it could not be ambient
        libc.capset(header, sets)
        for capability in _ENTER_ANY_FOLDER:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
        # Otherwise access(2), by which initdb looks for postgres beside it, goes without them.
        libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)


def _map_users(child: int, user: int, *, wide: bool) -> bytes:
    """Call this process's own uid ``user`` inside the child's namespace.

    Only where a folder on the way belongs to somebody else (``sudo`` in a
    private checkout) does everybody keep a name there: the right of root to
    enter any folder holds for owners that have one.
    """
    places = Path(f"/proc/{child}")
    outside, group = os.geteuid(), os.getegid()
    if wide and outside == 0:
        everybody = f"1 1 {user - 1}\n{user} 0 1\n{user + 1} {user + 1} {_LAST_ID - user}\n"
        with contextlib.suppress(OSError):
            (places / "uid_map").write_text(everybody, encoding="ascii")
            (places / "gid_map").write_text(everybody, encoding="ascii")
            return _MAPPED_WIDE
    try:
        (places / "setgroups").write_text("deny", encoding="ascii")
        (places / "uid_map").write_text(f"{user} {outside} 1", encoding="ascii")
        (places / "gid_map").write_text(f"{user} {group} 1", encoding="ascii")
    except OSError:
        return _NOT_MAPPED
    return _MAPPED


def _may_enter(place: Path) -> bool:
    """Whether this uid reaches a place by the permissions alone, without root's rights."""
    for folder in (place if place.is_dir() else place.parent, *place.parents):
        found = folder.stat()
        entry = stat.S_IXUSR if found.st_uid == os.geteuid() else stat.S_IXOTH
        if not found.st_mode & entry:
            return False
    return True


def _end_with(parent: int) -> None:
    """Have the kernel stop the server, fast, when this watcher is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _ended(child: int) -> int | None:
    done, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) & 0xFF if done else None


def _stop(child: int) -> int:
    for number, seconds in STOPS:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status = _ended(child)
            if status is not None:
                return status
            time.sleep(0.01)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
