"""Run a pack's own SQL where it can do no harm outside the pack's schema.

The SQL is somebody else's. It runs in a session of its own, logged in as a role that has
rights in its schema alone: so ``RESET ROLE`` leads nowhere. The role may log in only while
a step runs, with a password made for it; core owns the schema, the mirror tables and the
ledger. The script is the argument of one ``EXECUTE``, which knows no ``COMMIT``: a step and
the note that it ran are one transaction, whatever the script says.

The traps: a session may raise its own timeouts and catch a cancellation, so its time ends
by ``pg_terminate_backend`` from outside; and its role belongs to the whole server, so its
name is of this database, too.
"""

import datetime as dt
import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import conninfo, sql

from xyn_reconciler.model.errors import InvalidError, PermanentError, TemporaryError
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.pack_data import schema_name

_SETTING: Final = "xyn.script"
_RUN: Final = "DO $$ BEGIN EXECUTE current_setting('xyn.script'); END $$"
_LOGIN_SECONDS: Final = 60
_PER_MESSAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class PackRole:
    """Who runs the migrations of one pack."""

    name: str
    schema: str


def role_of(pack_id: str, database_id: object) -> PackRole:
    key = hashlib.sha256(f"{database_id} {pack_id}".encode()).hexdigest()[:24]
    return PackRole(f"xyn_pack_{key}", schema_name(pack_id))


def run_step(
    database: Database,
    role: PackRole,
    *,
    pack_id: str,
    number: int,
    name: str,
    script: str,
    digest: str,
    seconds: float,
) -> None:
    """Run one migration and note it, in one transaction; the caller holds the pack's lock.

    Raises ``PermanentError``: ``migration_failed`` with the place in the script,
    ``may_not_make_roles``; ``TemporaryError`` ``timeout``. Either way nothing of it stays.
    """
    if "\0" in script:
        raise InvalidError(f"migration {number:04} has a NUL")
    with _admin(database) as admin, _password(admin, role) as password:
        session = _login(database, role, password)
        ended = threading.Timer(seconds, _terminate, (database, session.info.backend_pid))
        ended.start()
        try:
            with session, session.transaction():
                session.execute("SELECT set_config(%s, %s, true)", [_SETTING, script])
                session.execute(_RUN)
                session.execute(
                    sql.SQL(
                        "INSERT INTO {}.pack_migrations (pack_id, number, name, digest, applied_by)"
                        " VALUES (%s, %s, %s, %s, %s)"
                    ).format(sql.Identifier(_home(admin))),
                    [pack_id, number, name, digest, role.name],
                )
        except psycopg.Error as error:
            raise _told(error, number, name, seconds) from error
        finally:
            ended.cancel()


@contextmanager
def _admin(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.conninfo, autocommit=True) as admin:
        yield admin


def _home(admin: psycopg.Connection) -> str:
    row = admin.execute("SELECT current_schema()").fetchone()
    return str(row[0]) if row is not None else "public"


@contextmanager
def _password(admin: psycopg.Connection, role: PackRole) -> Iterator[str]:
    """Let the role log in for a while; whatever an earlier step of it left is ended first."""
    password = secrets.token_urlsafe(24)
    try:
        with admin.transaction():
            _make(admin, role)
            # Only a verifier reaches the server, and its log.
            verifier = admin.pgconn.encrypt_password(
                password.encode(), role.name.encode(), b"scram-sha-256"
            ).decode()
            until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=_LOGIN_SECONDS)
            admin.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {} VALID UNTIL {} CONNECTION LIMIT 1").format(
                    sql.Identifier(role.name), sql.Literal(verifier), sql.Literal(until.isoformat())
                )
            )
    except psycopg.errors.InsufficientPrivilege as error:
        raise PermanentError(
            "may_not_make_roles",
            "migrations of packs run as a role of their own, and this database's user may not make"
            " one: ALTER ROLE … CREATEROLE as the server's administrator, then again",
        ) from error
    try:
        yield password
    finally:
        admin.execute(
            sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(role.name))
        )


def _make(admin: psycopg.Connection, role: PackRole) -> None:
    name, schema = sql.Identifier(role.name), sql.Identifier(role.schema)
    if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role.name]).fetchone():
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(name))
        # So that core may end its sessions, and read what it makes.
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
        [role.name],
    )
    # A role may have set its own defaults.
    admin.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(name))
    admin.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    home = sql.Identifier(_home(admin))
    for grant in (
        sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(schema, name),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(home, name),
        sql.SQL("GRANT INSERT ON {}.pack_migrations TO {}").format(home, name),
    ):
        admin.execute(grant)
    mirrors = admin.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tableowner = current_user",
        [role.schema],
    ).fetchall()
    for (table,) in mirrors:
        admin.execute(
            sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON {}.{} TO {}").format(
                schema, sql.Identifier(table), name
            )
        )


def _login(database: Database, role: PackRole, password: str) -> psycopg.Connection:
    given: dict[str, Any] = conninfo.conninfo_to_dict(database.conninfo)
    own = {
        "user": role.name,
        "password": password,
        "application_name": "xyn-pack",
        "options": f"-c timezone=UTC -c client_connection_check_interval=5s"
        f' -c search_path="{role.schema}"',
    }
    try:
        return psycopg.connect(conninfo.make_conninfo(**{**given, **own}))
    except psycopg.OperationalError as error:
        raise PermanentError(
            "may_not_log_in",
            f"the role of the pack's migrations may not log in to this database ({_line(error)}):"
            " pg_hba.conf has to let roles xyn_pack_… in with a password",
        ) from error


def _terminate(database: Database, pid: int) -> None:
    with _admin(database) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])


def _told(
    error: psycopg.Error, number: int, name: str, seconds: float
) -> PermanentError | TemporaryError:
    what = f"migrations/{number:04}_{name}.sql"
    if isinstance(error, psycopg.OperationalError) and not isinstance(
        error, psycopg.errors.InsufficientPrivilege
    ):
        ended = isinstance(error, psycopg.errors.AdminShutdown) or error.sqlstate is None
        if ended:
            return TemporaryError(
                "timeout", f"{what} did not end in {seconds:.0f} s; nothing stays"
            )
        return TemporaryError("unavailable", f"{what}: {_line(error)}; nothing stays")
    return PermanentError("migration_failed", f"{what}: {_line(error)}; nothing of it stays")


def _line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else "no reason given")[:_PER_MESSAGE]
