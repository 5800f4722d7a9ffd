"""Runs and their steps: made in bulk, found by what they wait for, read page by page.

How a worker holds one run and writes to it is in :mod:`.claims`. Nothing but
its holder writes a run's or a step's status; people write to gates and to
``cancel_requested_at``, under the lock of the run's row.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    ColumnElement,
    Uuid,
    and_,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)

from xyn_reconciler.model.run import (
    ExecutionPlan,
    RunStatus,
    StepStatus,
    step_id,
)
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_rows import insert as insert_rows
from xyn_reconciler.store.json_rows import rows_text
from xyn_reconciler.store.json_text import storable
from xyn_reconciler.store.pipeline import Asked, send
from xyn_reconciler.store.recent import Recent
from xyn_reconciler.store.tables import (
    PlanRow,
    RunRow,
    StepRow,
)

if TYPE_CHECKING:
    # Shapes of pages: 6 MiB that a worker, which only advances runs, does not need.
    from xyn_reconciler.model.dto import RunDto, StepDto

UNFINISHED: Final = ("created", "running", "waiting")

LATE: Final = dt.timedelta(seconds=5)
"""A run that waits for its first worker longer than this may have lost its job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be inserted; with ``error`` it is born failed (its inputs did not fit)."""

    run_id: uuid.UUID
    name: str
    blueprint_id: str
    revision: str
    plan: ExecutionPlan
    plan_digest: str
    created_at: dt.datetime
    actor: str
    correlation_id: str
    inputs: dict[str, Any]
    event_id: uuid.UUID | None = None
    priority: int = 0
    hops: int = 0
    error: dict[str, Any] | None = None
    origin_run_id: uuid.UUID | None = None
    parent_step_id: uuid.UUID | None = None
    concurrency_key: str | None = None
    key_run_id: uuid.UUID | None = None


# ── making ───────────────────────────────────────────────────────────────────────────────────────


def insert_runs(connection: Connection, runs: Sequence[NewRun]) -> list[uuid.UUID]:
    """Insert runs with their steps and plans; give the ids that are new, in the given order.

    A second run of one (blueprint, event) is left out: the first stands
    (``runs_one_per_event``). One statement, however many runs.
    """
    if not runs:
        return []
    new = {row[0] for row in send(connection, [insertion(runs)])}
    return [run.run_id for run in runs if run.run_id in new]


def insertion(runs: Sequence[NewRun]) -> Asked:
    """Give the statement of :func:`insert_runs`, to be sent along with others."""
    return _INSERT, given(runs)


def given(runs: Sequence[NewRun]) -> dict[str, str]:
    """Give the parameters of :func:`inserting`."""
    return {
        "plans": _plans_text({run.plan_digest: run for run in runs}),
        "runs": rows_text(_run_values(run) for run in runs),
        "steps": rows_text(values for run in runs for values in _step_values(run)),
    }


def _plans_text(runs: Mapping[str, NewRun]) -> str:
    """Write the rows of plans, given a run of each by digest."""
    digests = tuple(sorted(runs))  # in one order: two intakes never deadlock
    return _PLAN_TEXTS.get(digests) or _PLAN_TEXTS.put(
        digests,
        rows_text(
            {
                "digest": digest,
                "plan": runs[digest].plan.to_json(),
                "created_at": runs[digest].created_at,
            }
            for digest in digests
        ),
    )


_PLAN_TEXTS: Final[Recent[tuple[str, ...], str]] = Recent(16)
"""Events start runs of the same plans again and again, and a plan may hold a pack's files."""

_RUN_GIVEN: Final = (
    "run_id",
    "name",
    "blueprint_id",
    "revision",
    "plan_digest",
    "status",
    "priority",
    "created_at",
    "completed_at",
    "actor",
    "correlation_id",
    "event_id",
    "inputs",
    "error",
    "warnings",
    "hops",
    "origin_run_id",
    "parent_step_id",
    "concurrency_key",
    "key_run_id",
    "attempt",
)
_STEP_GIVEN: Final = (
    "step_id",
    "run_id",
    "key",
    "name",
    "kind",
    "position",
    "status",
    "attempt",
    "interruptions",
)
_ONCE: Final = " ON CONFLICT DO NOTHING"
_OF_NEW: Final = " WHERE n.run_id IN (SELECT run_id FROM new)"


def inserting(plans: str = "", runs: str = "") -> str:
    """Write the parts of a statement that insert runs, of them ``new`` (run_id, status).

    Both are conditions on what is given.
    """
    parts = (
        f"plan AS ({insert_rows(PlanRow, ('digest', 'plan', 'created_at'), plans + _ONCE)}),"
        f" new AS ({insert_rows(RunRow, _RUN_GIVEN, f'{runs}{_ONCE} RETURNING run_id, status')}),"
        f" step AS ({insert_rows(StepRow, _STEP_GIVEN, _OF_NEW)})"
    )
    return parts % ("%(plans)s", "%(runs)s", "%(steps)s")


_INSERT: Final = f"WITH {inserting()} SELECT run_id FROM new".encode()  # noqa: S608 - names from here


def _run_values(run: NewRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "name": storable(run.name),
        "blueprint_id": run.blueprint_id,
        "revision": run.revision,
        "plan_digest": run.plan_digest,
        "status": RunStatus.CREATED if run.error is None else RunStatus.FAILED,
        "priority": run.priority,
        "created_at": run.created_at,
        "completed_at": None if run.error is None else run.created_at,
        "actor": storable(run.actor),
        "correlation_id": storable(run.correlation_id),
        "event_id": run.event_id,
        "inputs": run.inputs,
        "error": run.error,
        "warnings": 0,
        "hops": run.hops,
        "origin_run_id": run.origin_run_id,
        "parent_step_id": run.parent_step_id,
        "concurrency_key": None if run.concurrency_key is None else storable(run.concurrency_key),
        "key_run_id": run.key_run_id,
        "attempt": 0,
    }


def _step_values(run: NewRun) -> Iterable[dict[str, Any]]:
    for position, planned in enumerate((*run.plan.steps, *run.plan.on_failure)):
        yield {
            "step_id": step_id(run.run_id, planned.key),
            "run_id": run.run_id,
            "key": planned.key,
            "name": storable(planned.name),
            "kind": planned.kind,
            "position": position,
            "status": StepStatus.CREATED if run.error is None else StepStatus.SKIPPED,
            "attempt": 0,
            "interruptions": 0,
        }


# ── asking and stopping ──────────────────────────────────────────────────────────────────────────


def request_cancel(
    connection: Connection, run_id: uuid.UUID, *, by: str, now: dt.datetime
) -> RunStatus | None:
    """Ask for the end of a run: the status it has now, ``None`` where there is no such run.

    The first request stands; one that has ended is left as it is.
    """
    row = connection.execute(
        select(RunRow.status, RunRow.cancel_requested_at)
        .where(RunRow.run_id == run_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    status = RunStatus(row.status)
    if not status.ended and row.cancel_requested_at is None:
        connection.execute(
            update(RunRow)
            .where(RunRow.run_id == run_id)
            .values(cancel_requested_at=now, cancelled_by=by, available_at=now)
        )
    return status


def set_parent(
    connection: Connection, run_id: uuid.UUID, *, parent_step_id: uuid.UUID, hops: int
) -> None:
    """Note which step a run was started by, and how many runs lie behind it."""
    connection.execute(
        update(RunRow)
        .where(RunRow.run_id == run_id)
        .values(parent_step_id=parent_step_id, hops=hops)
    )


def wake_parents(
    connection: Connection, steps: Sequence[uuid.UUID], *, now: dt.datetime
) -> list[tuple[uuid.UUID, int]]:
    """Let the runs of these steps be looked at now: (run_id, priority) of each."""
    rows = connection.exec_driver_sql(
        "UPDATE runs SET available_at = %s WHERE status IN ('running', 'waiting')"
        " AND run_id IN (SELECT run_id FROM steps WHERE step_id = ANY(%s))"
        " RETURNING run_id, priority",
        (now, list(steps)),
    )
    return [(row[0], row[1]) for row in rows]


def plan_of(connection: Connection, run_id: uuid.UUID) -> ExecutionPlan:
    """Read the plan of a run; raises ``NoResultFound`` without the run."""
    plan = connection.execute(
        select(PlanRow.plan)
        .join(RunRow, RunRow.plan_digest == PlanRow.digest)
        .where(RunRow.run_id == run_id)
    ).scalar_one()
    return ExecutionPlan.model_validate(plan)


def key_run_id(connection: Connection, run_id: uuid.UUID) -> uuid.UUID:
    """Give the run whose id stands in a run's idempotency keys: its own, or its origin's."""
    known = select(RunRow.key_run_id, RunRow.run_id).where(RunRow.run_id == run_id)
    origin, own = connection.execute(known).one()
    return origin or own


def copy_steps(
    connection: Connection, *, origin: uuid.UUID, run_id: uuid.UUID, keys: Sequence[str]
) -> None:
    """Give steps of a re-run the ends that they came to in the run it repeats."""
    connection.exec_driver_sql(
        "UPDATE steps n SET status = o.status, attempt = o.attempt, started_at = o.started_at,"
        " completed_at = o.completed_at, logs_artifact_id = o.logs_artifact_id,"
        " inputs = o.inputs, outputs = o.outputs, error = o.error"
        " FROM steps o WHERE n.run_id = %s AND o.run_id = %s AND n.key = o.key"
        " AND n.key = ANY(%s)",
        (run_id, origin, list(keys)),
    )


def resolve_step(
    connection: Connection,
    step_id: uuid.UUID,
    *,
    resolution: str,
    by: str,
    now: dt.datetime,
) -> bool:
    """Note what a person chose for an interrupted step; false where nobody is asked.

    The caller holds the run's row (:func:`lock`).
    """
    row = connection.exec_driver_sql(
        "UPDATE steps SET resolution = %s, resolved_by = %s"
        " WHERE step_id = %s AND status = 'interrupted' AND resolution IS NULL RETURNING run_id",
        (resolution, by, step_id),
    ).one_or_none()
    if row is not None:
        connection.execute(
            update(RunRow).where(RunRow.run_id == row.run_id).values(available_at=now)
        )
    return row is not None


def uses(connection: Connection, action: str) -> bool:
    """Whether any run that is known here has a step of this action in its plan."""
    found = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM plans WHERE position(%s IN plan::text) > 0)", (f'"{action}"',)
    )
    return bool(found.scalar_one())


def left(connection: Connection, run_ids: Collection[uuid.UUID], *, worker: str) -> list[uuid.UUID]:
    """Those of the runs that are known here, and that this worker holds or nobody."""
    found = connection.exec_driver_sql(
        "SELECT run_id FROM runs WHERE run_id = ANY(%s)"
        " AND (leased_until IS NULL OR leased_by = %s)",
        (list(run_ids), worker),
    )
    return list(found.scalars())


def lock_all(connection: Connection, run_ids: Sequence[uuid.UUID]) -> None:
    """Wait for whoever changes these runs, and keep others from it."""
    connection.exec_driver_sql(
        "SELECT FROM runs WHERE run_id = ANY(%s) ORDER BY run_id FOR UPDATE", (list(run_ids),)
    )


def lock(connection: Connection, run_id: uuid.UUID) -> bool:
    """Keep workers from taking a run up, to the end of the transaction; false without it."""
    wanted = select(RunRow.run_id).where(RunRow.run_id == run_id).with_for_update()
    return connection.execute(wanted).one_or_none() is not None


def runnable(
    connection: Connection, *, now: dt.datetime, limit: int
) -> list[tuple[uuid.UUID, int]]:
    """Find runs that could go on and have no job: (run_id, priority), the oldest first.

    Created and never taken up for :data:`LATE`, waiting for a moment that has
    come, or held by a worker whose lease has lapsed.
    """
    due = or_(
        and_(
            RunRow.status == "created",
            RunRow.wait_reason.is_(None),
            RunRow.created_at < now - LATE,
        ),
        and_(RunRow.status == "waiting", RunRow.available_at <= now),
        RunRow.status == "running",
    )
    rows = connection.execute(
        select(RunRow.run_id, RunRow.priority)
        .where(
            due,
            RunRow.status.in_(UNFINISHED),
            or_(RunRow.leased_until.is_(None), RunRow.leased_until < now),
            RunRow.run_id.not_in(select(_RUNS_WITH_A_JOB.c.run_id)),
        )
        .order_by(RunRow.created_at)
        .limit(limit)
    )
    return [(row.run_id, row.priority) for row in rows]


def due(connection: Connection, *, now: dt.datetime, limit: int) -> list[uuid.UUID]:
    """Find runs that could go on and that nobody holds, told of or not.

    Waiting for a moment that has come, left or handed over by a worker, or
    created and never taken up for :data:`LATE`. In the queue's order: the most
    urgent first, of equal ones the oldest.
    """
    rows = connection.exec_driver_sql(_DUE, {"now": now, "late": now - LATE, "limit": limit})
    return list(rows.scalars())


# A part each, so that each has its index: the last may be the whole backlog, and is read in order.
_DUE: Final = """
WITH due AS (
  SELECT run_id, priority, created_at, leased_until FROM runs WHERE status = 'running'
  UNION
  SELECT run_id, priority, created_at, leased_until FROM runs
  WHERE status IN ('waiting', 'created') AND available_at <= %(now)s
  UNION
  (SELECT run_id, priority, created_at, leased_until FROM runs
   WHERE status = 'created' AND wait_reason IS NULL AND created_at < %(late)s
     AND leased_until IS NULL
   ORDER BY priority DESC, created_at LIMIT %(limit)s)
)
SELECT run_id FROM due WHERE leased_until IS NULL OR leased_until < %(now)s
ORDER BY priority DESC, created_at LIMIT %(limit)s
"""

_RUNS_WITH_A_JOB: Final = (
    text(
        "SELECT CAST(args ->> 'run_id' AS uuid) AS run_id FROM procrastinate_jobs"
        " WHERE status = 'todo' AND args ->> 'run_id' IS NOT NULL"
        " AND coalesce(scheduled_at, now()) <= now()"
    )
    .columns(run_id=Uuid)
    .subquery()
)
"""Runs that a queued job will wake; a job under way may already have looked past the change."""


# ── listing ──────────────────────────────────────────────────────────────────────────────────────

_PARENT_RUN: Final = (
    select(StepRow.run_id)
    .where(StepRow.step_id == RunRow.parent_step_id)
    .scalar_subquery()
    .label("parent_run_id")
)


def get_run(connection: Connection, run_id: uuid.UUID) -> "RunDto | None":
    row = connection.execute(
        select(*_columns_of_runs()).where(RunRow.run_id == run_id)
    ).one_or_none()
    return None if row is None else _run(row)


def cause_of(connection: Connection, run_id: uuid.UUID) -> tuple[str, int] | None:
    """Give who caused a run, and how many runs lie between it and what began it all."""
    row = connection.execute(
        select(RunRow.actor, RunRow.hops).where(RunRow.run_id == run_id)
    ).one_or_none()
    return None if row is None else (row.actor, row.hops)


def list_runs(
    connection: Connection,
    *,
    limit: int,
    before: tuple[dt.datetime, uuid.UUID] | None = None,
    status: str | None = None,
    blueprint_id: str | None = None,
    event_id: uuid.UUID | None = None,
    parent_run_id: uuid.UUID | None = None,
    wait_reasons: Collection[str] | None = None,
) -> "list[RunDto]":
    """Runs newest first by (created_at, run_id), from just after ``before`` on."""
    wanted = select(*_columns_of_runs()).order_by(RunRow.created_at.desc(), RunRow.run_id.desc())
    if before is not None:
        wanted = wanted.where(tuple_(RunRow.created_at, RunRow.run_id) < before)
    if status is not None:
        wanted = wanted.where(RunRow.status == status)
    if blueprint_id is not None:
        wanted = wanted.where(RunRow.blueprint_id == blueprint_id)
    if event_id is not None:
        wanted = wanted.where(RunRow.event_id == event_id)
    if parent_run_id is not None:
        starters = select(StepRow.step_id).where(StepRow.run_id == parent_run_id)
        wanted = wanted.where(RunRow.parent_step_id.in_(starters))
    if wait_reasons is not None:
        wanted = wanted.where(RunRow.status == "waiting", RunRow.wait_reason.in_(wait_reasons))
    return [_run(row) for row in connection.execute(wanted.limit(limit))]


def list_steps(connection: Connection, run_id: uuid.UUID) -> "list[StepDto]":
    """The steps of a run in the plan's order, those of ``on_failure`` last."""
    rows = connection.execute(
        select(*_columns_of_steps()).where(StepRow.run_id == run_id).order_by(StepRow.position)
    )
    return [_step(row) for row in rows]


def count_by_status(connection: Connection, *, failed_since: dt.datetime) -> dict[str, int]:
    """Unfinished runs by status, and under ``failed`` those that failed since that moment."""
    unfinished = connection.execute(
        select(RunRow.status, func.count())
        .where(RunRow.status.in_(UNFINISHED))
        .group_by(RunRow.status)
    )
    counts = dict.fromkeys(UNFINISHED, 0) | {row[0]: row[1] for row in unfinished}
    counts["failed"] = connection.execute(
        select(func.count()).where(RunRow.status == "failed", RunRow.completed_at >= failed_since)
    ).scalar_one()
    return counts


@cache
def _columns_of_runs() -> tuple[ColumnElement[Any], ...]:
    from xyn_reconciler.model.dto import RunDto  # noqa: PLC0415 - as said above

    return tuple(
        _PARENT_RUN if name == _PARENT_RUN.name else RunRow.__table__.c[name]
        for name in RunDto.model_fields
    )


@cache
def _columns_of_steps() -> tuple[ColumnElement[Any], ...]:
    from xyn_reconciler.model.dto import StepDto  # noqa: PLC0415 - as said above

    return tuple(StepRow.__table__.c[name] for name in StepDto.model_fields)


def _run(row: Any) -> "RunDto":  # noqa: ANN401 - a row of those columns
    from xyn_reconciler.model.dto import RunDto  # noqa: PLC0415 - as said above

    return RunDto.model_validate(dict(row._mapping))  # noqa: SLF001 - SQLAlchemy's public name


def _step(row: Any) -> "StepDto":  # noqa: ANN401 - a row of those columns
    from xyn_reconciler.model.dto import StepDto  # noqa: PLC0415 - as said above

    return StepDto.model_validate(dict(row._mapping))  # noqa: SLF001 - SQLAlchemy's public name
