"""Mirror tables of packs: a Postgres schema for each pack, a table for each of its contracts.

Core makes the tables and owns them. What a pack's own migrations may do there is said by
:mod:`xyn_reconciler.store.pack_migrations`. Nothing here is a record: it is filled again by
blueprints after a rebuild. The trap: columns are for looking; the row as it was given is
``_row``, which is ``json`` and keeps every number and text as it came.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from psycopg.errors import DuplicateTable, ProgramLimitExceeded
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Double,
    MetaData,
    Table,
    Text,
    delete,
    exc,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateSchema, CreateTable
from sqlalchemy.types import TypeEngine

from xyn_reconciler.model.errors import ConflictError, InvalidError
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.json_text import JsonText
from xyn_reconciler.store.tables import PackMigrationRow, PackTableRow

ROW: Final = "_row"
WRITTEN: Final = "_written_at"
_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {
    "text": Text(),
    "integer": BigInteger(),
    "number": Double(),
    "boolean": Boolean(),
    "json": JsonText(),
}
_NAME_MAX: Final = 63
_NO_VALUE: Final = "a value in where does not fit its column"


@dataclass(frozen=True, slots=True)
class PackTable:
    """A table as it is: column to type, and the key."""

    name: str
    version: int
    columns: Mapping[str, str]
    key: tuple[str, ...]


def schema_name(pack_id: str) -> str:
    """Give the Postgres schema of a pack: ``pack_<id>``, shortened where Postgres would cut it."""
    name = f"pack_{pack_id}"
    if len(name) <= _NAME_MAX:
        return name
    return f"{name[:46]}_{hashlib.sha256(pack_id.encode()).hexdigest()[:16]}"


def tables(connection: Connection, pack_id: str) -> dict[str, PackTable]:
    """Give the tables that were made for a pack, by name."""
    rows = connection.execute(
        select(
            PackTableRow.name, PackTableRow.version, PackTableRow.columns, PackTableRow.key
        ).where(PackTableRow.pack_id == pack_id)
    )
    return {name: PackTable(name, version, cols, tuple(key)) for name, version, cols, key in rows}


def applied(connection: Connection, pack_id: str) -> dict[int, str]:
    """Give the migrations of a pack that ran: number to digest of the text."""
    rows = connection.execute(
        select(PackMigrationRow.number, PackMigrationRow.digest).where(
            PackMigrationRow.pack_id == pack_id
        )
    )
    return {row.number: row.digest for row in rows}


def make_schema(connection: Connection, pack_id: str) -> None:
    connection.execute(CreateSchema(schema_name(pack_id), if_not_exists=True))


def save_table(
    connection: Connection, pack_id: str, table: PackTable, *, pack_version: str, now: dt.datetime
) -> None:
    """Make a table, or add the columns that it lacks; in the caller's transaction.

    Raises ``ConflictError`` where the pack's own SQL has taken the name.
    """
    before = tables(connection, pack_id).get(table.name)
    made = _table(pack_id, table)
    if before is None:
        make_schema(connection, pack_id)
        try:
            connection.execute(CreateTable(made))
        except exc.ProgrammingError as error:
            if not isinstance(error.orig, DuplicateTable):
                raise
            message = f"a migration of {pack_id} made something that is called {table.name}"
            raise ConflictError(f"{message}: rename one of the two") from error
    else:
        quote = connection.dialect.identifier_preparer
        for name in table.columns:
            if name not in before.columns:
                column = made.columns[name]
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(
                    f"ALTER TABLE {quote.format_table(made)}"
                    f" ADD COLUMN {quote.format_column(column)} {kind}"
                )
    values = {
        "version": table.version,
        "pack_version": pack_version,
        "columns": {**(before.columns if before else {}), **table.columns},
        "key": list(table.key),
        "applied_at": now,
    }
    statement = insert(PackTableRow).values(pack_id=pack_id, name=table.name, **values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[PackTableRow.pack_id, PackTableRow.name], set_=values
        )
    )


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


def upsert(
    connection: Connection,
    pack_id: str,
    table: PackTable,
    rows: Sequence[Mapping[str, Any]],
    *,
    replace: bool,
    now: dt.datetime,
) -> int:
    """Write rows by their key, the last of one key wins; how many others went.

    With ``replace`` what is not among them goes, in the same transaction. Raises
    ``InvalidError`` for a value that Postgres cannot hold.
    """
    made = _table(pack_id, table)
    values = [
        {name: row.get(name) for name in table.columns} | {ROW: dict(row), WRITTEN: now}
        for row in {json.dumps([row[key] for key in table.key]): row for row in rows}.values()
    ]
    statement = insert(made)
    changed = {
        column.name: statement.excluded[column.name]
        for column in made.columns
        if column.name not in table.key
    }
    with _refusing("a value is too large for its column, or no text of Postgres"):
        if values:
            connection.execute(
                statement.on_conflict_do_update(index_elements=list(table.key), set_=changed),
                values,
            )
        if not replace:
            return 0
        return connection.execute(delete(made).where(made.columns[WRITTEN] != now)).rowcount


def query(
    connection: Connection,
    pack_id: str,
    table: PackTable,
    *,
    where: Mapping[str, Any],
    order: Sequence[str],
    limit: int,
) -> list[dict[str, Any]]:
    """Give rows as they were written; by key where no other order is asked for."""
    made = _table(pack_id, table)
    question = select(made.columns[ROW]).where(*_conditions(made, table, where)).limit(limit)
    for each in (*order, *table.key):
        column = made.columns[_known(table, each.removeprefix("-"))]
        question = question.order_by(column.desc() if each.startswith("-") else column.asc())
    with _refusing(_NO_VALUE):
        return list(connection.execute(question).scalars())


def remove(connection: Connection, pack_id: str, table: PackTable, where: Mapping[str, Any]) -> int:
    """Take rows out, all of them where ``where`` is empty; how many."""
    made = _table(pack_id, table)
    with _refusing(_NO_VALUE):
        return connection.execute(delete(made).where(*_conditions(made, table, where))).rowcount


@contextmanager
def _refusing(values: str) -> Iterator[None]:
    """Say as ``InvalidError`` what Postgres, or its driver, does not take."""
    try:
        yield
    except exc.IntegrityError as error:
        message = "a table that the pack made refers to a row that would go"
        raise InvalidError(message) from error
    except (exc.DataError, ValueError) as error:
        raise InvalidError(values) from error
    except exc.OperationalError as error:
        # A text in a key is in an index, too, which holds less than a column does.
        if isinstance(error.orig, ProgramLimitExceeded):
            raise InvalidError(values) from error
        raise


def _conditions(
    made: Table, table: PackTable, where: Mapping[str, Any]
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for name, wanted in where.items():
        column = made.columns[_known(table, name)]
        values = wanted if isinstance(wanted, list) else [wanted]
        for value in values:
            _refuse_misfit(name, table.columns[name], value)
        listed = column.in_([value for value in values if value is not None])
        found.append(listed | column.is_(None) if None in values else listed)
    return found


def _known(table: PackTable, name: str) -> str:
    kind = table.columns.get(name)
    if kind is None or kind == "json":
        plain = ", ".join(each for each, kind in table.columns.items() if kind != "json")
        raise InvalidError(f"{table.name} has no column {name!r} to look by; there is {plain}")
    return name


_FITS: Final[Mapping[str, tuple[type, ...]]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _refuse_misfit(name: str, kind: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    is_flag = isinstance(value, bool)
    if value is None or (isinstance(value, _FITS[kind]) and is_flag is (kind == "boolean")):
        return
    raise InvalidError(f"where: {name} is {kind}")


def _table(pack_id: str, table: PackTable) -> Table:
    columns: list[Column[Any]] = [
        Column(name, _TYPES[kind], primary_key=name in table.key, autoincrement=False)
        for name, kind in table.columns.items()
    ]
    return Table(
        table.name,
        MetaData(schema=schema_name(pack_id)),
        *columns,
        Column(ROW, JsonText(), nullable=False),
        Column(WRITTEN, DateTime(timezone=True), nullable=False),
    )
