"""Take up runs and do what :mod:`xyn_reconciler.run.decide` says, until they end or wait.

A :class:`Worker` is what all threads share; :meth:`Worker.work` is the life of
a worker process, :meth:`Worker.advance` takes one run as far as it goes. The
rounds themselves are in :mod:`xyn_reconciler.run.shift`.
"""

import contextlib
import datetime as dt
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from xyn_reconciler.action import container_engine
from xyn_reconciler.action.context import Action
from xyn_reconciler.model.capability import EmitEvents, LaunchRun
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.model.run import ExecutionPlan
from xyn_reconciler.run.crew import Crew
from xyn_reconciler.run.equipment import Equipment, MayUseSecret, Unheard
from xyn_reconciler.run.execute import Redactor
from xyn_reconciler.run.heartbeat import Heartbeat
from xyn_reconciler.run.leftovers import Ask, Leftovers
from xyn_reconciler.run.live_log import LiveLogs
from xyn_reconciler.run.shift import Shift
from xyn_reconciler.store import dispatch
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.recent import Recent

LEASE: Final = dt.timedelta(seconds=4)
"""How long a run stays with a worker that gives no sign of life."""

LOOK: Final = 0.5
"""Seconds between two looks for runs that nobody told of: due, or left by a dead worker."""

MOST: Final = 50
"""Runs that one process advances side by side; most of them wait for somebody else's answer."""

GRACE: Final = 5.0
"""Seconds that steps under way have to end when the process is told to."""

_AWAY_SECONDS: Final = 0.2

logger = logging.getLogger(__name__)


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Worker:
    """Advances runs; one per process, safe from any thread."""

    def __init__(  # noqa: PLR0913 - all that a worker is given, by name
        self,
        *,
        database: Database,
        actions: Mapping[str, Action],
        artifacts: ArtifactStore,
        emit: EmitEvents,
        unheard: Unheard,
        redactor: Redactor,
        secret: Callable[[str], str | None],
        may_use_secret: MayUseSecret,
        name: str,
        lease: dt.timedelta = LEASE,
        node_started_at: dt.datetime | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
        launch: LaunchRun | None = None,
        remove_leftovers: Callable[[Ask], int] = container_engine.remove_leftovers,
    ) -> None:
        """``name`` is this process's own, like ``host:pid:start``: two of a name share claims.

        A run whose holder was last alive before ``node_started_at`` went down
        with the whole node, which says nothing against the step it was in.
        Without ``launch`` there is no ``blueprints.run``.
        """
        plans: Recent[str, ExecutionPlan] = Recent(256)
        self._heartbeat = Heartbeat(database, name, lease, clock)
        self._leftovers = Leftovers(database, name, remove_leftovers)
        self._live = LiveLogs(database, redactor)
        self._equipment = Equipment(
            database=database,
            actions=actions,
            artifacts=artifacts,
            emit=emit,
            unheard=unheard,
            redactor=redactor,
            secret=secret,
            may_use_secret=may_use_secret,
            name=name,
            lease=lease,
            node_started_at=node_started_at,
            clock=clock,
            jitter=jitter,
            plans=plans,
            heartbeat=self._heartbeat,
            live=self._live,
            crew=Crew(),
            leftovers=self._leftovers,
            launch=launch,
            idempotent=frozenset(key for key, action in actions.items() if action.spec.idempotent),
        )

    def advance(self, run_id: uuid.UUID) -> None:
        """Take the run as far as it goes; nothing to do, or held by another, is no trouble.

        Raises ``UnavailableError`` where the database is away when it begins.
        Later it is waited for as long as the claim lasts; after that whichever
        worker lives takes the run up.
        """
        shift = Shift(self._equipment)
        shift.round([run_id])
        while shift.held:
            with _patiently():
                shift.round()

    def work(self, stop: threading.Event) -> None:
        """Take up whatever there is to do until told to stop, then hand it over.

        Steps under way get :data:`GRACE` seconds; what has not ended by then is
        the next worker's, who takes it up at once.
        """
        self._equipment.crew.begin(self._leftovers)
        shift = Shift(self._equipment)
        ears = threading.Thread(target=self._listen, args=(shift, stop), name="wake-ups")
        ears.start()
        looked_at = 0.0
        while not stop.is_set():
            look = time.monotonic() - looked_at >= LOOK
            # A look brings as many again that nobody was told of: more than there is room for.
            room = max(MOST - len(shift.held), 0) if look or shift.noticed else 0
            if not room:
                shift.wait(LOOK)
                if stop.is_set():
                    # What has come in is taken in by whoever begins nothing more.
                    break
            with _patiently():
                shift.round(room=room, look=look, timeout=0.0)
            if look:
                looked_at = time.monotonic()
        shift.leave(GRACE)
        ears.join()

    def close(self) -> None:
        """Prolong no lease any more; call it when no run is being advanced."""
        self._heartbeat.close()
        self._live.close()
        self._leftovers.close()

    def _listen(self, shift: Shift, stop: threading.Event) -> None:
        for _ in dispatch.listen(self._equipment.database, timeout=LOOK):
            shift.notice()
            if stop.is_set():
                return


@contextlib.contextmanager
def _patiently() -> Iterator[None]:
    try:
        yield
    except UnavailableError as error:
        logger.warning("the database is away, trying again: %s", error.message)
        time.sleep(_AWAY_SECONDS)
