"""SQL for whole rows as JSON text and back: what record lines are made of.

Postgres itself writes the JSON, so that a ``json`` column stands in it with the
very text that it holds (key order, numbers), and the recorder handles each row
as one string. Read again, it is written as :mod:`.json_text` wrote it first, so
it comes back the same. :mod:`.records` puts the rows of a run together.

The trap: columns that are empty are left out, for a record is kept for years;
a lease and ``record_commit`` are no part of a record.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Float, LargeBinary, Table, Uuid

from xyn_reconciler.store.json_text import JsonText, dumps
from xyn_reconciler.store.tables import (
    ApprovalRow,
    ArtifactRow,
    AttemptRow,
    Base,
    DebouncedRow,
    DedupeWindowRow,
    EventRow,
    FootprintRow,
    GateRow,
    PlanRow,
    RunRow,
    StepRow,
    SuppressionRow,
)

UNRECORDED: Final = frozenset({"leased_by", "leased_until", "record_commit", "here"})
"""Columns that stand in no record: a lease is its holder's, a record cannot name its commit, and
what is here is not elsewhere."""

_MODELS: Final[dict[str, type[Base]]] = {
    "event": EventRow,
    "plan": PlanRow,
    "run": RunRow,
    "steps": StepRow,
    "attempts": AttemptRow,
    "gates": GateRow,
    "approvals": ApprovalRow,
    "artifacts": ArtifactRow,
    "footprints": FootprintRow,
    "suppressions": SuppressionRow,
    "windows": DedupeWindowRow,
    "debounced": DebouncedRow,
}


def table(part: str) -> Table:
    """Give the table of a record's part; ``KeyError`` for a name that no record has."""
    found = _MODELS[part].__table__
    if not isinstance(found, Table):
        raise TypeError(part)
    return found


def columns(part: str) -> list[Column[Any]]:
    """Give the columns of a part that stand in a record, in the table's order."""
    return [column for column in table(part).columns if column.name not in UNRECORDED]


def to_json(part: str, alias: str, only: Collection[str] | None = None) -> str:
    """Write the SQL of one row as a JSON object, its columns in the table's order."""
    fields = [
        _field(column, alias) for column in columns(part) if only is None or column.name in only
    ]
    return f"'{{' || concat_ws(',', {', '.join(fields)}) || '}}'"


def given(part: str, *beside: str) -> str:
    """Write the SQL of rows that are given as :func:`parameter`, under the alias ``x``.

    ``beside`` names further columns, of texts.
    """
    types = {column.name: _type(column) for column in columns(part)} | dict.fromkeys(beside, "text")
    fields = ", ".join(f"{name} {kind}" for name, kind in types.items())
    return f"json_to_recordset(CAST(:rows AS json)) AS x ({fields})"


def parameter(part: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Give the parameter of :func:`given`.

    JSON goes in as a string inside of the JSON: Postgres takes none apart that
    holds U+0000 or half a surrogate pair, which senders do send.
    """
    inner = _JSON_COLUMNS[part]
    packed = [
        {**row, **{name: dumps(row[name]) for name in inner if row.get(name) is not None}}
        for row in rows
    ]
    return {"rows": dumps(packed)}


def names(part: str) -> str:
    """Write the list of columns that an insert of a part names."""
    return ", ".join(column.name for column in columns(part))


def values(part: str) -> str:
    """Write the values of a row of :func:`given`, in the order of :func:`names`."""
    return ", ".join(value(column) for column in columns(part))


def value(column: Column[Any]) -> str:
    """Write one value of a row of :func:`given`."""
    name = f"x.{column.name}"
    match column.type:
        case JsonText():
            return f"CAST({name} AS json)"
        case LargeBinary():
            return f"decode({name}, 'base64')"
        case _:
            return name


def _field(column: Column[Any], alias: str) -> str:
    name, key = f"{alias}.{column.name}", f'"{column.name}":'
    match column.type:
        case Uuid():
            return f"'{key}\"' || {name} || '\"'"
        case BigInteger():
            return f"'{key}' || {name}"
        case JsonText():
            return f"'{key}' || CAST({name} AS text)"
        case LargeBinary():
            # encode() breaks its lines.
            return f"'{key}\"' || translate(encode({name}, 'base64'), E'\\n', '') || '\"'"
        case _:
            return f"'{key}' || CAST(to_json({name}) AS text)"


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
        case _:
            return "text"


_JSON_COLUMNS: Final = {
    part: [column.name for column in columns(part) if isinstance(column.type, JsonText)]
    for part in _MODELS
}
