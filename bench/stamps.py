"""When steps ran: each says so by a datagram, which costs the same in floor and Xyn.

The clock is ``time.monotonic``, one for all processes of a machine.
"""

import functools
import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bench.place import BenchError

STAMPS: Final = "BENCH_STAMPS"
"""The variable that tells a worker the socket's path."""

_BUFFER_BYTES: Final = 4 * 2**20


class Stamps:
    """The collecting end: when each run's first step began, and its last step was done."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind(str(path))
        self._heard = threading.Condition()
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
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

    def wait(self, runs: Sequence[str], *, seconds: float) -> None:
        """Wait until all these runs are at their end."""
        with self._heard:
            if not self._heard.wait_for(lambda: self.ended.keys() >= set(runs), seconds):
                done = sum(run in self.ended for run in runs)
                raise BenchError(f"{done} of {len(runs)} runs ended within {seconds:.0f} s")

    def _listen(self) -> None:
        while True:
            try:
                kind, run, moment = json.loads(self._socket.recv(4096))
            except OSError:
                return  # closed: the benchmark is over
            with self._heard:
                (self.began if kind == "began" else self.ended).setdefault(run, moment)
                self._heard.notify_all()


def light_step(run: str, index: int, count: int) -> dict[str, Any]:
    """Do step ``index`` of ``count``: a little computing, some 150 bytes of output."""
    if index == 0:
        _stamp("began", run)
    output = {"run": run, "index": index, "number": _fibonacci(10), "padding": "x" * 80}
    if index == count - 1:
        _stamp("ended", run)
    return output


def _fibonacci(n: int) -> int:
    return n if n < 2 else _fibonacci(n - 1) + _fibonacci(n - 2)  # noqa: PLR2004 - its definition


def _stamp(kind: str, run: str) -> None:
    _sender().send(json.dumps([kind, run, time.monotonic()]).encode())


@functools.cache
def _sender() -> socket.socket:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.connect(os.environ[STAMPS])
    return sender
