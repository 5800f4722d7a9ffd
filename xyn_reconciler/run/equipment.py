"""What all threads of one worker share."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from xyn_reconciler.action.context import Action
from xyn_reconciler.model.capability import EmitEvents, LaunchRun
from xyn_reconciler.model.run import ExecutionPlan
from xyn_reconciler.run.crew import Crew
from xyn_reconciler.run.execute import Redactor
from xyn_reconciler.run.heartbeat import Heartbeat
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.recent import Recent

MayUseSecret: TypeAlias = Callable[[str, uuid.UUID, str], None]
"""Raises ``PermanentError`` where who caused a run (by its id) may not use a secret in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What all shifts of one worker share."""

    database: Database
    actions: Mapping[str, Action]
    artifacts: ArtifactStore
    emit: EmitEvents
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
    crew: Crew
    leftovers: Callable[[], None]
    """Removes what workers that died have left running."""
    launch: LaunchRun | None
    idempotent: frozenset[str]
    """The actions that may run again by their nature."""
