"""Runs and steps: start, list, look at, cancel."""

import datetime as dt
import uuid

from xyn_reconciler.model.dto import Page, RunCreateRequest, RunDto, StepDto
from xyn_reconciler.model.errors import ConflictError, NotFoundError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.store import dispatch, notice, runs
from xyn_reconciler.store.database import Connection


def start_run(
    context: Context,
    actor: Principal,
    request: RunCreateRequest,
    *,
    idempotency_key: str | None = None,
    correlation_id: str,
) -> RunDto:
    """Start a blueprint by hand; ``NotFoundError`` where none of that id is active.

    The same ``idempotency_key`` of the same principal gives the same run.
    """
    run_id = None
    if idempotency_key is not None:
        run_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{actor.id} {idempotency_key}")
    with context.database.begin() as connection:
        started = context.intake.start_run(
            connection,
            request.blueprint_ref,
            request.inputs,
            run_id=run_id,
            name=request.name,
            priority=request.priority,
            actor=actor.id,
            correlation_id=correlation_id,
        )
        return known_run(connection, started)


def list_runs(
    context: Context,
    *,
    limit: int = 50,
    cursor: str | None = None,
    status: str | None = None,
    blueprint_id: str | None = None,
    event_id: uuid.UUID | None = None,
) -> Page[RunDto]:
    with context.database.connect() as connection:
        return page(
            lambda most, before: runs.list_runs(
                connection,
                limit=most,
                before=before,
                status=status,
                blueprint_id=blueprint_id,
                event_id=event_id,
            ),
            limit=limit,
            cursor=cursor,
            position=lambda run: (run.created_at, run.run_id),
            item=lambda run: run,
        )


def get_run(context: Context, run_id: uuid.UUID) -> RunDto:
    with context.database.connect() as connection:
        return known_run(connection, run_id)


def cancel_run(context: Context, actor: Principal, run_id: uuid.UUID) -> RunDto:
    """Ask a run to end; it is ``cancelled`` once what is under way has stopped.

    ``ConflictError`` where it has ended already, unless by an earlier cancel.
    """
    with context.database.begin() as connection:
        now: dt.datetime = context.clock()
        before = runs.request_cancel(connection, run_id, by=actor.id, now=now)
        if before is None:
            raise NotFoundError(f"no run {run_id}")
        run = known_run(connection, run_id)
        if before.ended and run.status != "cancelled":
            raise ConflictError(f"run {run_id} has ended already: {run.status}")
        if not before.ended:
            dispatch.enqueue(connection, run_id, priority=run.priority)
            notice.notify(connection, notice.RUN, str(run_id))
        return run


def list_steps(context: Context, run_id: uuid.UUID) -> list[StepDto]:
    """The steps of a run in the plan's order."""
    with context.database.connect() as connection:
        known_run(connection, run_id)
        return runs.list_steps(connection, run_id)


def get_step(context: Context, run_id: uuid.UUID, step: str) -> StepDto:
    """One step, by its id or by its key in the plan."""
    return find_step(list_steps(context, run_id), run_id, step)


def known_run(connection: Connection, run_id: uuid.UUID) -> RunDto:
    run = runs.get_run(connection, run_id)
    if run is None:
        raise NotFoundError(f"no run {run_id}")
    return run


def find_step(steps: list[StepDto], run_id: uuid.UUID, step: str) -> StepDto:
    for each in steps:
        if step in {each.key, str(each.step_id)}:
            return each
    keys = ", ".join(each.key for each in steps)
    raise NotFoundError(f"run {run_id} has no step {step!r}; it has {keys or 'none'}")
