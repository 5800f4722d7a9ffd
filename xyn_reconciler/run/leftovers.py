"""End what a killed worker left outside of its process: containers, folders, what steps said last.

What it ran on other machines ends with its connections, and a request with its
socket; a container does not know that anybody is gone. The trap: a container
is not left as long as any worker has its run, and one that this very process
began is ended by the thread that began it.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from xyn_reconciler.action.container_exec import ContainerExec
from xyn_reconciler.model.errors import StepError, UnavailableError
from xyn_reconciler.store import live_log, runs
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.own_folder import sweep

Ask: TypeAlias = Callable[[Collection[uuid.UUID]], Collection[uuid.UUID]]
"""Which of these runs nobody advances any more."""

_ACTION: Final = ContainerExec.spec.name

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Leftovers:
    """What is left of runs that this worker has, or nobody; safe from any thread."""

    database: Database
    worker: str
    remove: Callable[[Ask], int]
    """Asks the container engine (``action.container_engine.remove_leftovers``)."""
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def __call__(self) -> None:
        """Remove it; no container engine, or one that fails, harms nobody."""
        with self._one_at_a_time:
            if not self._closed:
                self._look()

    def close(self) -> None:
        """Wait for a look that is under way; none begins after that, so the database may go."""
        with self._one_at_a_time:
            self._closed = True

    def _look(self) -> None:
        sweep()
        try:
            with self.database.begin() as connection:
                live_log.sweep(connection)
                # Asking an engine takes a library of 20 MB: only where containers are used, by a
                # step itself or by an action of a pack.
                used = any(runs.uses(connection, name) for name in (_ACTION, "container"))
            removed = self.remove(self._left) if used else 0
        except (StepError, UnavailableError) as error:
            logger.warning("cannot look for containers that were left: %s", error.message)
            return
        if removed:
            logger.info("removed %d containers that a killed worker had left", removed)

    def _left(self, run_ids: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        with self.database.begin() as connection:
            return runs.left(connection, run_ids, worker=self.worker)
