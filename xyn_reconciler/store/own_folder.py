"""Folders that are one process's own: what a killed one leaves, another finds and removes.

Each is held by a lock that the kernel lets go of with the process. The trap: whoever looks
must not take away what is being made, so a folder has its name only once it is held.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "xyn-own-"


@contextlib.contextmanager
def own_folder(parent: Path | None = None, prefix: str = PREFIX) -> Iterator[Path]:
    """Make a folder for its owner alone, which is gone in the end; below ``parent``, else /tmp."""
    made = Path(tempfile.mkdtemp(prefix=".xyn-", dir=parent)).resolve()
    folder = made.with_name(f"{prefix}{made.name.removeprefix('.xyn-')}")
    held = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        made.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def sweep(parent: Path | None = None, prefix: str = PREFIX) -> None:
    """Remove those of processes that are gone."""
    for left in Path(parent or tempfile.gettempdir()).glob(f"{prefix}*"):
        # Another user's, or gone by now.
        with contextlib.suppress(OSError):
            _remove(left)


def _remove(left: Path) -> None:
    held = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(held).st_uid == os.geteuid():
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Gets through however deep it is, which Python does not.
            subprocess.run(["rm", "-rf", "--", left], check=False)
    finally:
        os.close(held)
