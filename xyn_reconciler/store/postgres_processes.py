"""Which processes serve a cluster, and how they are ended.

For :mod:`.embedded_postgres`, after a start that was killed. The trap: a pid
in a file names whatever process has it now, so nothing is signalled that does
not work in the cluster's own folder.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from xyn_reconciler.store.postgres_watcher import STOPS


def _servers_in(cluster: Path) -> Iterator[psutil.Process]:
    """Find the server processes of one cluster: each works in the cluster's folder.

    Orphans of a killed postmaster count too; they would keep a new one out.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == "postgres" and Path(process.cwd()) == cluster:
                yield process


def end_servers_in(cluster: Path) -> bool:
    """End every server process of a cluster; whether there was one."""
    real = cluster.resolve()
    if not real.exists():
        return False
    left = list(_servers_in(real))
    found = bool(left)
    for number, seconds in STOPS:
        if not left:
            break
        postmaster = _postmaster(cluster)
        # Only the postmaster knows how to stop in order; its children follow it.
        for process in [p for p in left if p.pid == postmaster] or left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, left = psutil.wait_procs(left, timeout=seconds)
    return found


def _postmaster(cluster: Path) -> int:
    try:
        return int((cluster / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def identity(process: psutil.Process) -> str:
    """Name a process so that a later one with its pid is told apart."""
    return f"{process.pid} {process.create_time():.2f}"


def is_living(named: str) -> bool:
    try:
        pid = int(named.split(maxsplit=1)[0])
        return identity(psutil.Process(pid)) == named
    except (psutil.NoSuchProcess, ValueError, IndexError):
        return False
