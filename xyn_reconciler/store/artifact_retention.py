"""Artifacts whose time is over: their rows become tombstones, which records keep.

``retention`` of ``node.yaml`` gives times by class: that which the artifact names
(``metadata.retention``), else its kind. The row comes first and the bytes go after
it (:func:`.artifact_claims.remove_unused`): at no moment does a row promise bytes
that are gone.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

from sqlalchemy import text

from xyn_reconciler.store import outbox
from xyn_reconciler.store.database import Connection

AT_ONCE: Final = 500
DEFAULT: Final = "default"

Times = Mapping[str, float | None]
"""Class -> seconds; ``None`` keeps."""

# Those of a run that goes on are in use: its log is written on. What is not here is another
# node's to bury.
_BURY: Final = text(
    "UPDATE artifacts SET deleted_at = :now WHERE artifact_id IN ("
    " SELECT a.artifact_id FROM artifacts a"
    " LEFT JOIN unnest(CAST(:classes AS text[]), CAST(:befores AS timestamptz[]))"
    " AS t (class, before) ON t.class = coalesce(a.retention, a.kind)"
    " WHERE a.deleted_at IS NULL AND a.sha256 IS NOT NULL AND a.here"
    " AND a.created_at < CASE WHEN t.class IS NULL THEN CAST(:otherwise AS timestamptz)"
    " ELSE t.before END"
    " AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = a.run_id"
    " AND r.status IN ('created', 'running', 'waiting'))"
    " ORDER BY a.created_at LIMIT :most FOR UPDATE OF a SKIP LOCKED)"
    " RETURNING artifact_id, sha256"
)


def bury(connection: Connection, times: Times, *, now: dt.datetime) -> list[str]:
    """Make tombstones of artifacts whose time is over; gives the sha256 of their bytes.

    At most :data:`AT_ONCE` of them, the oldest first. The records learn of each.
    """
    befores = {name: _before(now, seconds) for name, seconds in times.items()}
    buried = connection.execute(
        _BURY,
        {
            "now": now,
            "classes": list(befores),
            "befores": list(befores.values()),
            "otherwise": befores.get(DEFAULT),
            "most": AT_ONCE,
        },
    ).all()
    outbox.put(connection, "artifact", [artifact_id for artifact_id, _ in buried], now)
    return [sha256 for _, sha256 in buried]


def _before(now: dt.datetime, seconds: float | None) -> dt.datetime | None:
    # Before no time at all (NULL) is nothing.
    return None if seconds is None else now - dt.timedelta(seconds=seconds)
