"""What a node's processes print: one file of bounded size, or where ``xynctl up`` prints.

The processes write JSON lines (seed 32.1) and, when they cannot start, plain
text. The supervisor reads the end of it to tell a person why one died.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LIMIT: Final = 8 * 1024 * 1024
"""Bytes of one log file; at that size it becomes ``.1``, and the ``.1`` before it goes."""

_TAIL_BYTES: Final = 64 * 1024
_TAIL_LINES: Final = 15
_TELLING: Final = frozenset({"warning", "error", "critical"})


class Output:
    """``file`` takes what is printed; without one, it goes to this process's standard output."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @contextlib.contextmanager
    def open(self) -> Iterator[tuple[int, int]]:
        """Give a descriptor to print to, and how much was printed before."""
        if self._file is None:
            yield 1, 0
            return
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            yield descriptor, os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def since(self, offset: int) -> str:
        """Give the end of what was printed after ``offset``, as a person wants it."""
        if self._file is None:
            return ""
        with self._file.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # It was cut short meanwhile where there is less than before.
            file.seek(max(offset if offset <= size else 0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        told = [text for line in lines if (text := _told(line))]
        return "\n".join(told[-_TAIL_LINES:])

    def keep_short(self) -> None:
        """Set what is over the limit aside.

        The processes go on appending to the same file, so it is copied and cut
        instead of renamed; a line printed between the two is lost.
        """
        if self._file is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if self._file.stat().st_size > LIMIT:
                shutil.copy(self._file, self._file.with_name(f"{self._file.name}.1"))
                os.truncate(self._file, 0)


def _told(line: str) -> str:
    """What a line of the log says about trouble: empty where it is about something else."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or entry.get("level") not in _TELLING:
        return ""
    return "\n".join(filter(None, [str(entry.get("message", "")), entry.get("exception")]))
