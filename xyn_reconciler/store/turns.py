"""What one transaction writes of runs, however many they are: one statement.

The engine's turns over many runs share a commit, so their changes are gathered
in a :class:`Turn` and go to the server as one statement, their rows as
:mod:`.json_rows`.
"""

import uuid
from dataclasses import dataclass, field
from typing import Final

from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_rows import Row, insert, rows_text, update
from xyn_reconciler.store.notice import OUTBOX, RUN
from xyn_reconciler.store.pipeline import send
from xyn_reconciler.store.tables import (
    ArtifactRow,
    AttemptRow,
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
    told: list[uuid.UUID] = field(default_factory=list)
    """Runs that changed, for whoever looks at them."""

    def save(self, connection: Connection) -> None:
        """Write everything in one statement; the caller holds the rows of the runs."""
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
            self.recorded,
        )
        if any(parts) or self.told:
            told = [str(run_id) for run_id in self.told]
            given = [rows_text(rows) if rows else None for rows in parts]
            send(connection, [(_SAVE, (*given, OUTBOX, RUN, told))])


# ── statements ───────────────────────────────────────────────────────────────────────────────────
# Names of columns in these come from the tuples above, and from nowhere else.


_REPLACING: Final = (
    " ON CONFLICT (artifact_id) DO UPDATE"
    " SET sha256 = excluded.sha256, byte_length = excluded.byte_length, here = true"
)


_SAVE: Final = (
    "WITH "  # noqa: S608 - see above
    + ", ".join(
        f"part_{number} AS ({part})"
        for number, part in enumerate(
            (
                update(RunRow, RUN_COLUMNS),
                update(StepRow, STEP_COLUMNS),
                insert(AttemptRow, _BEGUN),
                update(AttemptRow, _FINISHED),
                insert(GateRow, _OPENED),
                update(GateRow, _DECIDED),
                update(GateRow, _CHANGED),
                insert(ArtifactRow, _KEPT, _REPLACING),
                insert(FootprintRow, _USED, " ON CONFLICT DO NOTHING"),
                insert(OutboxRow, _RECORDED, " RETURNING id"),
            )
        )
    )
    + " SELECT pg_notify(%s, '') WHERE EXISTS (SELECT FROM part_9)"
    " UNION ALL SELECT pg_notify(%s, run) FROM unnest(CAST(%s AS text[])) AS told (run)"
).encode()
