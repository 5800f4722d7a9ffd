"""What steps say while they run, for whoever watches: the last part of it, and not for long.

Relied on by ``run.live_log``, which writes, and by pages and the API. A text
counts as long as the claim under which its attempt runs: when the run waits or
ends, its log is an artifact, and when its worker dies, the next one says what
is so. The rows themselves go a moment later (:func:`drop`, :func:`sweep`).
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from xyn_reconciler.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveText:
    """What one attempt has said last, without secrets."""

    attempt_id: uuid.UUID
    run_id: uuid.UUID
    run_attempt: int
    """The claim (``runs.attempt``)."""
    step_id: uuid.UUID
    item_index: int | None
    number: int
    start: int
    """Characters that came before ``text`` and are gone."""
    text: str


def keep(connection: Connection, texts: Sequence[LiveText]) -> None:
    """Write what attempts have said, in place of what stood there."""
    connection.exec_driver_sql(
        "INSERT INTO live_texts"
        " (attempt_id, run_id, run_attempt, step_id, item_index, number, start, text)"
        " SELECT * FROM unnest(CAST(%s AS uuid[]), CAST(%s AS uuid[]), CAST(%s AS bigint[]),"
        " CAST(%s AS uuid[]), CAST(%s AS bigint[]), CAST(%s AS bigint[]), CAST(%s AS bigint[]),"
        " CAST(%s AS text[]))"
        " ON CONFLICT (attempt_id) DO UPDATE SET start = excluded.start, text = excluded.text",
        (
            [one.attempt_id for one in texts],
            [one.run_id for one in texts],
            [one.run_attempt for one in texts],
            [one.step_id for one in texts],
            [one.item_index for one in texts],
            [one.number for one in texts],
            [one.start for one in texts],
            [one.text for one in texts],
        ),
    )


def drop(connection: Connection, attempt_ids: Collection[uuid.UUID]) -> None:
    """Remove what these attempts said."""
    connection.exec_driver_sql(
        "DELETE FROM live_texts WHERE attempt_id = ANY(%s)", (list(attempt_ids),)
    )


def sweep(connection: Connection) -> None:
    """Remove what attempts said whose claim is over: their worker died before it could."""
    connection.exec_driver_sql(
        "DELETE FROM live_texts l WHERE NOT EXISTS (SELECT FROM runs r WHERE r.run_id = l.run_id"
        " AND r.attempt = l.run_attempt AND r.leased_until IS NOT NULL)"
    )


def of_step(connection: Connection, run_id: uuid.UUID, step: str) -> list[LiveText]:
    """What the attempts of a step (its id or key) say under the present claim; items in order."""
    rows = connection.exec_driver_sql(
        "SELECT l.attempt_id, l.run_id, l.run_attempt, l.step_id, l.item_index, l.number, l.start,"
        " l.text FROM steps s JOIN live_texts l USING (step_id) JOIN runs r ON r.run_id = s.run_id"
        " WHERE s.run_id = %s AND (s.key = %s OR s.step_id::text = %s)"
        " AND r.attempt = l.run_attempt AND r.leased_until IS NOT NULL"
        " ORDER BY l.item_index NULLS FIRST, l.number",
        (run_id, step, step),
    )
    return [LiveText(**row._mapping) for row in rows]  # noqa: SLF001 - the public name of it
