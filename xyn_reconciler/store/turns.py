"""What one transaction writes of runs, however many they are: one statement.

The engine's turns over many runs share a commit, so their changes are gathered
in a :class:`Turn` and go to the server as one statement. Rows travel as one JSON
text a table: half the CPU of arrays, and a fifth of a statement a row.

The trap: Postgres reads every string of that text, and refuses U+0000 and lone
surrogates even where they end up in a ``json`` column. Such a column therefore
travels as JSON in JSON, and a text that comes from outside through ``storable``.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sqlalchemy import BigInteger, Column, DateTime, Float, Table, Uuid

from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_text import dumps
from xyn_reconciler.store.notice import OUTBOX, RUN
from xyn_reconciler.store.pipeline import send
from xyn_reconciler.store.tables import (
    ArtifactRow,
    AttemptRow,
    Base,
    FootprintRow,
    GateRow,
    OutboxRow,
    RunRow,
    StepRow,
)

Row = Mapping[str, Any]

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
            given = [_text(rows) if rows else None for rows in parts]
            send(connection, [(_SAVE, (*given, OUTBOX, RUN, told))])


def _text(rows: Sequence[Row]) -> str:
    return dumps([{name: _plain(name, value) for name, value in row.items()} for row in rows])


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - any value of a column
    if value is None or isinstance(value, int | float):
        return dumps(value) if name in _JSON and value is not None else value
    if name in _JSON:
        return dumps(value)
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


_JSON: Final = frozenset(
    {"inputs", "outputs", "error", "effect", "approvals", "form", "metadata", "dims"}
)


# ── statements ───────────────────────────────────────────────────────────────────────────────────
# Names of columns in these come from the tuples above, and from nowhere else.


def _columns(model: type[Base], names: Sequence[str]) -> list[Column[Any]]:
    table = cast("Table", model.__table__)
    return [table.c[name] for name in names]


def _given(model: type[Base], names: Sequence[str]) -> str:
    definition = ", ".join(f"{c.name} {_type(c)}" for c in _columns(model, names))
    return f"json_to_recordset(CAST(%s AS json)) AS n ({definition})"


def _type(column: Column[Any]) -> str:
    match column.type:
        case Uuid():
            return "uuid"
        case BigInteger():
            return "bigint"
        case DateTime():
            return "timestamptz"
        case Float():
            return "float8"
    return "text"


def _value(column: Column[Any]) -> str:
    return f"CAST(n.{column.name} AS json)" if column.name in _JSON else f"n.{column.name}"


def _insert(model: type[Base], names: Sequence[str], then: str = "") -> str:
    values = ", ".join(map(_value, _columns(model, names)))
    return (
        f"INSERT INTO {model.__tablename__} ({', '.join(names)})"  # noqa: S608 - see above
        f" SELECT {values} FROM {_given(model, names)}{then}"
    )


_REPLACING: Final = (
    " ON CONFLICT (artifact_id) DO UPDATE"
    " SET sha256 = excluded.sha256, byte_length = excluded.byte_length"
)


def _update(model: type[Base], names: Sequence[str]) -> str:
    key, *columns = _columns(model, names)
    changes = ", ".join(f"{column.name} = {_value(column)}" for column in columns)
    return (
        f"UPDATE {model.__tablename__} t SET {changes}"  # noqa: S608 - see above
        f" FROM {_given(model, names)} WHERE t.{key.name} = n.{key.name}"
    )


_SAVE: Final = (
    "WITH "  # noqa: S608 - see above
    + ", ".join(
        f"part_{number} AS ({part})"
        for number, part in enumerate(
            (
                _update(RunRow, RUN_COLUMNS),
                _update(StepRow, STEP_COLUMNS),
                _insert(AttemptRow, _BEGUN),
                _update(AttemptRow, _FINISHED),
                _insert(GateRow, _OPENED),
                _update(GateRow, _DECIDED),
                _update(GateRow, _CHANGED),
                _insert(ArtifactRow, _KEPT, _REPLACING),
                _insert(FootprintRow, _USED, " ON CONFLICT DO NOTHING"),
                _insert(OutboxRow, _RECORDED, " RETURNING id"),
            )
        )
    )
    + " SELECT pg_notify(%s, '') WHERE EXISTS (SELECT FROM part_9)"
    " UNION ALL SELECT pg_notify(%s, run) FROM unnest(CAST(%s AS text[])) AS told (run)"
).encode()
