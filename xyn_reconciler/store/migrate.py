"""Bring a database to the shape that this code expects: forward only.

Numbered files ``migrations/NNNN_name.sql``, each in a transaction of its own,
under one advisory lock, so that processes that start together do not meet.
What was applied is kept with its checksum in ``schema_migrations``.

The queue's tables come from procrastinate's own files and are counted in the
same table under ``procrastinate/``, so that a newer procrastinate brings its
own steps. The trap: a file that was applied once must never be edited.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from sqlalchemy import text

from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.store.database import Connection, Database, lock_in_transaction

_QUEUE = "procrastinate/"
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without the suffix, and its SQL."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrate(database: Database) -> list[str]:
    """Apply what is missing, oldest first, and give the names of what was applied.

    Raises ``ConflictError`` where the database is newer than this code, or
    where an applied file was edited since.
    """
    applied: list[str] = []
    with database.begin() as connection:
        lock_in_transaction(connection, "xyn.migrate")
        connection.execute(text(_LEDGER))
    for steps in (queue_migrations(), own_migrations()):
        while (name := _apply_next(database, steps)) is not None:
            applied.append(name)
    return applied


def own_migrations() -> list[Migration]:
    """Read the numbered files of this version."""
    return _read(resources.files("xyn_reconciler.store") / "migrations", "")


def queue_migrations() -> list[Migration]:
    """Read procrastinate's own steps; a fresh database takes its whole schema instead."""
    return _read(resources.files("procrastinate") / "sql" / "migrations", _QUEUE)


def pending(applied: Mapping[str, str], known: list[Migration]) -> list[Migration]:
    """Give what has to be applied; names and checksums of ``applied`` must be a beginning of it.

    Pure. Raises ``ConflictError`` as :func:`migrate` says.
    """
    checksums = {migration.name: migration.checksum for migration in known}
    newer = sorted(applied.keys() - checksums.keys())
    if newer:
        raise ConflictError(
            f"the database is newer than this program: it has {newer[-1]}; start the newer version"
        )
    for name, checksum in applied.items():
        # procrastinate's files are its own affair: their names are their identity.
        if checksums[name] != checksum and not name.startswith(_QUEUE):
            raise ConflictError(
                f"the migration {name} was edited after it was applied; put the old text back and "
                "write a new migration for the change"
            )
    return [migration for migration in known if migration.name not in applied]


def _apply_next(database: Database, known: list[Migration]) -> str | None:
    prefix = _QUEUE if known and known[0].name.startswith(_QUEUE) else ""
    with database.begin() as connection:
        lock_in_transaction(connection, "xyn.migrate")
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        applied = _applied(connection, queue=bool(prefix))
        waiting = pending(applied, known)
        if not waiting:
            return None
        if prefix and not applied:
            # The whole schema of a version holds all of its steps.
            schema = (resources.files("procrastinate") / "sql" / "schema.sql").read_text("utf-8")
            _run(connection, schema)
            _record(connection, waiting)
            return f"{_QUEUE}schema"
        _run(connection, waiting[0].sql)
        _record(connection, waiting[:1])
        return waiting[0].name


def _applied(connection: Connection, *, queue: bool) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, checksum FROM schema_migrations"))
    return {name: checksum for name, checksum in rows if name.startswith(_QUEUE) is queue}


def _run(connection: Connection, script: str) -> None:
    # Several statements in one text, and a % is a %.
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})


def _record(connection: Connection, migrations: list[Migration]) -> None:
    connection.execute(
        text("INSERT INTO schema_migrations (name, checksum) VALUES (:name, :checksum)"),
        [{"name": each.name, "checksum": each.checksum} for each in migrations],
    )


def _read(folder: Traversable, prefix: str) -> list[Migration]:
    files = (file for file in folder.iterdir() if file.name.endswith(".sql"))
    return [
        Migration(prefix + file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in sorted(files, key=lambda file: file.name)
    ]
