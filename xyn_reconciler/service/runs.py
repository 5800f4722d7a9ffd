"""Runs and steps: start, list, look at, cancel, run again, resolve."""

import datetime as dt
import uuid
from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Final, Literal

from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.capability import CompiledRun
from xyn_reconciler.model.dto import FootprintDto, Page, RunCreateRequest, RunDto, StepDto
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError, ProblemsError
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.run import START_GATE, ExecutionPlan
from xyn_reconciler.review.side import Side
from xyn_reconciler.run.rerun import kept
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.cursor import page
from xyn_reconciler.service.policy import authorize, permission_to_start, refuse_going_on
from xyn_reconciler.store import audit, desired, dispatch, events, footprints, outbox, runs
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.runs import NewRun
from xyn_reconciler.trigger.active import plan_node_of
from xyn_reconciler.trigger.consequences import tell_of

_SHORTEST: Final = 7
"""Digits that a commit's name is shortened to at most."""


def start_run(
    context: Context,
    actor: Principal,
    request: RunCreateRequest,
    *,
    idempotency_key: str | None = None,
    correlation_id: str,
) -> RunDto:
    """Start a blueprint by hand; ``NotFoundError`` where none of that id is active.

    The same ``idempotency_key`` of the same principal gives the same run of this node.
    """
    run_id = None
    with context.database.begin() as connection:
        if idempotency_key is not None:
            node_id = desired.read_node(connection).node_id
            run_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{node_id} {actor.id} {idempotency_key}")
        permission = permission_to_start(context, connection, actor, request.blueprint_ref)
        started = context.intake.start_run(
            connection,
            request.blueprint_ref,
            request.inputs,
            run_id=run_id,
            name=None if request.name is None else context.redactor.text(request.name),
            priority=request.priority,
            actor=actor.id,
            correlation_id=correlation_id,
            permission=permission,
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
    parent_run_id: uuid.UUID | None = None,
    wait_reasons: Collection[str] | None = None,
) -> Page[RunDto]:
    """Runs, newest first; ``parent_run_id``: those that steps of this run have started.

    ``wait_reasons``: those alone that wait for one of these.
    """
    with context.database.connect() as connection:
        return page(
            lambda most, before: runs.list_runs(
                connection,
                limit=most,
                before=before,
                status=status,
                blueprint_id=blueprint_id,
                event_id=event_id,
                parent_run_id=parent_run_id,
                wait_reasons=wait_reasons,
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
        _authorize_end(context, connection, actor, known_run(connection, run_id))
        before = runs.request_cancel(connection, run_id, by=actor.id, now=now)
        if before is None:
            raise NotFoundError(f"no run {run_id}")
        run = known_run(connection, run_id)
        if before.ended and run.status != "cancelled":
            raise ConflictError(f"run {run_id} has ended already: {run.status}")
        if not before.ended:
            dispatch.enqueue(connection, run_id, priority=run.priority)
        return run


def _authorize_end(context: Context, connection: Connection, actor: Principal, run: RunDto) -> None:
    authorize(
        context,
        connection,
        actor,
        "run.cancel",
        resource_type="blueprint",
        resource_id=run.blueprint_id,
        run_id=str(run.run_id),
    )


def rerun_run(
    context: Context,
    actor: Principal,
    run_id: uuid.UUID,
    *,
    from_step: str | None = None,
    revision: str | None = None,
    fresh: bool = False,
    correlation_id: str,
) -> RunDto:
    """Run it again: from the start or from a step, on its own revision or one that main had.

    The new run names the old one in ``origin_run_id``. With ``from_step`` the
    steps that are not behind it keep their ends; gates before what is done
    again ask anew. Idempotency keys are those of the first run, so an effect
    that it had is not repeated, unless ``fresh``. Raises ``ConflictError``
    while the run has not ended, ``NotFoundError``, ``InvalidError``.
    """
    now: dt.datetime = context.clock()
    with context.database.begin() as connection:
        origin = known_run(connection, run_id)
        if not origin.status.ended:
            raise ConflictError(f"run {run_id} has not ended: it is {origin.status}")
        permission = permission_to_start(context, connection, actor, origin.blueprint_id)
        plan, at, inputs = runs.plan_of(connection, run_id), origin.revision, origin.inputs
        if revision is not None:
            compiled, at = _compiled_at(context, connection, origin, plan, revision)
            plan, inputs = compiled.plan, compiled.inputs
        new = NewRun(
            run_id=new_id(),
            name=origin.name,
            blueprint_id=origin.blueprint_id,
            revision=at,
            plan=plan,
            plan_digest=plan.digest(),
            created_at=now,
            actor=actor.id,
            correlation_id=correlation_id,
            inputs=inputs,
            event_id=origin.event_id,
            priority=origin.priority,
            hops=1,
            origin_run_id=run_id,
            key_run_id=None if fresh else runs.key_run_id(connection, run_id),
        )
        new = permission.applied(new)
        statuses = {step.key: step.status for step in runs.list_steps(connection, run_id)}
        keys = kept(new.plan, statuses, from_step)
        audit.put(connection, permission.entries(now, by_a_person=True))
        runs.insert_runs(connection, [new])
        runs.copy_steps(connection, origin=run_id, run_id=new.run_id, keys=keys)
        outbox.put(connection, "run", [new.run_id], now)
        dispatch.enqueue(connection, new.run_id, priority=new.priority)
        context.intake.emit(connection, tell_of(new, plan.node.env_id, now))
        return known_run(connection, new.run_id)


def resolve_step(
    context: Context,
    actor: Principal,
    run_id: uuid.UUID,
    step: str,
    resolution: Literal["retry", "done", "fail"],
) -> StepDto:
    """Say what becomes of an interrupted step: try it again, take it for done, or fail it.

    ``ConflictError`` where the step asks nobody.
    """
    now: dt.datetime = context.clock()
    with context.database.begin() as connection:
        if not runs.lock(connection, run_id):
            raise NotFoundError(f"no run {run_id}")
        run = known_run(connection, run_id)
        steps = runs.list_steps(connection, run_id)
        if resolution == "fail":
            _authorize_end(context, connection, actor, run)
        else:
            agreed = any(each.key == START_GATE for each in steps)
            refuse_going_on(context, connection, actor, run.blueprint_id, agreed=agreed)
        found = find_step(steps, run_id, step)
        if run.status.ended or not runs.resolve_step(
            connection, found.step_id, resolution=resolution, by=actor.id, now=now
        ):
            raise ConflictError(f"step {found.key!r} asks nobody: it is {found.status}")
        # What a person has said must not be asked again, should the database be lost (promise P4).
        outbox.put(connection, "run", [run_id], now)
        dispatch.enqueue(connection, run_id, priority=run.priority)
        return find_step(runs.list_steps(connection, run_id), run_id, step)


def _commit_of(repository: Repository, revision: str, path: str) -> str | None:
    """Find a commit by its name, a branch's, or the beginning of its name in a file's history."""
    found = repository.resolve(revision) or repository.resolve(f"refs/heads/{revision}")
    tip = repository.resolve(MAIN)
    if found is None and tip is not None and len(revision) >= _SHORTEST:
        commits = repository.log(tip, path=path, limit=1000)
        found = next((one.sha for one in commits if one.sha.startswith(revision)), None)
    return found


def _compiled_at(
    context: Context, connection: Connection, origin: RunDto, plan: ExecutionPlan, revision: str
) -> tuple[CompiledRun, str]:
    """Compile a run's blueprint as it stood on main at a revision, for this node as it is now.

    Its packs and prompts are those of the revision. What the node may reach is not: an old
    commit must not open again what is closed by now, and what was opened since is meant. Of
    the run's inputs it gets those that it has, and for its others what an event or a default
    says; ``InvalidError`` where it cannot be run so.
    """
    repository = context.repository
    commit = _commit_of(repository, revision, plan.path)
    if commit is None:
        raise NotFoundError(f"there is no revision {revision!r}")
    if not _was_main(context, commit):
        raise ConflictError(f"{commit[:12]} was never what main says; a draft has to be promoted")
    files = repository.files(commit)
    state = DesiredState.of(load(path, blob, repository.read(blob)) for path, blob in files.items())
    settings = desired.read_node(connection).settings
    node = plan_node_of(settings) if settings else plan.node
    side = replace(Side.of(state, plan.node.id), node=node)
    if plan.blueprint_id not in side.blueprints:
        broken = state.files.get(plan.path)
        if broken is not None and broken.problems:
            raise ProblemsError(list(broken.problems))
        raise NotFoundError(f"{plan.blueprint_id} is not there at revision {commit[:12]}")
    declared = side.blueprints[plan.blueprint_id].document.get("inputs") or {}
    given = {name: value for name, value in origin.inputs.items() if name in declared}
    cause = None if origin.event_id is None else events.get_event(connection, origin.event_id)
    compiled = side.compile(plan.blueprint_id, None if cause is None else cause.event, given)
    if compiled.error is not None:
        message = f"at revision {commit[:12]}: {compiled.error['message']}"
        raise InvalidError(message, details=compiled.error)
    return compiled, commit


def _was_main(context: Context, commit: str) -> bool:
    """Whether main ever pointed there.

    Not at what one push brought together with what undid it, nor at what was merged.
    """
    tip = context.repository.resolve(MAIN)
    if tip is None or not context.repository.is_ancestor(commit, tip):
        return False
    with context.database.read() as connection:
        return commit == tip or audit.moved_to(connection, MAIN, commit)


def list_steps(context: Context, run_id: uuid.UUID) -> list[StepDto]:
    """The steps of a run in the plan's order."""
    with context.database.connect() as connection:
        known_run(connection, run_id)
        return runs.list_steps(connection, run_id)


def get_step(context: Context, run_id: uuid.UUID, step: str) -> StepDto:
    """One step, by its id or by its key in the plan."""
    return find_step(list_steps(context, run_id), run_id, step)


def list_footprints(context: Context, run_id: uuid.UUID) -> list[FootprintDto]:
    """What a run used up, step by step; a step's is there once it has ended."""
    with context.database.read() as connection:
        known_run(connection, run_id)
        return [FootprintDto(**asdict(used)) for used in footprints.of_run(connection, run_id)]


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
