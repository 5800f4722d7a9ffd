"""Keep what is active equal to ``main``: look, judge, apply, wait for a reason to look again.

Level-triggered: a round compares the applied revision with ``main`` and acts on
the difference, however it came about, so a notice that is lost or doubled does no
harm. Reasons to look are the push hook (:meth:`Reconciler.notice`), the file of the
ref (for who moves it by hand), and every :data:`FULL_SECONDS` a round that
compares every file. Only the newest revision counts.

The node process runs one of these; an advisory lock elects one of several. What
does not validate is never applied; commits below ``refs/xyn`` wake nobody.
"""

import contextlib
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

import watchfiles

from xyn_reconciler.desired.load import Loaded
from xyn_reconciler.desired.validate import DesiredState
from xyn_reconciler.model.capability import Catalogue, EmitEvents
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.reconcile import apply as shell
from xyn_reconciler.reconcile.judge import Judge, Judgement, Known
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.desired import NodeState
from xyn_reconciler.store.git import MAIN, Repository

FULL_SECONDS: Final = 30.0
"""Between two rounds that compare every file: what mends a change that nobody noticed."""

LOCK: Final = "xyn.reconcile"
_ELECTION_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.1
_WATCH_STEP_MS: Final = 10
"""How often the watcher thread looks for news: 1 ms costs an idle node a per cent of a core."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a revision got to."""

    attempted: bool
    applied: bool
    message: str
    """The reason, if it is not applied."""


class Reconciler:
    """One per process that reconciles or judges pushes; safe from any thread."""

    def __init__(
        self,
        database: Database,
        repository: Repository,
        catalogue: Catalogue,
        emit: EmitEvents,
        *,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._database = database
        self._repository = repository
        self._catalogue = catalogue
        self._judge = Judge(catalogue)
        self._emit = emit
        self._clock = clock
        self._known: Known | None = None
        self._wake = threading.Event()
        self._round_done = threading.Condition()
        self._rounds = 0
        self._turn = threading.Lock()

    def notice(self) -> None:
        """Say that ``main`` may have moved; costs nothing, may be said too often."""
        self._wake.set()

    def reconcile(self, *, everything: bool = False) -> Judgement | None:
        """Do one round; what it judged, or ``None`` if there was nothing to judge.

        Raises :class:`UnavailableError` while the database is away.
        """
        with self._turn:
            revision = self._repository.resolve(MAIN)
            if revision is None:
                self._stall("NoRevision", "main has no commit yet")
                return None
            with self._database.begin() as connection:
                node = desired.read_node(connection, lock=True)
                if not everything and revision in (
                    node.last_applied_revision,
                    node.last_attempted_revision,
                ):
                    return None
                known = self._refreshed(connection, node, everything=everything)
                judgement = self._judge.judge(
                    self._repository, known, revision, everything=everything
                )
                after = self._act(connection, node, known, judgement)
            # Only now is it true: a transaction that failed leaves what was known before.
            self._known = after
        crash_point("reconcile.applied")
        with self._round_done:
            self._rounds += 1
            self._round_done.notify_all()
        return judgement

    def judge(self, repository: Repository, revision: str, known: Known | None = None) -> Judgement:
        """Judge a revision that is not applied, perhaps still under quarantine.

        ``known`` is what is active, where the caller has just asked for it.
        """
        return self._judge.judge(repository, known or self.known(), revision)

    def preview(self) -> Judgement | None:
        """Judge ``main`` as the next full round would, and change nothing."""
        revision = self._repository.resolve(MAIN)
        if revision is None:
            return None
        return self._judge.judge(self._repository, self.known(), revision, everything=True)

    def known(self) -> Known:
        """Give what is active at the moment."""
        with self._database.begin() as connection:
            node = desired.read_node(connection)
            known = self._refreshed(connection, node)
        held = self._known
        if held is None or held.sequence <= known.sequence or held.database_id != known.database_id:
            self._known = known
        return known

    def wait_for(self, revision: str, *, seconds: float) -> Outcome:
        """Wait until a revision, or one that contains it, was attempted."""
        until = time.monotonic() + seconds
        while True:
            rounds = self._rounds
            with self._database.begin() as connection:
                node = desired.read_node(connection)
            if self._contains(node.last_applied_revision, revision):
                return Outcome(attempted=True, applied=True, message="")
            if self._contains(node.last_attempted_revision, revision):
                stalled = [c.message for c in node.conditions if c.type == "Stalled" and c.status]
                return Outcome(attempted=True, applied=False, message="; ".join(stalled))
            if time.monotonic() >= until:
                return Outcome(attempted=False, applied=False, message="")
            with self._round_done:
                # A round that was done while the row was read must not be waited for.
                if self._rounds == rounds:
                    self._round_done.wait(_POLL_SECONDS)

    def run(self, stop: threading.Event) -> None:
        """Reconcile until told to stop; goes on after any failure of a round."""
        watcher = threading.Thread(target=self._watch, args=(stop,), name="watch-main", daemon=True)
        watcher.start()
        lock = self._database.advisory_lock(LOCK)
        next_full = time.monotonic()
        try:
            while not stop.is_set():
                try:
                    if not lock.acquire():
                        stop.wait(_ELECTION_SECONDS)
                        continue
                    self._wake.clear()
                    full = time.monotonic() >= next_full
                    if full:
                        next_full = time.monotonic() + FULL_SECONDS
                    self.reconcile(everything=full)
                except UnavailableError as error:
                    logger.warning("reconciling waits: %s", error.message)
                    next_full = time.monotonic()
                    stop.wait(_RETRY_SECONDS)
                    continue
                except Exception as error:
                    # One round that fails must not end the loop; the next full one tries again.
                    logger.exception("a round of reconciling failed")
                    with contextlib.suppress(UnavailableError):
                        self._stall("Error", f"a round failed: {error}")
                    stop.wait(_RETRY_SECONDS)
                while not stop.is_set() and time.monotonic() < next_full:
                    if self._wake.wait(_STOP_SECONDS):
                        break
        finally:
            lock.release()
            watcher.join()

    def _act(
        self, connection: Connection, node: NodeState, known: Known, judgement: Judgement
    ) -> Known:
        now = self._clock()
        if judgement.problems:
            shell.refuse(
                connection,
                node,
                judgement.revision,
                judgement.problems,
                emit=self._emit,
                now=now,
            )
            return known
        if not judgement.changes and judgement.revision == node.last_applied_revision:
            # Nothing differs; but the software may be another than the one that applied it.
            shell.confirm(connection, judgement.revision, now)
            shell.refresh_conditions(
                connection, known.state, self._catalogue, node.settings, now=now
            )
            return known
        return shell.apply(
            connection,
            node,
            known,
            judgement,
            catalogue=self._catalogue,
            emit=self._emit,
            now=now,
        )

    def _stall(self, reason: str, message: str) -> None:
        with self._database.begin() as connection:
            shell.stall(connection, reason, message, self._clock())

    def _refreshed(
        self, connection: Connection, node: NodeState, *, everything: bool = False
    ) -> Known:
        """Give what is active: as held, or with what another process has applied since."""
        known = self._known
        key = (node.last_applied_revision, node.applied_sequence, node.database_id)
        if known is not None and everything and known.blobs() != desired.blobs(connection):
            known = None
        if known is not None and key == (known.revision, known.sequence, known.database_id):
            return known
        older = known is not None and known.sequence < node.applied_sequence
        if known is None or not older or known.database_id != node.database_id:
            files = (Loaded.from_row(asdict(each)) for each in desired.documents(connection))
            return Known(DesiredState.of(files), *key)
        changed = desired.documents(connection, since=known.sequence)
        state = known.state.apply(
            (each.path, Loaded.from_row(asdict(each)) if each.active else None) for each in changed
        )
        return Known(state, *key)

    def _contains(self, revision: str | None, sought: str) -> bool:
        return revision is not None and (
            revision == sought or self._repository.is_ancestor(sought, revision)
        )

    def _watch(self, stop: threading.Event) -> None:
        """Wake the loop when the file of ``main`` moves, whoever moves it."""
        folder = self._repository.path / "refs" / "heads"
        for _ in watchfiles.watch(
            folder,
            watch_filter=lambda _change, path: path.endswith("/main"),
            stop_event=stop,
            step=_WATCH_STEP_MS,
            debounce=_WATCH_STEP_MS,
            rust_timeout=int(_STOP_SECONDS * 1000),
            yield_on_timeout=False,
            recursive=False,
            raise_interrupt=False,
        ):
            self.notice()
