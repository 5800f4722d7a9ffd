"""What all threads of one worker share."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from xyn_reconciler.action.context import Action
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.capability import EmitEvents, LaunchRun
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import ExecutionPlan
from xyn_reconciler.model.secret import SecretUse
from xyn_reconciler.run.crew import Crew
from xyn_reconciler.run.execute import Redactor
from xyn_reconciler.run.heartbeat import Heartbeat
from xyn_reconciler.run.live_log import LiveLogs
from xyn_reconciler.store.artifact_rows import get_artifact
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.events import Told
from xyn_reconciler.store.recent import Recent

Unheard: TypeAlias = Callable[[Sequence[Event]], Told | None]
"""Gives events to be written by whoever asks, if nobody waits to hear one (``trigger.intake``)."""

MayUseSecret: TypeAlias = Callable[[SecretUse], None]
"""Notes a use, durably; raises ``PermanentError`` where who caused the run may not use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What all shifts of one worker share."""

    database: Database
    actions: Mapping[str, Action]
    artifacts: ArtifactStore
    emit: EmitEvents
    unheard: Unheard
    redactor: Redactor
    secret: Callable[[str], str | None]
    may_use_secret: MayUseSecret
    name: str
    lease: dt.timedelta
    node_started_at: dt.datetime | None
    clock: Callable[[], dt.datetime]
    jitter: Callable[[], float]
    plans: Recent[str, ExecutionPlan]
    heartbeat: Heartbeat
    live: LiveLogs
    crew: Crew
    leftovers: Callable[[], None]
    """Removes what workers that died have left running."""
    launch: LaunchRun | None
    idempotent: frozenset[str]
    """The installed actions that may run again by their nature."""

    def actions_of(self, plan: ExecutionPlan) -> Mapping[str, Action]:
        """Give the actions that a plan's steps may name: installed ones, and those of its packs."""
        if not plan.packs:
            return self.actions
        from xyn_reconciler.action.pack_action import PackAction  # noqa: PLC0415 - by packs alone

        of_packs = {
            name: PackAction(name, definition, pack, self.actions)
            for pack in plan.packs.values()
            for name, definition in pack.actions.items()
        }
        return {**of_packs, **self.actions}

    def idempotent_of(self, plan: ExecutionPlan) -> frozenset[str]:
        """Give the actions of a plan that may run again by their nature."""
        if not plan.packs:
            return self.idempotent
        return self.idempotent | {
            name
            for pack in plan.packs.values()
            for name, definition in pack.actions.items()
            if definition.get("idempotent", False)
        }

    def open_artifact(self, artifact_id: uuid.UUID) -> tuple[Artifact, BinaryIO]:
        """Open what is kept here; ``NotFoundError`` for what is not, or not yet uploaded."""
        with self.database.read() as connection:
            found = get_artifact(connection, artifact_id)
        if found is None or found.sha256 is None:
            raise NotFoundError(f"there is no artifact {artifact_id}, or no bytes of it yet")
        return found, self.artifacts.open(found.sha256)
