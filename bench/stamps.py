"""The collecting end of :mod:`bench.step`'s stamps: when each run began and ended, and where.

The clock is ``time.monotonic``, one for all processes of a machine.
"""

import json
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.place import BenchError
from bench.step import STAMPS

_BUFFER_BYTES: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment, and the process that named it."""

    moment: float
    pid: int


class Stamps:
    """When each run's first step began, and its last step was done."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind(str(path))
        self._heard = threading.Condition()
        self.began: dict[str, Stamp] = {}
        self.ended: dict[str, Stamp] = {}
        self._thread = threading.Thread(target=self._listen, name="stamps", daemon=True)
        self.environment = {STAMPS: str(path)}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def wait_began(self, run: str, *, seconds: float) -> None:
        """Wait until a run's first step has begun."""
        with self._heard:
            if not self._heard.wait_for(lambda: run in self.began, seconds):
                raise BenchError(f"the run {run} did not begin within {seconds:.0f} s")

    def wait(self, runs: Sequence[str], *, seconds: float) -> None:
        """Wait until all these runs are at their end."""
        missing = set(runs)

        def over() -> bool:
            missing.difference_update([run for run in missing if run in self.ended])
            return not missing

        with self._heard:
            if not self._heard.wait_for(over, seconds):
                raise BenchError(
                    f"{len(runs) - len(missing)} of {len(runs)} runs ended within {seconds:.0f} s"
                )

    def rate(self, runs: Sequence[str]) -> float:
        """Runs a second, from when every process has begun one, to the last one's end."""
        first: dict[int, float] = {}
        for run in runs:
            stamp = self.began[run]
            first[stamp.pid] = min(stamp.moment, first.get(stamp.pid, stamp.moment))
        ends = [self.ended[run].moment for run in runs]
        # A process that came when most was done measures nothing but its own start.
        since = max(
            (one for one in first.values() if sum(end > one for end in ends) * 2 >= len(ends)),
            default=min(first.values()),
        )
        return sum(end > since for end in ends) / (max(ends) - since)

    def _listen(self) -> None:
        while True:
            try:
                kind, run, moment, pid = json.loads(self._socket.recv(4096))
            except OSError:
                return  # closed: the benchmark is over
            with self._heard:
                (self.began if kind == "began" else self.ended).setdefault(run, Stamp(moment, pid))
                self._heard.notify_all()
