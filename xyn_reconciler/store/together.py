"""Audit entries that must be there before something happens, without a transaction each.

Threads that come while one writes are written together by the next: the more there is to
note, the fewer transactions a note costs. :meth:`AuditTogether.put` returns when the entry
is committed.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.store import audit
from xyn_reconciler.store.database import Database


class AuditTogether:
    """One per process; safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Sequence[AuditEntry], Future[None]]] = []
        self._joining = threading.Lock()
        self._writing = threading.Lock()

    def put(self, entries: Sequence[AuditEntry]) -> None:
        """Return when these are committed; raises what kept them from it."""
        done: Future[None] = Future()
        with self._joining:
            self._waiting.append((entries, done))
        with self._writing:
            if not done.done():
                self._write()
        done.result()

    def _write(self) -> None:
        with self._joining:
            part, self._waiting = self._waiting, []
        try:
            with self._database.begin() as connection:
                audit.put(connection, [each for entries, _ in part for each in entries])
        except BaseException as error:
            for _, done in part:
                done.set_exception(error)
            raise
        for _, done in part:
            done.set_result(None)
