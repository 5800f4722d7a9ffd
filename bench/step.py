"""The work of a measured step, the same in floor, Xyn and peers.

Nothing but the standard library: a peer's worker runs in an environment without
Xyn. A step says by a datagram when it ran, and in which process.
"""

import functools
import json
import os
import socket
import time
from typing import Any, Final

STEPS: Final = 3
"""Of a run, where nothing else is said."""

STAMPS: Final = "BENCH_STAMPS"
"""The variable that tells a worker the path of the socket that stamps go to."""


def light_step(run: str, index: int, count: int) -> dict[str, Any]:
    """Do step ``index`` of ``count``: a little computing, some 150 bytes of output."""
    if index == 0:
        stamp("began", run)
    output = {"run": run, "index": index, "number": _fibonacci(10), "padding": "x" * 80}
    if index == count - 1:
        stamp("ended", run)
    return output


def stamp(kind: str, run: str) -> None:
    """Say that ``run`` ``began`` or ``ended``, now, in this process."""
    _sender().send(json.dumps([kind, run, time.monotonic(), os.getpid()]).encode())


def _fibonacci(n: int) -> int:
    return n if n < 2 else _fibonacci(n - 1) + _fibonacci(n - 2)  # noqa: PLR2004 - its definition


@functools.cache
def _sender() -> socket.socket:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.connect(os.environ[STAMPS])
    return sender
