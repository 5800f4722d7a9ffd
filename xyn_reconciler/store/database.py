"""The door to Postgres: transactions, notices, and locks that elect.

Every room above receives a :class:`Database` or a :class:`Connection` and
hands it to the functions of this room. The caller owns the transaction.

A Postgres that is away, restarting, full or out of patience raises
:class:`~xyn_reconciler.model.errors.UnavailableError`; the connections mend
themselves at the next call. The trap: a transaction that was open then is
lost, so it is begun again from its first statement, never continued.
"""

import contextlib
import hashlib
import select
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import conninfo, sql
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from xyn_reconciler.model.errors import InvalidError, UnavailableError

__all__ = ["AdvisoryLock", "Connection", "Database", "Notice", "lock_in_transaction", "notify"]

_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=60s -c idle_in_transaction_session_timeout=300s"
    # A machine that vanished gives up its locks within half a minute.
    " -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)
_BY_KEY = "-c enable_hashjoin=off -c enable_mergejoin=off"
_CONNECT_SECONDS = 5
_RETRY_SECONDS = 0.2
_PAUSE_SECONDS = 0.05  # shorter than any restart
_PASSING_STATES = (
    "08",  # connection
    "40",  # deadlock, serialization
    "53",  # out of connections, memory, disk
    "55P03",  # lock_timeout
    "57",  # shut down, starting up, statement_timeout
)
"""Beginnings of the SQLSTATEs that pass by themselves (PostgreSQL manual, appendix A)."""


def notify(connection: Connection, channel: str, payload: str = "") -> None:
    """Send a notice when the transaction commits; never when it is rolled back.

    ``payload`` holds less than 8,000 bytes; equal notices of one transaction
    arrive once.
    """
    connection.execute(
        text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload}
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """One ``NOTIFY`` of a committed transaction."""

    channel: str
    payload: str


class Database:
    """One Postgres database and a pool of connections to it; safe to share among threads.

    ``url`` begins with ``postgres://``, ``postgresql://`` or
    ``postgresql+psycopg://``. Nothing is opened before it is needed. Every
    session counts time in UTC and gives up on a statement after 60 s.
    """

    def __init__(self, url: str, *, pool_size: int = 8, by_key: bool = False) -> None:
        """``by_key`` is for the engine: every join of its statements looks up a few keys.

        Postgres takes rows that come as JSON for a hundred, however few they are, and
        would rather read a whole table than look up a hundred keys.
        """
        self._url = _parsed(url)
        self._by_key = by_key
        self.url = self._url.render_as_string(hide_password=False)
        self._engine = create_engine(
            self._url,
            pool_size=pool_size,
            max_overflow=pool_size,
            # The one that was used last has prepared what is asked again, and needs no look.
            pool_use_lifo=True,
            pool_timeout=10,
            # An error's text reaches logs, and a parameter may be a secret (P6).
            hide_parameters=True,
            connect_args=self._connect_arguments(),
        )
        _ask_after_a_pause(self._engine)
        # psycopg drops its prepared statements with a ROLLBACK, which a read would end in.
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)!r})"

    @property
    def conninfo(self) -> str:
        """The same address as libpq takes it (psycopg, procrastinate, psql)."""
        _, arguments = self._engine.dialect.create_connect_args(self._url)
        known = {key: value for key, value in arguments.items() if key != "context"}
        return conninfo.make_conninfo(**known | self._connect_arguments())

    notify = staticmethod(notify)

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a transaction: committed at the end, rolled back on an error."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for reading: each statement sees what is committed by then."""
        with self.autocommit() as connection:
            yield connection

    @contextlib.contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Give a connection on which every statement is a transaction of its own."""
        with _translated(), self._autocommit.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection that commits where its user says ``connection.commit()``."""
        with _translated(), self._engine.connect() as connection:
            yield connection

    def listen(
        self, channels: Sequence[str], *, timeout: float
    ) -> Generator[Notice | None, None, None]:
        """Yield notices as they come, for ever, on a connection of its own.

        Yields ``None``, "look for yourself", when it begins to listen (at the
        start and after every reconnection: notices may have been missed), and
        whenever ``timeout`` seconds passed without a notice or without a
        database. Leave the loop to end it.
        """
        while True:
            try:
                with self._session() as session:
                    for channel in channels:
                        session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    yield None
                    yield from _notices(session, timeout)
            except psycopg.OperationalError:
                time.sleep(min(timeout, _RETRY_SECONDS))
                yield None

    def advisory_lock(self, name: str) -> "AdvisoryLock":
        """Give a lock that one session of this database holds at a time."""
        return AdvisoryLock(self, name)

    def wait_until_ready(self, timeout: float) -> None:
        """Return when the database answers; ``UnavailableError`` after ``timeout`` seconds."""
        until = time.monotonic() + timeout
        while True:
            try:
                with self._session() as session:
                    session.execute("SELECT 1")
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > until:
                    raise _unavailable(error) from error
            time.sleep(0.05)

    def close(self) -> None:
        """Close the pool's idle connections; those in use close when they are given back."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _session(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo, autocommit=True)

    def _connect_arguments(self) -> dict[str, Any]:
        own = self._url.query.get("options", "")
        # The user's own options come last: Postgres takes the last of two.
        return {
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": self._url.query.get("application_name", "xyn"),
            "options": " ".join(
                [
                    _OPTIONS,
                    *([_BY_KEY] if self._by_key else []),
                    *([own] if isinstance(own, str) else own),
                ]
            ).rstrip(),
        }


class AdvisoryLock:
    """A lock that its holder loses when its session ends, by whatever cause.

    Elects the committer and the reconciler. The holder asks :meth:`held`
    before each round of work: a lock lost to a restart of Postgres may be
    another's by then. Not safe to share among threads.
    """

    def __init__(self, database: Database, name: str) -> None:
        self.name = name
        self._database = database
        self._session: psycopg.Connection | None = None

    def acquire(self, timeout: float = 0.0) -> bool:
        """Try for ``timeout`` seconds, at least once; whether this object holds it now."""
        if self.held():
            return True
        until = time.monotonic() + timeout
        try:
            session = self._database._session()  # noqa: SLF001 - one door, two classes
        except psycopg.OperationalError as error:
            raise _unavailable(error) from error
        try:
            while not _try_lock(session, self.name):
                if time.monotonic() >= until:
                    session.close()
                    return False
                time.sleep(0.05)
        except BaseException as error:
            session.close()
            if isinstance(error, psycopg.OperationalError):
                raise _unavailable(error) from error
            raise
        self._session = session
        return True

    def held(self) -> bool:
        """Whether the session that took it still lives: one round trip to Postgres."""
        if self._session is None:
            return False
        try:
            self._session.execute("SELECT 1")
        except psycopg.OperationalError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give it up; harmless when it is not held."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        if not self.acquire(timeout=60.0):
            raise UnavailableError(f"another process holds the lock {self.name!r}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def lock_in_transaction(connection: Connection, name: str) -> None:
    """Wait for a lock by name and hold it to the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key(name)})


def _ask_after_a_pause(engine: Engine) -> None:
    """Ask a pooled connection whether it lives, unless it was in use a moment ago.

    A restarted Postgres then costs nobody a failed transaction, and a busy
    process no round trips.
    """

    def checkin(_: object, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    def checkout(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        since = record.info.get("idle_since")
        if since is not None and time.monotonic() - since > _PAUSE_SECONDS:
            try:
                alive = engine.dialect.do_ping(connection)
            except psycopg.Error as error:
                raise sqlalchemy_errors.DisconnectionError from error
            if not alive:
                raise sqlalchemy_errors.DisconnectionError

    event.listen(engine, "checkin", checkin)
    event.listen(engine, "checkout", checkout)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except sqlalchemy_errors.ArgumentError as error:
        # The text may hold a password, so it is not repeated.
        raise InvalidError(
            "DATABASE_URL is not a URL: it looks like postgresql://user:password@host/database"
        ) from error
    if parsed.drivername not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise InvalidError(
            f"DATABASE_URL begins with {parsed.drivername}://; only postgresql:// is understood"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _notices(session: psycopg.Connection, timeout: float) -> Iterator[Notice | None]:
    # psycopg waits in tenths of a second: an idle process would wake ten times a second.
    waiting = select.poll()
    waiting.register(session.fileno(), select.POLLIN)
    while True:
        # First what is here already: the socket tells of what comes.
        for notify in session.notifies(timeout=0):
            yield Notice(notify.channel, notify.payload)
        if not waiting.poll(timeout * 1000):
            yield None


def _try_lock(session: psycopg.Connection, name: str) -> bool:
    row = session.execute("SELECT pg_try_advisory_lock(%s)", [_key(name)]).fetchone()
    return row is not None and bool(row[0])


def _key(name: str) -> int:
    """Give the 64-bit key of a lock's name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlalchemy_errors.TimeoutError as error:
        raise UnavailableError("every database connection of this process is in use") from error
    except sqlalchemy_errors.DBAPIError as error:
        if _passes(error):
            raise _unavailable(error.orig) from error
        raise


def _passes(error: sqlalchemy_errors.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if not isinstance(error.orig, psycopg.Error):
        return False
    state = error.orig.sqlstate
    if state is None:
        # libpq's own: no server, no socket, or the connection fell away.
        return isinstance(error.orig, psycopg.OperationalError)
    return state.startswith(_PASSING_STATES)


def _unavailable(error: BaseException | None) -> UnavailableError:
    lines = str(error).strip().splitlines() or ["no reason given"]
    return UnavailableError(f"the database does not answer: {lines[0]}")
