"""The node itself: health, readiness, status, reconcile."""

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler import __version__
from xyn_reconciler.model.dto import ConditionDto, HealthDto, StatusDto
from xyn_reconciler.model.errors import NotFoundError, XynError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.service.context import Context
from xyn_reconciler.store import desired, gates, outbox, runs
from xyn_reconciler.store.git import MAIN

_log = logging.getLogger(__name__)

RECORD_LAG_LIMIT: Final = dt.timedelta(minutes=5)
"""A record that waits longer for Git than this is a trouble, whatever the committer says."""

WELL: Final[Mapping[str, bool]] = {
    "Stalled": False,
    "RecordsBehind": False,
    "RecordsSetAside": False,
    "RepositoryDamaged": False,
    "EventsSetAside": False,
    "Mirrored": True,
    "Following": True,
    "SecretsReadable": True,
    "SecretCaught": False,
    "AppsRunning": True,
}
"""The status of each condition of a node that is well; the other way round is a trouble."""


def health(context: Context) -> HealthDto:
    """Whether this process serves, whatever the rest does (seed 45.2)."""
    now = context.clock()
    try:
        reasons = status(context).reasons
    except XynError as error:
        reasons = [error.message]
    return HealthDto(
        status="degraded" if reasons else "ok",
        version=__version__,
        uptime_seconds=int((now - context.started_at).total_seconds()),
        now=now,
        reasons=reasons,
    )


def readiness(context: Context) -> list[str]:
    """Why the node takes no part, a sentence each; empty when it does, even with troubles."""
    try:
        found = status(context)
    except XynError as error:
        return [error.message]
    return [] if found.ready else found.reasons


def status(context: Context) -> StatusDto:
    """What ``xynctl status`` and the head of each page show."""
    now = context.clock()
    with context.database.read() as connection:
        node = desired.read_node(connection)
        counts = runs.count_by_status(connection, failed_since=now - dt.timedelta(hours=24))
        gates_waiting = gates.count_waiting(connection)
        records_waiting, oldest = outbox.backlog(connection)
    main = context.repository.resolve(MAIN)
    lag = dt.timedelta(0) if oldest is None else max(now - oldest, dt.timedelta(0))
    missing = _missing(node, main)
    settings = node.settings
    return StatusDto(
        node_id=node.node_id,
        env_id=settings.get("env_id", "local"),
        mode=settings.get("mode", "shadow"),
        stage=settings.get("stage", "dev"),
        auth=settings.get("auth", "open"),
        version=__version__,
        url=context.url,
        last_applied_revision=node.last_applied_revision,
        last_attempted_revision=node.last_attempted_revision,
        main_revision=main,
        conditions=[
            ConditionDto(
                type=c.type, status=c.status, reason=c.reason, message=c.message, since=c.since
            )
            for c in node.conditions
        ],
        runs=counts,
        gates_waiting=gates_waiting,
        records_waiting=records_waiting,
        record_lag_seconds=round(lag.total_seconds(), 3),
        ready=not missing,
        reasons=[*missing, *_troubles(node, lag)],
    )


def _missing(node: desired.NodeState, main: str | None) -> list[str]:
    """What the node cannot take part without."""
    if main is None:
        return ["the state repository has no branch main"]
    if node.last_applied_revision is None:
        return ["no revision has been applied yet"]
    if node.last_attempted_revision != main:
        return [f"main is at {main[:12]}, which was not looked at yet"]
    return []


def _troubles(node: desired.NodeState, lag: dt.timedelta) -> list[str]:
    """What is broken while the rest goes on."""
    troubles = [c.message for c in node.conditions if WELL.get(c.type, c.status) != c.status]
    if lag > RECORD_LAG_LIMIT:
        troubles.append(f"records wait for Git since {lag.total_seconds():.0f} s")
    return troubles


def reconcile(context: Context, actor: Principal, *, dry_run: bool) -> dict[str, Any]:
    """Compare every file of ``main`` with what is active, and bring it in line.

    With ``dry_run`` nothing changes and the answer is what would.
    """
    _log.info("reconcile asked for", extra={"actor": actor.id, "dry_run": dry_run})
    if dry_run:
        judgement = context.reconciler.preview()
    else:
        judgement = context.reconciler.reconcile(everything=True)
    if judgement is None:
        raise NotFoundError("the state repository has no branch main; push one")
    return {
        "revision": judgement.revision,
        "dry_run": dry_run,
        "changes": [{"path": change.path, "kind": change.kind} for change in judgement.changes],
        "problems": [str(problem) for problem in judgement.problems],
        "remarks": [str(remark) for remark in judgement.remarks],
    }
