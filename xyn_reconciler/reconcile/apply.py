"""Make a judged revision active, or note that it was refused; each in one transaction.

The loop calls these and nothing else writes desired state. Documents, node row,
conditions and events stand or fall together, and whoever reads the node row sees
all of it or none.

The trap: ``emit`` may start runs on what is applied here, so events come last.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xyn_reconciler.desired.load import Loaded, kind_of
from xyn_reconciler.desired.validate import DesiredState, not_runnable
from xyn_reconciler.model.capability import Catalogue, EmitEvents
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import (
    BlueprintActivated,
    BlueprintRetired,
    EventData,
    ReconcileFailed,
    ReconcileStarted,
    ReconcileSucceeded,
    internal_event,
)
from xyn_reconciler.reconcile.judge import Judgement, Known
from xyn_reconciler.reconcile.node_settings import Settings, settings_of
from xyn_reconciler.store import desired, notice
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.desired import Document, NodeState

_SHOWN_PROBLEMS = 20


def apply(
    connection: Connection,
    node: NodeState,
    known: Known,
    judgement: Judgement,
    *,
    catalogue: Catalogue,
    emit: EmitEvents,
    now: dt.datetime,
) -> Known:
    """Make a revision without problems active; give what is known after the commit.

    ``node`` is the row as locked by this transaction.
    """
    sequence = node.applied_sequence + 1
    settings = settings_of(node.node_id, _definitions(judgement.state))
    desired.apply_documents(
        connection,
        upserts=_documents(judgement, catalogue, settings, now),
        retired=[change.path for change in judgement.changes if change.kind == "retire"],
        revision=judgement.revision,
        sequence=sequence,
        now=now,
    )
    # What a pack brings may run on this node, or no longer, whoever uses it.
    packs_changed = any(kind_of(change.path) == "pack" for change in judgement.changes)
    if settings != node.settings or packs_changed:
        refresh_conditions(connection, judgement.state, catalogue, settings, now=now)
    desired.save_applied(
        connection,
        revision=judgement.revision,
        sequence=sequence,
        settings=settings,
        # What was set aside under another revision says nothing of this one.
        conditions=[
            each
            for each in _merged(node, _applied(judgement.revision, now))
            if each.type != "EventsSetAside"
        ],
        now=now,
    )
    notice.notify(connection, notice.APPLIED, str(sequence))
    emit(connection, _told(node, known, judgement, settings["env_id"], now))
    return Known(judgement.state, judgement.revision, sequence, node.database_id)


def confirm(connection: Connection, revision: str, now: dt.datetime) -> None:
    """Say that what is in ``main`` is active: whatever stood in the way before is over."""
    for condition in _applied(revision, now):
        desired.set_condition(connection, condition)


def stall(connection: Connection, reason: str, message: str, now: dt.datetime) -> None:
    """Say that reconciling cannot go on; what was active stays active."""
    desired.set_condition(connection, Condition("Ready", False, reason, message, now))  # noqa: FBT003 - its status
    desired.set_condition(connection, Condition("Stalled", True, reason, message, now))  # noqa: FBT003 - its status


def refresh_conditions(
    connection: Connection,
    state: DesiredState,
    catalogue: Catalogue,
    settings: Settings,
    *,
    now: dt.datetime,
) -> None:
    """Say anew of every blueprint whether it can run here: node or software may be others."""
    before = desired.document_conditions(connection, "blueprint")
    after = {path: _not_runnable(state, path, catalogue, settings, now) for path in before}
    desired.save_document_conditions(
        connection,
        {
            path: conditions
            for path, conditions in after.items()
            if _plain(conditions) != _plain(before[path])
        },
    )


def _plain(conditions: Iterable[Condition]) -> list[tuple[str, str]]:
    """What a condition says, without since when."""
    return [(each.reason, each.message) for each in conditions]


def _definitions(state: DesiredState) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return ((path, each.document) for path, each in state.few.items() if each.kind == "node")


def refuse(
    connection: Connection,
    node: NodeState,
    revision: str,
    problems: Sequence[Problem],
    *,
    emit: EmitEvents,
    now: dt.datetime,
) -> None:
    """Note that a revision was looked at and is not applied; what was active stays active."""
    message = _refusal(revision, problems)
    desired.save_attempted(
        connection, revision=revision, conditions=_merged(node, _refused(message, now)), now=now
    )
    if node.last_attempted_revision == revision:
        return  # looked at again, told once
    told = [*map(str, problems[:_SHOWN_PROBLEMS])]
    failed = ReconcileFailed(revision=revision, reason="ValidationFailed", problems=told)
    started = ReconcileStarted(revision=revision, from_revision=node.last_applied_revision)
    env_id = str(node.settings.get("env_id", "local"))
    emit(connection, [*_events([started, failed], revision, env_id, now)])


def _documents(
    judgement: Judgement, catalogue: Catalogue, settings: Settings, now: dt.datetime
) -> list[Document]:
    return [
        Document(
            **judgement.state.files[change.path].to_row(),
            conditions=_not_runnable(judgement.state, change.path, catalogue, settings, now),
        )
        for change in judgement.changes
        if change.kind != "retire"
    ]


def _not_runnable(
    state: DesiredState, path: str, catalogue: Catalogue, settings: Settings, now: dt.datetime
) -> tuple[Condition, ...]:
    found = not_runnable(state, path, catalogue, settings)
    if found is None:
        return ()
    return (Condition("NotRunnable", True, found.reason, found.message, now),)  # noqa: FBT003 - its status


def _told(
    node: NodeState, known: Known, judgement: Judgement, env_id: str, now: dt.datetime
) -> list[Event]:
    revision = judgement.revision
    before = _blueprints(known.state.files.get(change.path) for change in judgement.changes)
    after = _blueprints(judgement.state.files.get(change.path) for change in judgement.changes)
    activated = sorted(after.items())
    # A blueprint that only moved to another file is not retired.
    retired = sorted((name, path) for name, path in before.items() if name not in after)
    data: list[tuple[EventData, str]] = [
        (ReconcileStarted(revision=revision, from_revision=node.last_applied_revision), revision),
        *(
            (BlueprintActivated(blueprint_id=name, path=path, revision=revision), name)
            for name, path in activated
        ),
        *(
            (BlueprintRetired(blueprint_id=name, path=path, revision=revision), name)
            for name, path in retired
        ),
        (
            ReconcileSucceeded(revision=revision, activated=len(activated), retired=len(retired)),
            revision,
        ),
    ]
    correlation = str(uuid.uuid4())
    return [
        internal_event(
            each, resource_id=resource, env_id=env_id, now=now, correlation_id=correlation
        )
        for each, resource in data
    ]


def _events(
    data: Iterable[EventData], revision: str, env_id: str, now: dt.datetime
) -> Iterable[Event]:
    correlation = str(uuid.uuid4())
    for each in data:
        yield internal_event(
            each, resource_id=revision, env_id=env_id, now=now, correlation_id=correlation
        )


def _blueprints(files: Iterable[Loaded | None]) -> dict[str, str]:
    """Blueprint id to path."""
    return {
        loaded.document_id: loaded.path
        for loaded in files
        if loaded is not None and loaded.kind == "blueprint"
    }


def _merged(node: NodeState, conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    merged = node.conditions
    for condition in conditions:
        merged = desired.with_condition(merged, condition)
    return merged


def _applied(revision: str, now: dt.datetime) -> list[Condition]:
    message = f"revision {revision[:12]} is active"
    return [
        Condition("Ready", True, "Applied", message, now),  # noqa: FBT003 - its status
        Condition("Reconciling", False, "Applied", message, now),  # noqa: FBT003 - its status
        Condition("Stalled", False, "Applied", message, now),  # noqa: FBT003 - its status
    ]


def _refused(message: str, now: dt.datetime) -> list[Condition]:
    return [
        Condition("Ready", False, "ValidationFailed", message, now),  # noqa: FBT003 - its status
        Condition("Reconciling", False, "ValidationFailed", message, now),  # noqa: FBT003 - its status
        Condition("Stalled", True, "ValidationFailed", message, now),  # noqa: FBT003 - its status
    ]


def _refusal(revision: str, problems: Sequence[Problem]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"revision {revision[:12]} is not applied: {problems[0]}{more}"
