"""Read the lines of run records from the index, and put the index together again from lines.

The committer reads, ``rebuild`` puts. One line is one JSON object; its shape is
described in ``docs/reference/records.md``. However many subjects there are, each
function asks a handful of statements.

The trap: the index is put together *newest record first*. A row that is there
already is newer than the one that comes, and stays.
"""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    delete,
    exists,
    or_,
    select,
    text,
    update,
)

from xyn_reconciler.model.internal_events import RECORDED_WITH_THEIR_RUN
from xyn_reconciler.store import footprints
from xyn_reconciler.store.record_rows import given, names, parameter, to_json, values
from xyn_reconciler.store.tables import (
    ArtifactRow,
    EventRow,
    FootprintRow,
    NodeRow,
    OutboxRow,
    RunRow,
)

Kind = Literal["run", "event", "artifact"]

STARTED: Final = (
    "run_id",
    "event_id",
    "name",
    "blueprint_id",
    "revision",
    "plan_digest",
    "priority",
    "created_at",
    "actor",
    "correlation_id",
    "inputs",
    "hops",
    "origin_run_id",
    "parent_step_id",
)
"""What an event's record says of the runs that it started: enough to list them."""

FOREVER: Final = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
"""A lease until then is another node's: its runs are listed here and never taken up."""

_UNFINISHED: Final = ("created", "running", "waiting")


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be recorded, the row that it tells of, and the plans that it needs."""

    subject: uuid.UUID
    text: str
    plans: frozenset[str] = frozenset()
    again: bool = False
    """Whether an event had a line before this one."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A line of kind ``run``, ``event`` or ``artifact``, and the commit that brought it."""

    line: dict[str, Any]
    commit: str | None
    held_by: str | None = None
    """The other node whose this is; it alone may take up a run."""


# ── rows to lines ────────────────────────────────────────────────────────────────────────────────


def read_runs(connection: Connection, run_ids: Sequence[uuid.UUID]) -> list[Line]:
    """Give the line of each run: its event, steps, attempts, gates, approvals, artifacts, events.

    In the order of creation; an id that no run has gives no line.
    """
    if not run_ids:
        return []
    ids = _ids(run_ids)
    runs = connection.execute(_RUNS, ids).all()
    parts = {
        part: {run_id: rows for run_id, rows in connection.execute(read, ids).all()}  # noqa: C416 - rows are not tuples to mypy
        for part, read in _PARTS.items()
    }
    return [
        Line(
            run_id,
            f'{{"kind":"run","run":{run},"event":{event or "null"},'
            + ",".join(f'"{part}":[{found.get(run_id, "")}]' for part, found in parts.items())
            + "}",
            frozenset([plan]),
        )
        for run_id, plan, run, event in runs
    ]


def read_events(connection: Connection, event_ids: Sequence[uuid.UUID]) -> list[Line]:
    """Give the line of each event, with enough of every run that it started to list it.

    And with what triggers remember of it: what it did not start and why, the
    ``dedupe`` windows that its runs hold open, and the ``debounce`` that it waits for.
    """
    if not event_ids:
        return []
    ids = _ids(event_ids)
    remembered = {
        part: {event_id: rows for event_id, rows in connection.execute(read, ids).all()}  # noqa: C416 - rows are not tuples to mypy
        for part, read in _REMEMBERED.items()
    }
    started: dict[uuid.UUID, list[str]] = defaultdict(list)
    plans: dict[uuid.UUID, set[str]] = defaultdict(set)
    for event_id, plan, run in connection.execute(_STARTED_RUNS, ids).all():
        started[event_id].append(run)
        plans[event_id].add(plan)
    return [
        Line(
            event_id,
            f'{{"kind":"event","event":{event},"runs":[{",".join(started[event_id])}]'
            + "".join(
                f',"{part}":[{found[event_id]}]'
                for part, found in remembered.items()
                if event_id in found
            )
            + "}",
            frozenset(plans[event_id]),
            again=again,
        )
        for event_id, event, again in connection.execute(_EVENTS, ids).all()
    ]


def read_artifacts(connection: Connection, artifact_ids: Sequence[uuid.UUID]) -> list[Line]:
    """Give the line of each artifact."""
    if not artifact_ids:
        return []
    rows = connection.execute(_ARTIFACTS, _ids(artifact_ids))
    return [Line(key, f'{{"kind":"artifact","artifact":{row}}}') for key, row in rows]


def contents(connection: Connection, run_ids: Sequence[uuid.UUID]) -> set[str]:
    """Give the sha256 of every artifact that these runs have."""
    if not run_ids:
        return set()
    return set(connection.execute(_CONTENTS, _ids(run_ids)).scalars())


def read_plans(connection: Connection, digests: Iterable[str]) -> list[str]:
    """Give the line of each plan."""
    wanted = sorted(digests)
    rows = connection.execute(_PLANS, {"digests": wanted}) if wanted else ()
    return [f'{{"kind":"plan","plan":{row}}}' for (row,) in rows]


def mark_recorded(
    connection: Connection, kind: Kind, ids: Sequence[uuid.UUID], commit: str
) -> None:
    """Note which commit holds the newest record of these rows; of an event the first one."""
    if ids:
        connection.execute(_MARK[kind], {**_ids(ids), "commit": commit})


def move_marks(connection: Connection, moved: Mapping[str, str]) -> None:
    """Note new names of commits whose month was rewritten, old name to new name."""
    if moved:
        for mark in _MOVE:
            connection.execute(mark, {"old": list(moved), "new": list(moved.values())})


def marks(connection: Connection) -> set[str]:
    """Give every commit that some row names as the one with its record."""
    return {commit for mark in _MARKS for commit in connection.execute(mark).scalars()}


def _ids(ids: Iterable[uuid.UUID]) -> dict[str, str]:
    # As Postgres writes an array: one text instead of a value each.
    return {"ids": f"{{{','.join(map(str, ids))}}}"}


def _part(part: str, alias: str, source: str, order: str, condition: str = "") -> TextClause:
    return text(
        f"SELECT s.run_id, string_agg({to_json(part, alias)}, ',' ORDER BY {order})"  # noqa: S608 - see above
        f" FROM {source} WHERE s.run_id = {_IDS} {condition} GROUP BY s.run_id"
    )


def _of_event(part: str, alias: str, source: str, order: str, owner: str) -> TextClause:
    return text(
        f"SELECT {owner}.event_id, string_agg({to_json(part, alias)}, ',' ORDER BY {order})"  # noqa: S608 - see above
        f" FROM {source} WHERE {owner}.event_id = {_IDS} GROUP BY {owner}.event_id"
    )


_IDS: Final = "ANY(CAST(:ids AS uuid[]))"
_OWN_EVENT: Final = " OR ".join(f"s.event_name LIKE '{p}%'" for p in RECORDED_WITH_THEIR_RUN)

# The names of columns in these come from our own tables, and from nowhere else.
_RUNS: Final = text(
    f"SELECT r.run_id, r.plan_digest, {to_json('run', 'r')},"  # noqa: S608 - see above
    f" CASE WHEN e.event_id IS NOT NULL THEN {to_json('event', 'e')} END"
    " FROM runs r LEFT JOIN events e USING (event_id)"
    f" WHERE r.run_id = {_IDS} ORDER BY r.created_at, r.run_id"
)
_PARTS: Final = {
    "steps": _part("steps", "s", "steps s", "s.position"),
    "attempts": _part(
        "attempts",
        "a",
        "steps s JOIN attempts a USING (step_id)",
        "s.position, a.item_index NULLS FIRST, a.number",
    ),
    "gates": _part("gates", "g", "steps s JOIN gates g USING (step_id)", "s.position"),
    "approvals": _part(
        "approvals",
        "a",
        "steps s JOIN approvals a USING (step_id)",
        "a.created_at, a.approval_id",
    ),
    "artifacts": _part("artifacts", "s", "artifacts s", "s.created_at, s.artifact_id"),
    "events": _part(
        "event",
        "s",
        "events s",
        "s.created_at, s.event_id",
        f"AND s.source = 'xyn' AND ({_OWN_EVENT})",
    ),
    "footprints": _part("footprints", "s", "footprints s", "s.occurred_at, s.key, s.metric"),
}
_EVENTS: Final = text(
    f"SELECT e.event_id, {to_json('event', 'e')}, e.record_commit IS NOT NULL FROM events e"  # noqa: S608 - see above
    f" WHERE e.event_id = {_IDS} ORDER BY e.created_at, e.event_id"
)
_STARTED_RUNS: Final = text(
    f"SELECT r.event_id, r.plan_digest, {to_json('run', 'r', STARTED)} FROM runs r"  # noqa: S608 - see above
    f" WHERE r.event_id = {_IDS} ORDER BY r.created_at, r.run_id"
)
_REMEMBERED: Final = {
    "suppressions": _of_event("suppressions", "s", "suppressions s", "s.blueprint_id", "s"),
    "windows": _of_event(
        "windows",
        "w",
        "runs r JOIN dedupe_windows w USING (run_id)",
        "w.blueprint_id, w.trigger_index, w.key",
        "r",
    ),
    "debounced": _of_event(
        "debounced", "d", "debounced d", "d.blueprint_id, d.trigger_index, d.key", "d"
    ),
}
_ARTIFACTS: Final = text(
    f"SELECT a.artifact_id, {to_json('artifacts', 'a')} FROM artifacts a"  # noqa: S608 - see above
    f" WHERE a.artifact_id = {_IDS} ORDER BY a.created_at, a.artifact_id"
)
_CONTENTS: Final = text(
    f"SELECT sha256 FROM artifacts WHERE run_id = {_IDS} AND sha256 IS NOT NULL"  # noqa: S608 - see above
)
_PLANS: Final = text(
    f"SELECT {to_json('plan', 'p')} FROM plans p"  # noqa: S608 - see above
    " WHERE p.digest = ANY(CAST(:digests AS text[])) ORDER BY p.digest"
)
_TABLES: Final[dict[Kind, tuple[str, str]]] = {
    "run": ("runs", "run_id"),
    "event": ("events", "event_id"),
    "artifact": ("artifacts", "artifact_id"),
}
_MARK: Final = {
    kind: text(
        f"UPDATE {name} SET record_commit = :commit WHERE {key} = {_IDS}"  # noqa: S608 - see above
        + (" AND record_commit IS NULL" if kind == "event" else "")
    )
    for kind, (name, key) in _TABLES.items()
}
_MOVE: Final = [
    text(
        f"UPDATE {name} SET record_commit = m.new"  # noqa: S608 - see above
        " FROM unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS m (old, new)"
        f" WHERE {name}.record_commit = m.old"
    )
    for name, _ in _TABLES.values()
]
_MARKS: Final = [
    text(f"SELECT DISTINCT record_commit FROM {name} WHERE record_commit IS NOT NULL")  # noqa: S608 - see above
    for name, _ in _TABLES.values()
]


# ── lines to rows ────────────────────────────────────────────────────────────────────────────────


def put_plans(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put in plans."""
    if rows:
        connection.execute(_PUT_PLANS, parameter("plan", rows))


def put_events(connection: Connection, lines: Sequence[Recorded]) -> None:
    """Put in the events of lines of kind ``event``, with what triggers remember of them.

    One that is there already gets its commit, and ends with its first. What
    waits or holds a window says an event's newest line alone; of another node's
    (``held_by``) events that is its own affair. So is their delivery id: a sender
    may tell several nodes, and what came there is no repeat here.
    """
    if not lines:
        return
    ids = _ids(uuid.UUID(line.line["event"]["event_id"]) for line in lines)
    older = set(map(str, connection.execute(_RECORDED_EVENTS, ids).scalars()))
    connection.execute(_PUT_EVENTS, parameter("event", _with_commits("event", lines)))
    newest = [
        line
        for line in lines
        if line.held_by is None and line.line["event"]["event_id"] not in older
    ]
    for part, statement in _PUT_REMEMBERED.items():
        saying = lines if part == "suppressions" else newest
        rows = [row for line in saying for row in line.line.get(part, ())]
        if rows:
            connection.execute(statement, parameter(part, rows))


def put_artifacts(connection: Connection, lines: Sequence[Recorded]) -> None:
    """Put in the artifacts of lines of kind ``artifact``."""
    if lines:
        connection.execute(_PUT_ARTIFACTS, parameter("artifacts", _with_commits("artifact", lines)))


def put_runs(connection: Connection, lines: Sequence[Recorded]) -> set[str]:
    """Put in the runs of lines of kind ``run`` with all that belongs to them; the ids that are new.

    No two of the lines may tell of the same run.
    """
    if not lines:
        return set()
    causes = {
        e["event_id"]: _known_here(line, e)
        for line in lines
        if (e := line.line["event"]) is not None
    }
    connection.execute(_PUT_CAUSES, parameter("event", list(causes.values())))
    rows = [
        {**row, "held_by": line.held_by if row["status"] in _UNFINISHED else None}
        for line, row in zip(lines, _with_commits("run", lines), strict=True)
    ]
    new = connection.execute(_PUT_RUNS, {**parameter("run", rows), "forever": FOREVER})
    ids = {str(run_id) for run_id in new.scalars()}
    for part, put in _PUT_PARTS.items():
        parts: list[dict[str, Any]] = [
            {**row, "held_by": line.held_by} if part == "artifacts" else row
            for line in lines
            if line.line["run"]["run_id"] in ids
            for row in line.line.get(part, ())
        ]
        if parts and part == "footprints":
            footprints.ensure_months(connection, {row["occurred_at"][:7] for row in parts})
        if parts:
            connection.execute(put, parameter("event" if part == "events" else part, parts))
    return ids


def _with_commits(kind: Kind, lines: Iterable[Recorded]) -> Iterator[dict[str, Any]]:
    for line in lines:
        row = line.line[kind]
        known = _known_here(line, row) if kind == "event" else row
        yield {**known, "commit": line.commit, "held_by": line.held_by}


def _known_here(line: Recorded, event: dict[str, Any]) -> dict[str, Any]:
    """Give an event as the index has it: without the delivery id of another node's."""
    return event if line.held_by is None else {**event, "delivery_id": None}


_PUT_PLANS: Final = text(
    f"INSERT INTO plans ({names('plan')}) SELECT {values('plan')} FROM {given('plan')}"  # noqa: S608 - see above
    " ON CONFLICT DO NOTHING"
)
# Of equal delivery ids the first counts, be they in the table or given together: redaction left
# nothing of what told two deliveries apart.
_EVENT_VALUES: Final = values("event").replace(
    "x.delivery_id",
    "CASE WHEN x.event_id = first_value(x.event_id) OVER (PARTITION BY x.source, x.delivery_id,"
    " x.delivery_item ORDER BY x.created_at, x.event_id)"
    " AND NOT EXISTS (SELECT FROM events o WHERE o.source = x.source"
    " AND o.delivery_id = x.delivery_id AND o.delivery_item = x.delivery_item"
    " AND o.event_id <> x.event_id) THEN x.delivery_id END",
)
_PUT_EVENTS: Final = text(
    f"INSERT INTO events ({names('event')}, record_commit)"  # noqa: S608 - see above
    f" SELECT {_EVENT_VALUES}, x.commit FROM {given('event', 'commit')}"
    " ON CONFLICT (event_id) DO UPDATE SET record_commit = excluded.record_commit"
)
_RECORDED_EVENTS: Final = text(
    f"SELECT event_id FROM events WHERE event_id = {_IDS} AND record_commit IS NOT NULL"  # noqa: S608 - see above
)
_PUT_ARTIFACTS: Final = text(
    # That the bytes are gone for good may be told later than the run's line with the artifact.
    f"INSERT INTO artifacts ({names('artifacts')}, record_commit, here)"  # noqa: S608 - see above
    f" SELECT {values('artifacts')}, x.commit, x.held_by IS NULL"
    f" FROM {given('artifacts', 'commit', 'held_by')}"
    " ON CONFLICT (artifact_id) DO UPDATE SET record_commit ="
    " coalesce(artifacts.record_commit, excluded.record_commit),"
    " deleted_at = coalesce(artifacts.deleted_at, excluded.deleted_at)"
    " WHERE artifacts.record_commit IS NULL OR excluded.deleted_at IS NOT NULL"
)
_PUT_CAUSES: Final = text(
    f"INSERT INTO events ({names('event')}) SELECT {_EVENT_VALUES} FROM {given('event')}"  # noqa: S608 - see above
    " ON CONFLICT (event_id) DO NOTHING"
)
_PUT_RUNS: Final = text(
    f"INSERT INTO runs ({names('run')}, record_commit, leased_by, leased_until)"  # noqa: S608 - see above
    f" SELECT {values('run')}, x.commit, x.held_by,"
    f" CASE WHEN x.held_by IS NOT NULL THEN CAST(:forever AS timestamptz) END"
    f" FROM {given('run', 'commit', 'held_by')} ON CONFLICT DO NOTHING RETURNING run_id"
)


def _put_part(part: str, into: str, key: str, then: str = "DO NOTHING") -> TextClause:
    return text(
        f"INSERT INTO {into} ({names(part)}) SELECT {values(part)} FROM {given(part)}"  # noqa: S608 - see above
        f" ON CONFLICT ({key}) {then}"
    )


_PUT_PARTS: Final = {
    "steps": _put_part("steps", "steps", "step_id"),
    "attempts": _put_part("attempts", "attempts", "attempt_id"),
    "gates": _put_part("gates", "gates", "step_id"),
    "approvals": _put_part("approvals", "approvals", "approval_id"),
    "artifacts": text(
        # The bytes of what another node holds are there.
        f"INSERT INTO artifacts ({names('artifacts')}, here)"  # noqa: S608 - see above
        f" SELECT {values('artifacts')}, x.held_by IS NULL FROM {given('artifacts', 'held_by')}"
        " ON CONFLICT (artifact_id) DO NOTHING"
    ),
    "events": _put_part("event", "events", "event_id"),
    "footprints": _put_part(
        "footprints", "footprints", "run_id, key, metric, source_ref, occurred_at"
    ),
}
_PUT_REMEMBERED: Final = {
    # In whose favour is known later than that nothing started; it is never taken back.
    "suppressions": _put_part(
        "suppressions",
        "suppressions",
        "event_id, blueprint_id",
        "DO UPDATE SET run_id = excluded.run_id"
        " WHERE suppressions.run_id IS NULL AND excluded.run_id IS NOT NULL",
    ),
    "windows": _put_part("windows", "dedupe_windows", "blueprint_id, trigger_index, key"),
    "debounced": _put_part("debounced", "debounced", "blueprint_id, trigger_index, key"),
}


# ── the index as a whole ─────────────────────────────────────────────────────────────────────────


def any_recorded(connection: Connection) -> bool:
    """Whether anything in this index says that it is in a repository."""
    return connection.execute(
        select(exists().where(EventRow.record_commit.is_not(None)))
    ).scalar_one()


def is_empty(connection: Connection) -> bool:
    """Whether the index holds no event and no run."""
    found = select(exists(select(EventRow.event_id)) | exists(select(RunRow.run_id)))
    return not connection.execute(found).scalar_one()


def known_runs(connection: Connection, run_ids: Iterable[str]) -> set[str]:
    """Which of these runs the index has."""
    ids = [uuid.UUID(run_id) for run_id in run_ids]
    return {str(run_id) for run_id in connection.execute(_KNOWN, _ids(ids)).scalars()}


_KNOWN: Final = text(f"SELECT run_id FROM runs WHERE run_id = {_IDS}")  # noqa: S608 - see above


def delete_runs(connection: Connection, run_ids: Iterable[uuid.UUID]) -> None:
    """Take runs out with their steps, attempts, gates, approvals and footprints."""
    ids = _ids(run_ids)
    connection.execute(_DELETE_FOOTPRINTS, ids)
    connection.execute(_DELETE_RUNS, ids)


_DELETE_FOOTPRINTS: Final = text(f"DELETE FROM footprints WHERE run_id = {_IDS}")  # noqa: S608 - see above
_DELETE_RUNS: Final = text(f"DELETE FROM runs WHERE run_id = {_IDS}")  # noqa: S608 - see above


def clear_finished(connection: Connection) -> None:
    """Take out all that records hold, for it to be put in anew.

    What belongs to a run that is in flight here stays: its rows know more than any
    record. So does what waits in the outbox: no record holds it yet.
    """
    unrecorded = select(OutboxRow.subject)
    in_flight = _IN_FLIGHT | RunRow.run_id.in_(unrecorded)
    here = select(RunRow.run_id).where(in_flight)
    causes = select(RunRow.event_id).where(in_flight, RunRow.event_id.is_not(None))
    connection.execute(
        delete(ArtifactRow).where(
            or_(ArtifactRow.run_id.is_(None), ArtifactRow.run_id.not_in(here)),
            ArtifactRow.artifact_id.not_in(unrecorded),
        )
    )
    connection.execute(delete(FootprintRow).where(FootprintRow.run_id.not_in(here)))
    connection.execute(delete(RunRow).where(~in_flight))
    connection.execute(
        delete(EventRow).where(
            EventRow.event_id.not_in(causes),
            EventRow.event_id.not_in(unrecorded),
            or_(EventRow.run_id.is_(None), EventRow.run_id.not_in(here)),
        )
    )


def note_rebuilt(connection: Connection, now: dt.datetime) -> None:
    """Note that the index was made anew."""
    connection.execute(update(NodeRow).values(rebuilt_at=now))


_IN_FLIGHT: Final[ColumnElement[bool]] = RunRow.status.in_(_UNFINISHED) & (
    RunRow.leased_until.is_(None) | (RunRow.leased_until < FOREVER)
)
