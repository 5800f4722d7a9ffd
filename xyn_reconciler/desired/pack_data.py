"""What a pack keeps in the database: its migrations, and a mirror table per data contract.

Pure: from a pack's files and from what was applied to what would be done. Everything goes
forward only (seed 37.3): a step that ran stays as it was, a table gets columns and loses
none. The trap: a property whose name is no good for a column is in ``_row`` alone.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.model.errors import ConflictError, InvalidError

ColumnType = Literal["text", "integer", "number", "boolean", "json"]

_FILE: Final = re.compile(r"migrations/([0-9]{4})_([a-z0-9][a-z0-9_-]*)\.sql")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_SYSTEM: Final = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})
"""Columns that every table of Postgres has."""
_COLUMNS_MAX: Final = 200
_TYPES: Final[Mapping[str, ColumnType]] = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}
_IN_KEYS: Final = ("text", "integer", "boolean")


class MigrationChangedError(ConflictError):
    """A step that ran is another one now, or is gone while later ones are there."""

    code = "migration_changed"


class ContractChangedError(ConflictError):
    """A table cannot become what its contract says: that would not be forward."""

    code = "contract_changed"


@dataclass(frozen=True, slots=True)
class Step:
    """A file of ``migrations/``."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror table: its columns in order, its key, and the schema that its rows have to fit."""

    name: str
    columns: Mapping[str, ColumnType]
    key: tuple[str, ...]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableChange:
    """A table to make, or columns to add to one."""

    mirror: Mirror
    columns: tuple[str, ...]
    version: int
    """The table's, from 1."""


def steps_of(files: Mapping[str, str]) -> list[Step]:
    """Give the migrations among a pack's files (path below its folder to text), in their order."""
    found = ((_FILE.fullmatch(path), text) for path, text in files.items())
    return sorted(
        (Step(int(name[1]), name[2], text) for name, text in found if name is not None),
        key=lambda step: step.number,
    )


def steps_to_run(steps: Sequence[Step], applied: Mapping[int, str]) -> list[Step]:
    """Give what has not run yet; ``applied`` is number to digest.

    An older version of a pack may lack the last ones that ran: they stay (seed 37.3).
    Raises :class:`MigrationChangedError`.
    """
    known = {step.number: step for step in steps}
    for number, digest in sorted(applied.items()):
        step = known.get(number)
        if step is None and number < max(known, default=0):
            raise MigrationChangedError(f"migration {number:04} ran here, and its file is gone")
        if step is not None and step.digest != digest:
            raise MigrationChangedError(
                f"migrations/{number:04}_{step.name}.sql ran here as another text: put it back as"
                " it was, and add a migration"
            )
    return [step for step in steps if step.number not in applied]


def mirrors_of(definition: Mapping[str, Any], files: Mapping[str, str]) -> list[Mirror]:
    """Give the tables of a pack's contracts; ``InvalidError`` where one makes no table."""
    contracts = definition.get("contracts") or {}
    return [mirror(name, each, files) for name, each in sorted(contracts.items())]


def mirror(name: str, contract: Mapping[str, Any], files: Mapping[str, str]) -> Mirror:
    """Give the table of one contract."""
    try:
        schema = json.loads(files[contract["schema"]])
    except (KeyError, ValueError) as error:
        raise InvalidError(f"contract {name}: {contract['schema']} is no schema") from error
    if not isinstance(schema, dict) or not _NAME.fullmatch(name):
        raise InvalidError(
            f"contract {name}: no table can be called so, or its schema is no object"
        )
    properties = schema.get("properties") or {}
    key = tuple(contract["key"])
    # The key first: of very many properties it is never the one that is left out.
    named = [*key, *(each for each in properties if each not in key)]
    columns = {
        each: _type(properties.get(each))
        for each in named[:_COLUMNS_MAX]
        if _NAME.fullmatch(each) and each not in _SYSTEM
    }
    for each in key:
        if columns.get(each) not in _IN_KEYS or each not in (schema.get("required") or ()):
            raise InvalidError(
                f"contract {name}: {each} is in the key, so the schema has to require it and it has"
                " to be a text, a whole number, or true or false, and no column of Postgres's own"
            )
    return Mirror(name, columns, key, schema)


def table_change(
    wanted: Mirror, present: Mapping[str, str] | None, key: Iterable[str], version: int
) -> TableChange | None:
    """Give what makes a table fit; None where it does. ``present`` is None where there is none.

    Raises :class:`ContractChangedError`.
    """
    if present is None:
        return TableChange(wanted, tuple(wanted.columns), 1)
    if tuple(key) != wanted.key:
        raise ContractChangedError(
            f"contract {wanted.name}: the key of a table stays {', '.join(key)}: name another table"
        )
    for column, kind in wanted.columns.items():
        if present.get(column, kind) != kind:
            raise ContractChangedError(
                f"contract {wanted.name}: {column} is {present[column]} and cannot become {kind}:"
                " name another property, or another table"
            )
    new = tuple(column for column in wanted.columns if column not in present)
    return TableChange(wanted, new, version + 1) if new else None


def _type(rules: Any) -> ColumnType:  # noqa: ANN401 - whatever the schema has there
    kinds = rules.get("type") if isinstance(rules, dict) else None
    if isinstance(kinds, list):
        named = [kind for kind in kinds if kind != "null"]
        kinds = named[0] if len(named) == 1 else None
    return _TYPES.get(kinds, "json") if isinstance(kinds, str) else "json"
