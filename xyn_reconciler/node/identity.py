"""Name a process so that a later one with its pid is told apart.

For what one start notes about its processes and a later one, or another
terminal, reads. The trap: a start time by the clock on the wall changes with
every correction of that clock, so Linux is asked for ticks since boot, and
which boot that was.
"""

from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_STATE, _STARTED = 0, 19
"""Among the fields behind the name (proc_pid_stat(5): the third and the 22nd)."""


def identity(pid: int) -> str | None:
    """Give the name of a living process; ``None`` where there is none of that pid."""
    if not _BOOT.exists():
        return _by_psutil(pid)
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name stands in parentheses and may hold any character.
    fields = text.rpartition(")")[2].split()
    if fields[_STATE] in "ZX":
        return None
    return f"{_BOOT.read_text(encoding='ascii').strip()} {pid} {fields[_STARTED]}"


def pid_of(named: str) -> int:
    """Give the pid in what :func:`identity` gave."""
    return int(named.split()[-2])


def _by_psutil(pid: int) -> str | None:
    import psutil  # noqa: PLC0415 - 50 ms that only systems without /proc need

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{pid} {process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
