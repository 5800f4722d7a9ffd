"""Say what a benchmark ran on, and never where: no path, no host name."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from xyn_reconciler import __version__


def machine(folder: Path, postgres: str) -> dict[str, Any]:
    """Name the conditions that change the figures; ``folder`` is where everything is written."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "filesystem": filesystem(folder),
        "load_before": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgres": postgres,
        "git": _git(),
        "xyn": __version__,
    }


def filesystem(folder: Path) -> str:
    """Give the type of the file system that holds a folder: ``ext4``, ``tmpfs``."""
    place = str(folder.resolve())
    mounts = [
        each
        for each in psutil.disk_partitions(all=True)
        if place == each.mountpoint or place.startswith(each.mountpoint.rstrip("/") + "/")
    ]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git() -> str:
    said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    return said.removeprefix("git version ").strip()
