"""What the actions of :mod:`.pack_data` do: loaded by the first step that is one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.pack_lent import ActivePack, Lent
from xyn_reconciler.desired.pack_data import (
    Mirror,
    Step,
    TableChange,
    mirror,
    mirrors_of,
    steps_of,
    steps_to_run,
    table_change,
)
from xyn_reconciler.model.errors import ConflictError, InvalidError, PermanentError, TemporaryError
from xyn_reconciler.model.schema_check import SafeValidator
from xyn_reconciler.store import desired, pack_data, pack_migrations
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.pack_data import PackTable


def work(
    action: str, lent: Lent, inputs: Mapping[str, Any], context: ActionContext
) -> dict[str, Any]:
    """Carry out one of the actions."""
    return _WORK[action](_Work(lent), inputs, context)


@dataclass(frozen=True, slots=True)
class _Ahead:
    tables: list[TableChange]
    steps: list[Step]

    def to_json(self) -> dict[str, Any]:
        return {
            "tables": [
                {"name": each.mirror.name, "version": each.version, "columns": list(each.columns)}
                for each in self.tables
            ],
            "migrations": [f"{each.number:04}_{each.name}.sql" for each in self.steps],
        }


@contextmanager
def _coded(code: str | None) -> Iterator[None]:
    """Fail the step with ``code``, or with the error's own, where its pack or inputs are wrong."""
    try:
        yield
    except (InvalidError, ConflictError) as error:
        raise PermanentError(code or error.code, error.message) from error


class _Work:
    def __init__(self, lent: Lent) -> None:
        self._lent = lent

    def plan(self, inputs: Mapping[str, Any], _: ActionContext) -> dict[str, Any]:
        pack = self._pack(inputs["pack"])
        with self._lent.database.read() as connection:
            return _ahead(connection, inputs["pack"], pack).to_json()

    def apply(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        pack_id, database = inputs["pack"], self._lent.database
        with database.advisory_lock(f"xyn.pack.{pack_id}") as lock:
            pack = self._pack(pack_id)
            with _coded("contract_changed"), database.begin() as connection:
                ahead = _ahead(connection, pack_id, pack)
                role = pack_migrations.role_of(pack_id, desired.read_node(connection).database_id)
                for change in ahead.tables:
                    self._save(connection, pack_id, pack, change)
            for change in ahead.tables:
                context.log(f"table {change.mirror.name}: version {change.version}")
            for step in ahead.steps:
                if context.cancelled():
                    raise PermanentError("cancelled", f"stopped before migration {step.number:04}")
                if not lock.held():
                    raise TemporaryError("unavailable", "the lock is lost; what ran is noted")
                pack_migrations.run_step(
                    database,
                    role,
                    pack_id=pack_id,
                    number=step.number,
                    name=step.name,
                    script=step.sql,
                    digest=step.digest,
                    seconds=max(context.seconds_left(), 0.1),
                )
                context.log(f"migration {step.number:04}_{step.name} ran")
        return ahead.to_json()

    def upsert(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        wanted, table, pack_id = self._table(inputs)
        rows = inputs["rows"]
        validator = SafeValidator(wanted.schema)
        for index, row in enumerate(rows):
            if wrong := next(iter(validator.iter_errors(row)), None):
                place = "".join(f"[{part!r}]" for part in wrong.absolute_path)
                raise PermanentError(
                    "bad_row", f"rows[{index}]{place} does not fit {wrong.validator} of the schema"
                )
        with _coded("bad_row"), self._lent.database.begin() as connection:
            removed = pack_data.upsert(
                connection,
                pack_id,
                table,
                rows,
                replace=inputs.get("replace", False),
                now=self._lent.now(),
            )
        context.log(f"{pack_id}.{table.name}: {len(rows)} rows written, {removed} removed")
        return {"written": len(rows), "removed": removed}

    def query(self, inputs: Mapping[str, Any], _: ActionContext) -> dict[str, Any]:
        _wanted, table, pack_id = self._table(inputs)
        limit = inputs.get("limit", 100)
        with _coded("bad_question"), self._lent.database.read() as connection:
            rows = pack_data.query(
                connection,
                pack_id,
                table,
                where=inputs.get("where") or {},
                order=inputs.get("order") or (),
                limit=limit + 1,
            )
        return {"rows": rows[:limit], "more": len(rows) > limit}

    def delete(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        _, table, pack_id = self._table(inputs)
        with _coded("bad_question"), self._lent.database.begin() as connection:
            removed = pack_data.remove(connection, pack_id, table, inputs.get("where") or {})
        context.log(f"{pack_id}.{table.name}: {removed} rows removed")
        return {"removed": removed}

    def _pack(self, pack_id: str) -> ActivePack:
        found = self._lent.pack(pack_id)
        if found is None:
            raise PermanentError("pack_not_found", f"no pack {pack_id!r} is active here")
        return found

    def _table(self, inputs: Mapping[str, Any]) -> tuple[Mirror, PackTable, str]:
        pack_id, name = inputs["pack"], inputs["table"]
        pack = self._pack(pack_id)
        contract = (pack.definition.get("contracts") or {}).get(name)
        if contract is None:
            raise PermanentError("table_not_found", f"{pack_id} has no contract {name!r}")
        with _coded("pack_unusable"):
            wanted = mirror(name, contract, pack.files)
        with self._lent.database.read() as connection:
            table = pack_data.tables(connection, pack_id).get(name)
        fits = table is not None and table.key == wanted.key
        if table is None or not fits or not wanted.columns.items() <= table.columns.items():
            raise PermanentError(
                "not_migrated",
                f"{pack_id}.{name} is not what its contract says: pack.migrate.apply",
            )
        return wanted, table, pack_id

    def _save(
        self, connection: Connection, pack_id: str, pack: ActivePack, change: TableChange
    ) -> None:
        made = change.mirror
        pack_data.save_table(
            connection,
            pack_id,
            PackTable(made.name, change.version, made.columns, made.key),
            pack_version=pack.definition["version"],
            now=self._lent.now(),
        )


def _ahead(connection: Connection, pack_id: str, pack: ActivePack) -> _Ahead:
    present = pack_data.tables(connection, pack_id)
    with _coded("pack_unusable"):
        wanted = mirrors_of(pack.definition, pack.files)
    with _coded(None):
        changes = [
            table_change(
                each,
                table.columns if (table := present.get(each.name)) else None,
                table.key if table else (),
                table.version if table else 0,
            )
            for each in wanted
        ]
        steps = steps_to_run(steps_of(pack.files), pack_data.applied(connection, pack_id))
    return _Ahead([each for each in changes if each is not None], steps)


_WORK: Final[Mapping[str, Callable[[_Work, Mapping[str, Any], ActionContext], dict[str, Any]]]] = {
    "pack.migrate.plan": _Work.plan,
    "pack.migrate.apply": _Work.apply,
    "pack.rows.upsert": _Work.upsert,
    "pack.rows.query": _Work.query,
    "pack.rows.delete": _Work.delete,
}
