"""``event forget``: take an event's content out of the index, the records and the artifacts.

The one place where records are changed. The months that hold the event, or a
run that came of it, are written anew as a whole and the refs moved; a tombstone
stands in the event's place, and the audit says who asked and which tips were
left for which.

The order makes it safe to kill it anywhere and to ask again: the audit entry,
the refs, then rows and artifact bytes with the transaction's end. What a kill
left undone is found by what the rows and the records still say. The old objects
go with the maintenance (:mod:`~xyn_reconciler.store.git_purge`).
"""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import ConflictError, NotFoundError
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.record.audit import append_audit
from xyn_reconciler.record.commit import WRITING, Committer
from xyn_reconciler.record.read import commits, months_by_node, read_segment
from xyn_reconciler.record.scrub import Scrub
from xyn_reconciler.store import audit, desired, forgetting, git_purge, records
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Connection, Database, lock_in_transaction
from xyn_reconciler.store.git import Commit, ObjectMissingError, Repository
from xyn_reconciler.store.git_rewrite import rewrite

_ROW_PARTS: Final = ("steps", "attempts", "gates", "approvals", "artifacts")

Chain = list[tuple[Commit, tuple[str, ...]]]
"""Commits of a month, oldest first, each with the segments that it added."""


def forget(
    database: Database,
    repository: Repository,
    event_id: uuid.UUID,
    *,
    by: str,
    now: dt.datetime,
    artifacts: ArtifactStore,
    redactor: Redactor,
) -> None:
    """Take out what an event brought, and what derives from it in the runs that it started.

    Their inputs, outputs, messages, artifacts and comments go, those of the
    runs that *their* events started as well. Raises ``NotFoundError`` without
    the event, ``ConflictError`` while such a run is in flight, where the event is
    another node's, or where it is a part of a run's record.
    """
    with database.connect() as connection:
        node_id = desired.read_node(connection).node_id
    committer = Committer(
        database,
        repository,
        artifacts=artifacts,
        node_id=node_id,
        redactor=redactor,
        clock=lambda: now,
    )
    done = False
    while not done:
        # Unrecorded rows would be recorded later, without a tombstone.
        committer.drain()
        with database.begin() as connection:
            lock_in_transaction(connection, WRITING)
            scrub = _scrub(connection, event_id, by, now)
            subjects = {event_id} | scrub.runs | scrub.told
            if forgetting.wait_for_a_record(connection, subjects):
                continue
            note = partial(_note, connection, repository, node_id, redactor)
            _forget(connection, repository, artifacts, node_id, scrub, note)
            done = True


def _scrub(connection: Connection, event_id: uuid.UUID, by: str, now: dt.datetime) -> Scrub:
    traces = forgetting.traces(connection, event_id)
    if traces is None:
        raise NotFoundError(f"no event {event_id}")
    if traces.inside is not None:
        raise ConflictError(
            f"event {event_id} only tells of run {traces.inside}: forget the event that started"
            " the run, and what tells of it is forgotten too"
        )
    if traces.unfinished:
        named = ", ".join(sorted(map(str, traces.unfinished)))
        raise ConflictError(
            f"runs that came of event {event_id} have not ended: {named}."
            " Cancel them or wait, then forget the event"
        )
    return Scrub(
        event_id=event_id,
        actor=traces.actor,
        runs=traces.runs,
        told=traces.told,
        tombstone={"at": isoformat(now), "by": by},
    )


def _forget(
    connection: Connection,
    repository: Repository,
    artifacts: ArtifactStore,
    node_id: str,
    scrub: Scrub,
    note: Callable[[AuditEntry], None],
) -> None:
    marks = forgetting.recorded_in(connection, {scrub.event_id} | scrub.told, scrub.runs)
    wanted = set(_segments(repository, marks))
    chains = {ref: _chain(repository, ref) for ref in months_by_node(repository).get(node_id, ())}
    own = {path for chain in chains.values() for _, paths in chain for path in paths}
    _refuse_foreign(repository, connection, scrub, own)
    where: dict[str, str] = {}
    for ref, chain in chains.items():
        where |= _rewrite_month(repository, ref, chain, wanted, scrub, note)
    crash_point("forget.rewritten")
    _move_marks(connection, repository, where)
    _scrub_rows(connection, artifacts, scrub)


def _note(
    connection: Connection,
    repository: Repository,
    node_id: str,
    redactor: Redactor,
    entry: AuditEntry,
) -> None:
    """Not by the outbox: the entry has to be there before the month's ref moves."""
    commit = append_audit(repository, node_id, [entry], now=entry.at, redactor=redactor).commit
    audit.put_recorded(connection, [(entry, commit)])


def _chain(repository: Repository, ref: str) -> Chain:
    return [
        (commit, commit.trailer_values("Segment")) for commit in reversed(commits(repository, ref))
    ]


def _segments(repository: Repository, marks: Iterable[str]) -> Iterable[str]:
    """The segments that these commits added; the commits may have been left behind by a rewrite."""
    for mark in marks:
        try:
            yield from repository.commit(mark).trailer_values("Segment")
        except ObjectMissingError:
            continue


def _refuse_foreign(
    repository: Repository, connection: Connection, scrub: Scrub, own: set[str]
) -> None:
    marks = forgetting.recorded_in(connection, {scrub.event_id}, ())
    if marks and not own.intersection(_segments(repository, marks)):
        raise ConflictError(f"event {scrub.event_id} is recorded by another node: forget it there")


def _rewrite_month(
    repository: Repository,
    ref: str,
    chain: Chain,
    wanted: set[str],
    scrub: Scrub,
    note: Callable[[AuditEntry], None],
) -> dict[str, str]:
    """Write a month anew where it holds what is to be forgotten; segment to commit afterwards."""
    runs = {str(run_id) for run_id in scrub.runs}
    events = {str(event_id) for event_id in {scrub.event_id} | scrub.told}
    tip = chain[-1][0].sha
    files: dict[str, bytes] = {}
    for commit, paths in chain:
        if (
            wanted.intersection(paths)
            or runs.intersection(commit.trailer_values("Run-Id"))
            or events.intersection(commit.trailer_values("Again"))
        ):
            for path in paths:
                content = _scrubbed(repository, tip, path, scrub)
                if content is not None:
                    files[path] = content
    moved: dict[str, str] = {}
    if files:
        moved = rewrite(repository.path, chain, files)
        at = dt.datetime.fromisoformat(scrub.tombstone["at"])
        git_purge.ask(repository.path, at)
        entry = {"ref": ref, "old_tip": tip, "new_tip": moved[tip]}
        note(
            AuditEntry(
                kind="event.forgotten",
                actor=scrub.tombstone["by"],
                at=at,
                subject=str(scrub.event_id),
                entry=entry,
            )
        )
        crash_point("forget.audited")
        # Nobody else writes here while the lock is held; if somebody did, this says so.
        repository.update_ref(ref, expected=tip, new=moved[tip])
    return {path: moved.get(commit.sha, commit.sha) for commit, paths in chain for path in paths}


def _scrubbed(repository: Repository, tip: str, path: str, scrub: Scrub) -> bytes | None:
    """The new content of a segment; ``None`` where nothing in it is to be forgotten any more."""
    changed = False
    lines = []
    for entry in read_segment(repository, tip, path):
        left = scrub.line(entry.value)
        changed = changed or left != entry.value
        lines.append(entry.text if left == entry.value else _dumps(left))
    return "".join(f"{line}\n" for line in lines).encode() if changed else None


def _move_marks(connection: Connection, repository: Repository, where: dict[str, str]) -> None:
    """Point rows to the commits that hold their records now, also after an earlier try."""
    current = set(where.values())
    moved: dict[str, str] = {}
    for mark in records.marks(connection) - current:
        for segment in _segments(repository, [mark]):
            if segment in where:
                moved[mark] = where[segment]
    records.move_marks(connection, moved)


def _scrub_rows(connection: Connection, artifacts: ArtifactStore, scrub: Scrub) -> None:
    before = [json.loads(line.text) for line in records.read_runs(connection, sorted(scrub.runs))]
    after = [scrub.record(record) for record in before]
    forgetting.replace_rows(connection, "run", [record["run"] for record in after])
    for part in _ROW_PARTS:
        forgetting.replace_rows(connection, part, _all(after, part))
    events = forgetting.read_event_rows(connection, {scrub.event_id} | scrub.told)
    forgetting.replace_rows(connection, "event", [scrub.event(event) for event in events])
    forgetting.drop_keys(connection, {scrub.event_id} | scrub.told, scrub.runs)
    contents = {row["sha256"] for row in _all(before, "artifacts") if "sha256" in row}
    for sha256 in sorted(contents - forgetting.still_used(connection, contents)):
        artifacts.remove(sha256)


def _all(records_: Sequence[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [row for record in records_ for row in record[part]]


def _dumps(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
