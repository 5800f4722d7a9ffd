"""Threads for steps under way: each is kept for the next step, none is waited for.

Not an executor of the standard library: those join their threads at the
process's end, and a step that hangs must not keep it from ending.

A thread is called when there is work and none is on its way already, and it
calls the next one before it begins: steps that take their time are all under
way at once, and a crowd of quick ones is done by a few threads without fifty of
them waking up for one step each.
"""

import threading
from collections import deque
from collections.abc import Callable

_KEPT_SECONDS = 10.0


class Crew:
    """As many threads as there is work at a time; safe from any thread."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._called = threading.Condition(self._lock)
        self._idle = 0
        self._coming = False
        """Whether a thread was called and has not come yet."""

    def begin(self, work: Callable[[], None]) -> None:
        """Have it done at once, by whoever is idle or a new thread."""
        with self._lock:
            self._work.append(work)
            self._call()

    def _call(self) -> None:
        if self._coming or not self._work:
            return
        self._coming = True
        if self._idle:
            self._called.notify()
        else:
            threading.Thread(target=self._serve, name="step", daemon=True).start()

    def _serve(self) -> None:
        came = True
        while True:
            with self._lock:
                if came:
                    self._coming = False
                elif not self._work:
                    came = self._wait()
                    if not came:
                        return
                    self._coming = False
                work = self._work.popleft() if self._work else None
                self._call()
            if work is not None:
                work()
            came = False

    def _wait(self) -> bool:
        """Be idle until called; ``False`` after a while without a call."""
        self._idle += 1
        self._called.wait(_KEPT_SECONDS)
        self._idle -= 1
        return self._coming
