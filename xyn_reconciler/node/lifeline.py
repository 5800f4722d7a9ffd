"""End when the parent does, by whatever signal the parent ended.

The supervisor holds the writing end of a pipe, each process the reading end:
the kernel closes the former when the supervisor is gone, also after SIGKILL,
and reading then gives the end of the file. The trap: a process that asks for
its parent's pid instead notices too late, and a reused pid never.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

LIFELINE: Final = "XYN_LIFELINE_FD"
"""Names the descriptor of the pipe's reading end."""

GRACE_SECONDS: Final = 5.0
"""What is under way may still end by itself for so long, as after SIGTERM."""


def watch_lifeline(
    environment: Mapping[str, str] = os.environ, *, leave: Callable[[], None] | None = None
) -> None:
    """Watch the pipe in a thread, and leave when it ends; without one, this process stands alone.

    ``leave`` is by default: SIGTERM to this process, and after
    :data:`GRACE_SECONDS` an end that asks nobody.
    """
    given = environment.get(LIFELINE)
    if given is None:
        return
    descriptor = int(given)
    # Programs that this process starts (git, ssh) live by their own rules.
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's own signature
    threading.Thread(
        target=_watch, args=(descriptor, leave or _leave), name="lifeline", daemon=True
    ).start()


def _watch(descriptor: int, leave: Callable[[], None]) -> None:
    while os.read(descriptor, 1):
        continue
    leave()


def _leave() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
