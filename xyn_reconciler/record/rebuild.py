"""Make the index anew from Git: finished and waiting runs, events, artifacts (promise P4).

Records are read newest first and a row that is there stays, so the last record
of a run counts, and nothing has to be remembered on the way: a history of any
length takes the same memory.

The trap: a record says how a run was, not how it is. One that was under way
when the database was lost is listed as waiting for a person, reason
``interrupted``, never dropped and never taken up by itself. The runs of other
nodes, which a clone has as well, are listed and held by their node.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.run import step_id
from xyn_reconciler.record.read import Entry, months_by_node, read_batches
from xyn_reconciler.record.rebuild_audit import rebuild_audit
from xyn_reconciler.store import desired, outbox, records
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.records import Recorded

CHUNK: Final = 2000
"""Lines that are put into the database together."""

Line = dict[str, Any]

_RECONCILED: Final = ("xyn.reconcile.succeeded", "xyn.reconcile.failed")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A revision that this node looked at, as its own event tells."""

    revision: str
    at: dt.datetime
    problems: tuple[str, ...] | None
    """Why it was refused; ``None`` if it was applied."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found."""

    events: int = 0
    runs: int = 0
    artifacts: int = 0
    interrupted: int = 0
    audit: int = 0
    reconciled: list[Reconciled] = field(default_factory=list)
    """Every revision that this node looked at, the oldest first."""


def rebuild(
    connection: Connection,
    repository: Repository,
    *,
    now: dt.datetime,
    progress: Callable[[str], None],
) -> Rebuilt:
    """Write every row that records and the audit hold; what is in flight here stays as it is.

    In the caller's transaction: a kill in the middle leaves the index as it was.
    Raises :class:`~.read.DamagedRecordError` for records that cannot be read.
    """
    done = rebuild_records(connection, repository, now=now, progress=progress)
    done.audit = rebuild_audit(connection, repository, desired.read_node(connection).node_id)
    return done


def rebuild_records(
    connection: Connection,
    repository: Repository,
    *,
    now: dt.datetime,
    progress: Callable[[str], None],
) -> Rebuilt:
    """As :func:`rebuild`, without the audit and what is made of it."""
    own = desired.read_node(connection).node_id
    done = Rebuilt()
    records.clear_finished(connection)
    months = months_by_node(repository)
    for node in sorted(months):
        putting = Putting(connection, done, now, held_by=None if node == own else holder_of(node))
        for chunk in _chunks(repository, months[node]):
            putting.put(chunk)
            progress(f"rebuilding: {done.events} events, {done.runs} runs")
        putting.finish()
    done.reconciled.reverse()
    records.note_rebuilt(connection, now)
    return done


def holder_of(node_id: str) -> str:
    """Who holds the unfinished runs of another node here (``runs.leased_by``)."""
    return f"node {node_id}"


def _chunks(repository: Repository, refs: Sequence[str]) -> Iterator[list[tuple[str, list[Entry]]]]:
    """Whole commits, newest first, in groups of some :data:`CHUNK` lines."""
    chunk: list[tuple[str, list[Entry]]] = []
    size = 0
    for ref in refs:
        for commit, entries in read_batches(repository, ref):
            chunk.append((commit, entries))
            size += len(entries)
            if size >= CHUNK:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


class Putting:
    """Puts one node's records into the index, chunk by chunk; :meth:`finish` ends it."""

    def __init__(
        self, connection: Connection, done: Rebuilt, now: dt.datetime, *, held_by: str | None
    ) -> None:
        self._connection = connection
        self._done = done
        self._now = now
        self._held_by = held_by
        self._missing: dict[str, Line] = {}

    def put(self, chunk: Sequence[tuple[str, list[Entry]]]) -> None:
        """Put in a chunk; the newest commit comes first in it, the newest line of each last."""
        of_kind: dict[str, list[tuple[str, Line]]] = {}
        for commit, entries in chunk:
            for entry in reversed(entries):
                of_kind.setdefault(entry.kind, []).append((commit, entry.value))

        plans = {line["plan"]["digest"]: line["plan"] for _, line in of_kind.get("plan", ())}
        records.put_plans(self._connection, list(plans.values()))
        self._put_runs(_newest("run", "run_id", of_kind.get("run", ())))
        artifacts = _newest("artifact", "artifact_id", of_kind.get("artifact", ()))
        records.put_artifacts(
            self._connection, [Recorded(line, c, self._held_by) for c, line in artifacts]
        )
        self._done.artifacts += len(artifacts)
        events = _newest("event", "event_id", of_kind.get("event", ()))
        first = {line["event"]["event_id"]: commit for commit, line in of_kind.get("event", ())}
        records.put_events(
            self._connection,
            [Recorded(line, first[line["event"]["event_id"]], self._held_by) for _, line in events],
        )
        self._done.events += len(events)
        self._look_for_lost([line for _, line in events], plans)
        if self._held_by is None:
            self._done.reconciled += _reconciled(line for _, line in events)

    def _put_runs(self, runs: Sequence[tuple[str, Line]]) -> None:
        lines, lost = [], set()
        for commit, line in runs:
            record = line
            if self._held_by is None and line["run"]["status"] in ("created", "running"):
                record = interrupted(line, self._now)
                lost.add(line["run"]["run_id"])
            lines.append(Recorded(record, commit, self._held_by))
        new = records.put_runs(self._connection, lines)
        self._done.runs += len(new)
        self._note_interrupted(lost & new)

    def _look_for_lost(self, events: Sequence[Line], plans: Mapping[str, Line]) -> None:
        """Note the runs that events started and that are not there, or not yet."""
        started = {run["run_id"]: run for line in events for run in line["runs"]}
        for run_id in started.keys() - records.known_runs(self._connection, started):
            run = started[run_id]
            self._missing[run_id] = _of_started(run, plans[run["plan_digest"]]["plan"])

    def finish(self) -> None:
        """List the runs of which nothing more was recorded than that an event started them."""
        known = records.known_runs(self._connection, self._missing)
        lines = []
        for run_id, record in self._missing.items():
            if run_id not in known:
                left = interrupted(record, self._now) if self._held_by is None else record
                lines.append(Recorded(left, None, self._held_by))
        new = records.put_runs(self._connection, lines)
        self._done.runs += len(new)
        if self._held_by is None:
            self._note_interrupted(new)

    def _note_interrupted(self, run_ids: set[str]) -> None:
        self._done.interrupted += len(run_ids)
        # That they wait for a person now is a change like any other, and is recorded.
        outbox.put(self._connection, "run", map(uuid.UUID, sorted(run_ids)), self._now)


def interrupted(record: Line, now: dt.datetime) -> Line:
    """Give the record of a run that was under way as one that waits for a person.

    Steps that were under way are ``interrupted``. Where none was, it is the first
    that had not ended: nobody knows how far it got.
    """
    moment = isoformat(now)
    run = record["run"] | {
        "status": "waiting",
        "wait_reason": "interrupted",
        "waiting_since": moment,
    }
    run.pop("available_at", None)
    steps = [
        step | {"status": "interrupted"} if step["status"] == "running" else step
        for step in record["steps"]
    ]
    if not any(step["status"] == "interrupted" for step in steps):
        first = next((n for n, step in enumerate(steps) if step["status"] == "created"), None)
        if first is not None:
            steps[first] = steps[first] | {"status": "interrupted"}
    attempts = [
        attempt | {"status": "interrupted", "completed_at": moment}
        if attempt["status"] == "running"
        else attempt
        for attempt in record["attempts"]
    ]
    return record | {"run": run, "steps": steps, "attempts": attempts}


def _of_started(run: Line, plan: Line) -> Line:
    """The record that a run would have had when it was created."""
    steps = [
        {
            "step_id": str(step_id(uuid.UUID(run["run_id"]), step["key"])),
            "run_id": run["run_id"],
            "key": step["key"],
            "name": step["name"],
            "kind": step["kind"],
            "position": position,
            "status": "created",
            "attempt": 0,
            "interruptions": 0,
        }
        for position, step in enumerate([*plan.get("steps", ()), *plan.get("on_failure", ())])
    ]
    return {
        "kind": "run",
        "run": run | {"status": "created", "warnings": 0, "attempt": 0},
        "event": None,
        "steps": steps,
        **{part: [] for part in ("attempts", "gates", "approvals", "artifacts", "events")},
    }


def _newest(part: str, key: str, lines: Iterable[tuple[str, Line]]) -> list[tuple[str, Line]]:
    """The first line of each subject: they come newest first."""
    found: dict[str, tuple[str, Line]] = {}
    for commit, line in lines:
        found.setdefault(line[part][key], (commit, line))
    return list(found.values())


def _reconciled(lines: Iterable[Line]) -> Iterator[Reconciled]:
    """This node's own word on revisions, in the order given."""
    for line in lines:
        event = line["event"]
        if event["source"] == "xyn" and event["event_name"] in _RECONCILED:
            problems = event["data"].get("problems")
            yield Reconciled(
                revision=event["data"]["revision"],
                at=dt.datetime.fromisoformat(event["occurred_at"]),
                problems=None if problems is None else tuple(problems),
            )
