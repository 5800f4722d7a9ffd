"""The committer: drains the outbox into Git, one durable commit a batch.

A batch is one transaction: rows are read, the commit is made durable and the
month's ref moved, then the outbox rows go with the transaction's end. A kill
between the last two leaves rows whose records are in already; the ``Outbox:``
trailer of the newest commit says which, and the next batch leaves them out.

A lock, held for the length of a batch, keeps writers apart: the node's one
committer, ``xynctl rebuild`` and :mod:`.forget`, which may all drain.
"""

import datetime as dt
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import ConflictError, XynError
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.record.audit import append_audit, audit_ref
from xyn_reconciler.record.guard import guarded, tell_caught
from xyn_reconciler.record.render import RUNS, held, month_ref, render
from xyn_reconciler.store import audit, desired, outbox, records
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import AdvisoryLock, Connection, Database, lock_in_transaction
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.notice import OUTBOX

BATCH: Final = 2000
"""Outbox rows in one commit at most: some 500 runs, for each comes with its events."""

GATHER: Final = 0.05
"""Seconds between two commits under load; the first one after a pause does not wait."""

LOOK: Final = 1.0
"""Seconds between two looks at the outbox when nothing was noticed."""

ELECTION: Final = "xyn.record"
"""The lock that elects one committer of several node processes."""

WRITING: Final = "xyn.record.write"
"""The lock that is held, in a transaction, while records are written or rewritten."""

AUTHOR: Final = "Xyn <xyn@localhost>"

TRIES: Final = 3
"""So often a batch may fail by a fault of our own; then what fails alone is set aside."""

_BEHIND: Final = "RecordsBehind"
_ASIDE: Final = "RecordsSetAside"
_NAMED: Final = 3
"""Rows that were set aside are named up to this number."""

_log = logging.getLogger(__name__)


class Committer:
    """Writes the records of one node into its repository."""

    def __init__(
        self,
        database: Database,
        repository: Repository,
        *,
        artifacts: ArtifactStore,
        node_id: str,
        redactor: Redactor,
        clock: Callable[[], dt.datetime],
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_written`` is called after each batch; it may not wait for anything."""
        self._database = database
        self._repository = repository
        self._artifacts = artifacts
        self._node_id = node_id
        self._redactor = redactor
        self._clock = clock
        self._on_written = on_written
        self._faults = 0
        self._began = False

    def run(self, stop: threading.Event) -> None:
        """Drain until ``stop`` is set: at once after a pause, every 50 ms under load.

        A Git or Postgres that cannot be written stops nothing else: the rows
        stay, the lag shows, and the next round tries again. At the end what is
        there is written.
        """
        wake = threading.Event()
        listener = threading.Thread(
            target=self._listen, args=(wake, stop), name="record-notices", daemon=True
        )
        listener.start()
        lock = self._database.advisory_lock(ELECTION)
        while not stop.is_set():
            wake.wait(LOOK)
            wake.clear()
            self._round(lock, stop)
        self._round(lock, stop)
        lock.release()
        listener.join()

    def _listen(self, wake: threading.Event, stop: threading.Event) -> None:
        # A thread of its own: under load notices come by the hundred, and a batch takes them all.
        for _ in self._database.listen([OUTBOX], timeout=LOOK):
            wake.set()
            if stop.is_set():
                return

    def _round(self, lock: AdvisoryLock, stop: threading.Event) -> None:
        try:
            if not lock.acquire():
                return
            self._begin()
            while written := self._attempt():
                self._on_written()
                if written < BATCH and stop.wait(GATHER):
                    break
        except (XynError, OSError) as error:
            _log.warning("records wait: %s", error)
            self._tell_behind(error)
            stop.wait(LOOK)
        except Exception as error:  # noqa: BLE001 - as the next line says
            # Our own fault must not end the loop: what comes later may be written all the same.
            _log.exception("records could not be written")
            self._tell_behind(error)
            stop.wait(LOOK)

    def drain(self) -> int:
        """Write everything that waits; how many outbox rows that was."""
        total = 0
        while True:
            try:
                written = self._attempt()
            except (XynError, OSError):
                raise
            except Exception:  # noqa: BLE001 - as the next line says
                # It is not raised more often than there are tries: then the cause stands aside.
                _log.exception("records could not be written")
                continue
            if not written:
                return total
            total += written

    def _begin(self) -> None:
        """Try again what an earlier committer set aside: this one may be a newer program."""
        if not self._began:
            with self._database.begin() as connection:
                if outbox.take_back(connection):
                    self._tell_aside(connection)
            self._began = True

    def _attempt(self) -> int:
        """Write one batch; one that fails for the third time without what makes it fail."""
        try:
            written = self.drain_once()
        except (XynError, OSError):
            raise
        except Exception:
            self._faults += 1
            if self._faults < TRIES:
                raise
            _log.exception("records could not be written %d times; looking for the cause", TRIES)
            written = self._set_apart()
        self._faults = 0
        return written

    def _set_apart(self) -> int:
        """Write a batch in ever smaller parts; what fails alone is set aside."""
        with self._database.connect() as connection:
            waiting = outbox.take(connection, BATCH)
        parts = [waiting]
        while parts:
            part = parts.pop()
            try:
                with self._database.begin() as connection:
                    lock_in_transaction(connection, WRITING)
                    self._drain(connection, part)
            except (XynError, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - any fault of our own is looked for here
                if len(part) > 1:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                    continue
                kind, subject = part[0].kind, part[0].subject
                ids = {"run_id": subject} if kind == "run" else None
                _log.exception("the record of %s %s is set aside", kind, subject, extra=ids)
                with self._database.begin() as connection:
                    # The kind of fault alone: its text may hold what redaction has not seen.
                    outbox.set_aside(connection, part[0], type(error).__name__)
                    self._tell_aside(connection)
        return len(waiting)

    def drain_once(self) -> int:
        """Write one batch; gives how many outbox rows it took away (0 = nothing waits)."""
        with self._database.begin() as connection:
            if not outbox.take(connection, 1):
                return 0
            lock_in_transaction(connection, WRITING)
            waiting = outbox.take(connection, BATCH)
            self._drain(connection, waiting)
        crash_point("record.marked")
        return len(waiting)

    def _drain(self, connection: Connection, waiting: Sequence[outbox.Waiting]) -> None:
        node = desired.read_node(connection)
        months = self._repository.refs(f"{RUNS}{self._node_id}/")
        of_audit = [row for row in waiting if row.kind == "audit"]
        of_records = [row for row in waiting if row.kind != "audit"]
        tip = months[max(months)] if months else None
        if fresh := self._without_held(connection, of_records, node, tip):
            self._write(connection, fresh, node, months)
        if fresh := self._without_held(connection, of_audit, node, self._last_audit()):
            self._write_audit(connection, fresh, node)
        outbox.done(connection, [row.id for row in waiting])
        if any(c.type == _BEHIND and c.status for c in node.conditions):
            desired.set_condition(connection, self._in_time())

    def _last_audit(self) -> str | None:
        """The newest commit of the audit that came of the outbox: ``forget`` makes others."""
        tip = self._repository.resolve(audit_ref(self._node_id))
        while tip is not None:
            commit = self._repository.commit(tip)
            if commit.trailer_values("Outbox"):
                return tip
            tip = commit.parents[0] if commit.parents else None
        return None

    def _without_held(
        self,
        connection: Connection,
        waiting: Sequence[outbox.Waiting],
        node: desired.NodeState,
        tip: str | None,
    ) -> list[outbox.Waiting]:
        """Mark what the newest commit holds already (after a kill); give the rest."""
        if not waiting or tip is None:
            return list(waiting)
        ids = held(self._repository.commit(tip).trailer_values("Outbox"), node.database_id)
        inside = [row for row in waiting if any(row.id in each for each in ids)]
        _mark(connection, inside, tip)
        return [row for row in waiting if row not in inside] if inside else list(waiting)

    def _write(
        self,
        connection: Connection,
        waiting: Sequence[outbox.Waiting],
        node: desired.NodeState,
        months: dict[str, str],
    ) -> None:
        now = self._clock()
        runs = records.read_runs(connection, _subjects(waiting, "run"))
        events = records.read_events(connection, _subjects(waiting, "event"))
        artifacts = records.read_artifacts(connection, _subjects(waiting, "artifact"))
        if not (runs or events or artifacts):
            return
        needed = {digest for line in (*runs, *events) for digest in line.plans}
        batch = render(
            runs=[(line.subject, line.text) for line in runs],
            events=[line.text for line in events],
            artifacts=[line.text for line in artifacts],
            plans=records.read_plans(connection, needed),
            outbox_ids=[row.id for row in waiting],
            database_id=node.database_id,
            now=now,
            again=[line.subject for line in events if line.again],
        )
        # A record names contents by their sha256, so they are there as surely as it is.
        contents = records.contents(connection, [line.subject for line in runs])
        self._artifacts.make_durable(contents)
        files, places = dict[str, bytes](), list[str]()
        for path, content in batch.files.items():
            files[path], caught = guarded(self._redactor, content)
            places += caught
        crash_point("record.rendered")
        commit = self._append(month_ref(self._node_id, now, months), files, batch.message, now)
        crash_point("record.committed")
        _mark(connection, waiting, commit)
        self._caught(connection, places)

    def _write_audit(
        self, connection: Connection, waiting: Sequence[outbox.Waiting], node: desired.NodeState
    ) -> None:
        entries = audit.read(connection, _subjects(waiting, "audit"))
        if entries:
            commit = append_audit(
                self._repository,
                self._node_id,
                entries,
                now=self._clock(),
                redactor=self._redactor,
                outbox=(node.database_id, [row.id for row in waiting]),
            )
            crash_point("audit.committed")
            _mark(connection, waiting, commit.commit)
            self._caught(connection, commit.caught)

    def _caught(self, connection: Connection, places: Sequence[str]) -> None:
        """Tell of what the guard replaced."""
        if places:
            _log.error("the last guard took secrets out of records: %s", "; ".join(places))
        tell_caught(connection, places, self._clock())

    def _append(self, ref: str, files: dict[str, bytes], message: str, now: dt.datetime) -> str:
        while True:
            try:
                return self._repository.append_records(
                    ref,
                    expected=self._repository.resolve(ref),
                    files=files,
                    message=message,
                    author=AUTHOR,
                    now=now,
                )
            except ConflictError:
                # Only a second node with this one's id can move it, or a person; both come after.
                _log.warning("%s moved while a batch was written; taking the new tip", ref)

    def _tell_behind(self, error: Exception) -> None:
        message = error.message if isinstance(error, XynError) else str(error)
        condition = Condition(
            "RecordsBehind",
            status=True,
            reason="NotWritten",
            message=f"run records wait, runs go on: {message}",
            since=self._clock(),
        )
        try:
            with self._database.begin() as connection:
                desired.set_condition(connection, condition)
        except XynError:
            # The database is what is away; then the condition is its own.
            _log.debug("the condition was not noted")

    def _tell_aside(self, connection: Connection) -> None:
        count, named = outbox.standing_aside(connection, limit=_NAMED)
        what = "; ".join(f"{kind} {subject} ({reason})" for kind, subject, reason in named)
        message = (
            f"{count} records cannot be written and are set aside: {what}"
            f"{' ...' if count > len(named) else ''}. They are tried again at the next start;"
            " see the log"
        )
        condition = Condition(
            _ASIDE,
            status=bool(count),
            reason="CannotBeWritten" if count else "Written",
            message=message if count else "every record can be written",
            since=self._clock(),
        )
        desired.set_condition(connection, condition)

    def _in_time(self) -> Condition:
        message = "run records are written as they come"
        return Condition(
            "RecordsBehind", status=False, reason="Written", message=message, since=self._clock()
        )


def _subjects(waiting: Sequence[outbox.Waiting], kind: str) -> list[uuid.UUID]:
    return list(dict.fromkeys(row.subject for row in waiting if row.kind == kind))


def _mark(connection: Connection, waiting: Sequence[outbox.Waiting], commit: str) -> None:
    for kind in ("run", "event", "artifact"):
        records.mark_recorded(connection, kind, _subjects(waiting, kind), commit)
    if entries := _subjects(waiting, "audit"):
        audit.mark_recorded(connection, entries, commit)
