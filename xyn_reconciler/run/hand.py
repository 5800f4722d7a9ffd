"""What one claim has under way: shared by the worker's thread, the heartbeat and the tasks."""

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from xyn_reconciler.run import limits
from xyn_reconciler.run.execute import Outcome, Task
from xyn_reconciler.run.retry import Failure

Word: TypeAlias = tuple["Grip", "Outcome | None"]
"""Something for the worker's thread: an outcome, or ``None``: look again, something changed."""


@dataclass(slots=True, eq=False)
class Grip:
    """One claim, as the heartbeat and the tasks see it."""

    run_id: uuid.UUID
    attempt: int
    tell: "Callable[[Word], None]"
    """Hands a word to the worker's thread; safe from any thread."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Tells the actions under way to end."""
    lost: bool = False
    news: tuple[bool, int] | None = None
    """What the heartbeat last heard: a cancel asked for, gates decided."""

    def done(self, outcome: Outcome) -> None:
        """Bring the outcome of a task home."""
        self.tell((self, outcome))

    def look_again(self) -> None:
        self.tell((self, None))

    def lose(self) -> None:
        """The claim is another's now, or will be."""
        self.lost = True
        self.stop.set()
        self.look_again()


class Hand:
    """The tasks that were launched and have not ended; the worker's thread alone touches it.

    An action that does not stop when it is told to, or runs past its deadline,
    is given :data:`limits.CANCEL_GRACE` and then abandoned: its outcome is
    made up here, and the real one ignored. All of that goes by the monotonic
    clock, as the action's own deadline does: the time of day may leap.
    """

    def __init__(self, grip: Grip) -> None:
        self.grip = grip
        self._tasks: dict[uuid.UUID, tuple[Task, float]] = {}
        self._signalled_at: float | None = None

    @property
    def signalled(self) -> bool:
        return self._signalled_at is not None

    def without(self, outcomes: Iterable[Outcome]) -> list[Task]:
        """The tasks under way when these have come in."""
        ended = {outcome.task.attempt_id for outcome in outcomes}
        return [task for task, _ in self._tasks.values() if task.attempt_id not in ended]

    def take(self, task: Task) -> None:
        given_up_at = time.monotonic() + task.timeout + limits.CANCEL_GRACE.total_seconds()
        self._tasks[task.attempt_id] = (task, given_up_at)

    def signal(self) -> None:
        """Tell everything under way to stop, once."""
        if self._signalled_at is None:
            self._signalled_at = time.monotonic()
            self.grip.stop.set()

    def has(self, outcome: Outcome) -> bool:
        """Whether an outcome is awaited; one of a task that was abandoned is not."""
        return outcome.task.attempt_id in self._tasks

    def drop(self, outcome: Outcome) -> None:
        """Forget a task whose outcome is taken in."""
        self._tasks.pop(outcome.task.attempt_id, None)

    def patience(self) -> float:
        """Seconds until the next task is to be given up; not above 0 if one is."""
        if not self._tasks:
            return math.inf
        return min(self._given_up_at(own) for _, own in self._tasks.values()) - time.monotonic()

    def abandoned(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Make up the outcomes of tasks that took too long and are not among those."""
        now = time.monotonic()
        code = "cancelled" if self.signalled else "timeout"
        return [
            Outcome(
                task,
                None,
                Failure(
                    code,
                    f"{task.action} did not stop when it was told to, and was abandoned",
                    temporary=code == "timeout",
                ),
            )
            for task in self.without(outcomes)
            if self._given_up_at(self._tasks[task.attempt_id][1]) <= now
        ]

    def _given_up_at(self, own: float) -> float:
        if self._signalled_at is None:
            return own
        return min(own, self._signalled_at + limits.CANCEL_GRACE.total_seconds())
