"""Who holds the slots of a shared limit, who waits for one, and in which order.

A slot is no row of its own: a run that has begun and not ended holds one, so
every ending frees it, however it comes about, and no crash can leak it. A run
that waits for one is still ``created``.

The trap: to look and to begin are two moments. Whoever decides about a key, or
ends a run that has one, first takes the key's lock (:func:`lock`), all keys of
its transaction at once.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xyn_reconciler.store.database import Connection


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands that wants a slot."""

    holders: tuple[uuid.UUID, ...]
    """Runs that have one, the oldest first."""
    before: int
    """Runs that wait and are older."""


def lock(connection: Connection, keys: Iterable[str]) -> None:
    """Wait for the locks of these keys and hold them to the end of the transaction."""
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtextextended(key, 0))"
        " FROM unnest(CAST(%s AS text[])) AS n (key)",
        (sorted(set(keys)),),
    )


def standing(
    connection: Connection, wanted: Sequence[tuple[uuid.UUID, str, dt.datetime]]
) -> dict[uuid.UUID, Standing]:
    """Say for each (run, key, created_at) who is before it."""
    rows = connection.exec_driver_sql(
        "SELECT n.run_id, ARRAY(SELECT h.run_id FROM runs h WHERE h.concurrency_key = n.key"
        " AND h.status IN ('running', 'waiting') ORDER BY h.created_at, h.run_id),"
        " (SELECT count(*) FROM runs o WHERE o.concurrency_key = n.key AND o.status = 'created'"
        " AND (o.created_at, o.run_id) < (n.created_at, n.run_id))"
        " FROM unnest(CAST(%s AS uuid[]), CAST(%s AS text[]), CAST(%s AS timestamptz[]))"
        " AS n (run_id, key, created_at)",
        ([run for run, _, _ in wanted], [key for _, key, _ in wanted], [at for *_, at in wanted]),
    )
    return {row[0]: Standing(tuple(row[1]), row[2]) for row in rows}


def keep_keys(connection: Connection, keys: Iterable[tuple[uuid.UUID, str]]) -> None:
    """Note the keys of runs that came without."""
    given = list(keys)
    connection.exec_driver_sql(
        "UPDATE runs r SET concurrency_key = n.key"
        " FROM unnest(CAST(%s AS uuid[]), CAST(%s AS text[])) AS n (run_id, key)"
        " WHERE r.run_id = n.run_id",
        ([run_id for run_id, _ in given], [key for _, key in given]),
    )


def cancel_others(
    connection: Connection, run_id: uuid.UUID, key: str, *, by: str, now: dt.datetime
) -> list[tuple[uuid.UUID, int]]:
    """Ask for the end of older runs of a key that have passed no gate: (run_id, priority).

    One whose row somebody has at the moment is left for the next look.
    """
    rows = connection.exec_driver_sql(
        "UPDATE runs SET cancel_requested_at = %s, cancelled_by = %s, available_at = %s"
        " WHERE run_id IN (SELECT o.run_id FROM runs o, runs n WHERE n.run_id = %s"
        " AND o.concurrency_key = %s AND o.status IN ('created', 'running', 'waiting')"
        " AND o.cancel_requested_at IS NULL"
        " AND (o.created_at, o.run_id) < (n.created_at, n.run_id)"
        " AND NOT EXISTS (SELECT FROM steps s WHERE s.run_id = o.run_id AND s.kind = 'gate'"
        " AND s.status = 'completed') FOR UPDATE OF o SKIP LOCKED)"
        " RETURNING run_id, priority",
        (now, by, now, run_id, key),
    )
    return [(row[0], row[1]) for row in rows]


def wake_next(
    connection: Connection, key: str, limit: int, *, now: dt.datetime
) -> list[tuple[uuid.UUID, int]]:
    """Let the runs that are next in line be looked at now: (run_id, priority) of each."""
    rows = connection.exec_driver_sql(
        "UPDATE runs SET available_at = %s WHERE run_id IN (SELECT run_id FROM runs"
        " WHERE concurrency_key = %s AND status = 'created'"
        " ORDER BY created_at, run_id LIMIT %s FOR UPDATE SKIP LOCKED)"
        " RETURNING run_id, priority",
        (now, key, limit),
    )
    return [(row[0], row[1]) for row in rows]
