"""Events that steps emit, and artifacts that they read; as whoever caused the run."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.model.errors import DeniedError, NotFoundError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.ids import new_id
from xyn_reconciler.model.run import step_id as id_of_step
from xyn_reconciler.service.context import Ruled
from xyn_reconciler.service.identity import rules
from xyn_reconciler.store import artifact_rows, runs
from xyn_reconciler.trigger.intake import HERE

SOURCE: Final = "run"
"""The source of these events; a webhook source cannot be called so."""


def emit_of_run(
    context: Ruled,
    *,
    event_name: str,
    data: Mapping[str, Any],
    resource: Mapping[str, str] | None,
    run_id: uuid.UUID,
    step_id: uuid.UUID,
    item: int | None,
    correlation_id: str,
) -> uuid.UUID:
    """As :class:`~xyn_reconciler.model.capability.EmitEvent` says.

    The step and its item are the delivery id: a delivery is taken in once.
    """
    actor, hops = _cause(context, run_id)
    event = Event(
        event_id=new_id(),
        event_name=event_name,
        occurred_at=context.clock(),
        env_id=HERE,
        actor=actor,
        correlation_id=correlation_id,
        run_id=run_id,
        step_id=step_id,
        resource=None if resource is None else dict(resource),
        data=dict(data),
        source=SOURCE,
        delivery_id=str(step_id),
        delivery_item=0 if item is None else item,
        hops=hops,
    )
    return context.intake.take_in_together(context.database, [event]).event_ids[0]


def find_artifact_of_run(
    context: Ruled,
    *,
    artifact_id: uuid.UUID | None,
    run_id: uuid.UUID,
    step: str | None,
    name: str | None,
    reader: uuid.UUID,
) -> uuid.UUID:
    """As :class:`~xyn_reconciler.model.capability.FindArtifact` says.

    What its own run kept a step may read; of anything else the rules are asked.
    """
    with context.database.read() as connection:
        if artifact_id is not None:
            found = artifact_rows.get_artifact(connection, artifact_id)
        else:
            of_step = id_of_step(run_id, step or "")
            found = artifact_rows.newest_of_step(connection, of_step, name or "")
    if found is None:
        what = artifact_id or f"{name!r} of step {step!r} in run {run_id}"
        raise NotFoundError(f"there is no artifact {what}")
    if found.run_id != reader:
        _refuse_reading(context, reader)
    return found.artifact_id


def _refuse_reading(context: Ruled, reader: uuid.UUID) -> None:
    actor, _ = _cause(context, reader)
    ruling = rules(context)
    asked = ruling.ask(ruling.principal(actor), "records.read", context.clock())
    if asked.outcome != "allowed":
        raise DeniedError(f"{actor} may not read what other runs kept: {asked.decision.sentence}")


def _cause(context: Ruled, run_id: uuid.UUID) -> tuple[str, int]:
    with context.database.read() as connection:
        found = runs.cause_of(connection, run_id)
    if found is None:
        raise NotFoundError(f"no run {run_id}")
    return found
