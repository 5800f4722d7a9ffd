"""Threads for steps under way: each is kept for the next step, none is waited for.

Not an executor of the standard library: those join their threads at the
process's end, and a step that hangs must not keep it from ending.
"""

import queue
import threading
from collections.abc import Callable

_KEPT_SECONDS = 10.0


class Crew:
    """As many threads as there is work at a time; safe from any thread."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)

    def begin(self, work: Callable[[], None]) -> None:
        """Have it done at once, by whoever is idle or a new thread."""
        if self._idle.acquire(blocking=False):
            self._work.put(work)
        else:
            threading.Thread(target=self._serve, args=(work,), name="step", daemon=True).start()

    def _serve(self, work: Callable[[], None]) -> None:
        while True:
            work()
            self._idle.release()
            try:
                work = self._work.get(timeout=_KEPT_SECONDS)
            except queue.Empty:
                # Unless somebody has just counted on this thread.
                if self._idle.acquire(blocking=False):
                    return
                work = self._work.get()
