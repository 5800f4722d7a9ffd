"""What one transaction writes of runs, however many they are: one statement.

The engine's turns over many runs share a commit, so their changes are gathered
in a :class:`Turn` and go to the server as one statement, their rows as
:mod:`.json_rows`. What is told of them goes with it where nobody waits to hear
it (:class:`.events.Told`).

The statement writes all or nothing: nothing where a run has been lost or
cancelled, or where another revision is active than the one that says so. It may
therefore be a whole transaction, for a claim that was not looked at before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from xyn_reconciler.store.claims import Token
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.events import TOLD, Told, told_rows
from xyn_reconciler.store.json_rows import Row, insert, rows_text, update
from xyn_reconciler.store.notice import OUTBOX
from xyn_reconciler.store.pipeline import send
from xyn_reconciler.store.tables import (
    ArtifactRow,
    AttemptRow,
    EventRow,
    FootprintRow,
    GateRow,
    OutboxRow,
    RunRow,
    StepRow,
)

RUN_COLUMNS: Final = (
    "run_id",
    "status",
    "wait_reason",
    "started_at",
    "completed_at",
    "deadline_at",
    "available_at",
    "waiting_since",
    "outputs",
    "error",
    "warnings",
    "concurrency_key",
    "attempt",
    "leased_by",
    "leased_until",
)
"""What a worker writes of a run, all of it every time; people write the rest."""

STEP_COLUMNS: Final = (
    "step_id",
    "status",
    "wait_reason",
    "attempt",
    "interruptions",
    "available_at",
    "started_at",
    "completed_at",
    "logs_artifact_id",
    "inputs",
    "outputs",
    "error",
    "resolution",
)

_BEGUN: Final = (
    "attempt_id",
    "step_id",
    "item_index",
    "number",
    "status",
    "started_at",
    "completed_at",
    "worker",
    "run_attempt",
    "idempotency_key",
    "outputs",
    "error",
)
_FINISHED: Final = ("attempt_id", "status", "completed_at", "outputs", "error")
_OPENED: Final = (
    "step_id",
    "run_id",
    "requested_at",
    "effect_digest",
    "effect",
    "approvals",
    "form",
    "expires_at",
    "on_timeout",
)
_DECIDED: Final = ("step_id", "decision", "decided_at", "decided_because")
_CHANGED: Final = (
    "step_id",
    "effect_digest",
    "effect",
    "decision",
    "decided_at",
    "decided_because",
)
_KEPT: Final = (
    "artifact_id",
    "name",
    "kind",
    "content_type",
    "byte_length",
    "created_at",
    "created_by",
    "run_id",
    "step_id",
    "sha256",
    "metadata",
    "retention",
)
_USED: Final = (
    "run_id",
    "key",
    "metric",
    "source_kind",
    "source_ref",
    "quantity",
    "unit",
    "class",
    "dims",
    "occurred_at",
)
_RECORDED: Final = ("kind", "subject", "created_at")


@dataclass(slots=True)
class Turn:
    """Rows to be written, by what becomes of them: mappings of the columns named above."""

    runs: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    begun: list[Row] = field(default_factory=list)
    """Attempts: their intents; the effect comes after the commit."""
    finished: list[Row] = field(default_factory=list)
    opened: list[Row] = field(default_factory=list)
    """Gates."""
    decided: list[Row] = field(default_factory=list)
    """Gates that nobody decided in time."""
    changed: list[Row] = field(default_factory=list)
    """Gates that let something else through now, and are open again."""
    kept: list[Row] = field(default_factory=list)
    """Artifacts; one that is there gets the newer content."""
    footprints: list[Row] = field(default_factory=list)
    recorded: list[Row] = field(default_factory=list)
    """Rows of the outbox."""

    def save(
        self,
        connection: Connection,
        told: Told | None = None,
        *,
        held: Sequence[Token] = (),
        worker: str = "",
    ) -> bool:
        """Write everything in one statement, ``told`` as well; whether it was written.

        Every run is one of ``held``, claims of this worker, or its row is locked by the caller.
        """
        recorded = list(self.recorded)
        events: Sequence[Row] = ()
        database = sequence = None
        if told is not None:
            events = told_rows(told)
            recorded += [
                {"kind": "event", "subject": event_id, "created_at": told.now}
                for event_id in told.recorded
            ]
            database, sequence = told.position or (None, None)
        parts = (
            self.runs,
            self.steps,
            self.begun,
            self.finished,
            self.opened,
            self.decided,
            self.changed,
            self.kept,
            self.footprints,
            events,
            recorded,
        )
        if not any(parts):
            return True
        given = (
            # As Postgres writes arrays: psycopg looks at each of their items.
            f"{{{','.join(str(run_id) for run_id, _ in held)}}}",
            f"{{{','.join(str(attempt) for _, attempt in held)}}}",
            worker,
            len(held),
            database,
            database,
            sequence,
            *(rows_text(rows) if rows else None for rows in parts),
            OUTBOX,
        )
        ((written, _),) = send(connection, [(_SAVE, given)])
        return bool(written)


# ── statements ───────────────────────────────────────────────────────────────────────────────────
# Names of columns in these come from the tuples above, and from nowhere else.


_GO: Final = (
    "held AS (SELECT FROM runs r"
    " JOIN unnest(CAST(%s AS uuid[]), CAST(%s AS bigint[])) AS t (run_id, attempt)"
    " USING (run_id, attempt)"
    " WHERE r.leased_by = %s AND r.cancel_requested_at IS NULL ORDER BY run_id FOR UPDATE OF r),"
    " go AS (SELECT (SELECT count(*) FROM held) = %s AND (CAST(%s AS uuid) IS NULL"
    " OR EXISTS (SELECT FROM node WHERE database_id = %s AND applied_sequence = %s)) AS ok)"
)
_IF_SO: Final = "(SELECT ok FROM go)"
_REPLACING: Final = (
    " ON CONFLICT (artifact_id) DO UPDATE"
    " SET sha256 = excluded.sha256, byte_length = excluded.byte_length, here = true"
)

_SAVE: Final = (
    f"WITH {_GO}, "  # noqa: S608 - see above
    + ", ".join(
        f"part_{number} AS ({part})"
        for number, part in enumerate(
            (
                f"{update(RunRow, RUN_COLUMNS)} AND {_IF_SO}",
                f"{update(StepRow, STEP_COLUMNS)} AND {_IF_SO}",
                f"{insert(AttemptRow, _BEGUN)} WHERE {_IF_SO}",
                f"{update(AttemptRow, _FINISHED)} AND {_IF_SO}",
                f"{insert(GateRow, _OPENED)} WHERE {_IF_SO}",
                f"{update(GateRow, _DECIDED)} AND {_IF_SO}",
                f"{update(GateRow, _CHANGED)} AND {_IF_SO}",
                f"{insert(ArtifactRow, _KEPT)} WHERE {_IF_SO}{_REPLACING}",
                f"{insert(FootprintRow, _USED)} WHERE {_IF_SO} ON CONFLICT DO NOTHING",
                f"{insert(EventRow, TOLD)} WHERE {_IF_SO}",
                f"{insert(OutboxRow, _RECORDED)} WHERE {_IF_SO} RETURNING id",
            )
        )
    )
    + " SELECT ok, (SELECT pg_notify(%s, '') WHERE EXISTS (SELECT FROM part_10)) FROM go"
).encode()
