"""What one claim has under way: shared by the worker's thread, the heartbeat and the tasks."""

import datetime as dt
import queue
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from xyn_reconciler.run import limits
from xyn_reconciler.run.execute import Outcome, Task
from xyn_reconciler.run.retry import Failure

_LONGEST_WAIT = 3600.0


@dataclass(slots=True)
class Grip:
    """One claim, as the heartbeat sees it."""

    run_id: uuid.UUID
    attempt: int
    done: "queue.SimpleQueue[Outcome | None]" = field(default_factory=queue.SimpleQueue)
    """Outcomes; ``None`` says: look again, something changed."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Tells the actions under way to end."""
    lost: bool = False
    news: tuple[bool, int] | None = None
    """What the heartbeat last heard: a cancel asked for, gates decided."""


class Hand:
    """The tasks that were launched and have not ended; the worker's thread alone touches it.

    An action that does not stop when it is told to, or runs past its deadline,
    is given :data:`limits.CANCEL_GRACE` and then abandoned: its outcome is
    made up here, and the real one ignored.
    """

    def __init__(self, grip: Grip) -> None:
        self.grip = grip
        self._tasks: dict[uuid.UUID, tuple[Task, dt.datetime]] = {}
        self._signalled_at: dt.datetime | None = None

    @property
    def signalled(self) -> bool:
        return self._signalled_at is not None

    def keys(self) -> frozenset[str]:
        return frozenset(task.key for task, _ in self._tasks.values())

    def take(self, task: Task, now: dt.datetime) -> None:
        given_up_at = now + dt.timedelta(seconds=task.timeout) + limits.CANCEL_GRACE
        self._tasks[task.attempt_id] = (task, given_up_at)

    def signal(self, now: dt.datetime) -> None:
        """Tell everything under way to stop, once."""
        if self._signalled_at is None:
            self._signalled_at = now
            self.grip.stop.set()

    def wait(self, now: dt.datetime, until: dt.datetime | None) -> list[Outcome]:
        """Wait for outcomes, for news, or for a moment; the outcomes there are then."""
        moments = [until] if until is not None else []
        moments += [self._given_up_at(when) for _, when in self._tasks.values()]
        seconds = min(((when - now).total_seconds() for when in moments), default=_LONGEST_WAIT)
        began = time.monotonic()
        found = list(self._arrived(min(max(seconds, 0.0), _LONGEST_WAIT)))
        return found or list(self._abandoned(now + dt.timedelta(seconds=time.monotonic() - began)))

    def _arrived(self, timeout: float) -> Iterator[Outcome]:
        try:
            outcome = self.grip.done.get(timeout=timeout)
            while True:
                if outcome is not None and self._drop(outcome.task):
                    yield outcome
                outcome = self.grip.done.get_nowait()
        except queue.Empty:
            return

    def _drop(self, task: Task) -> bool:
        return self._tasks.pop(task.attempt_id, None) is not None

    def _given_up_at(self, own: dt.datetime) -> dt.datetime:
        if self._signalled_at is None:
            return own
        return min(own, self._signalled_at + limits.CANCEL_GRACE)

    def _abandoned(self, now: dt.datetime) -> Iterator[Outcome]:
        for task, when in list(self._tasks.values()):
            if self._given_up_at(when) <= now:
                self._drop(task)
                code = "cancelled" if self.signalled else "timeout"
                message = f"{task.action} did not stop when it was told to, and was abandoned"
                yield Outcome(task, None, Failure(code, message, temporary=code == "timeout"))
