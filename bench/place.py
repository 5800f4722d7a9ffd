"""Where one benchmark takes place: a folder, a Postgres, processes; all gone at the end.

Floor and Xyn share the server, with the settings that Xyn ships (fsync on). The
trap: on a tmpfs a commit costs nothing and every ratio lies, so such a folder
is refused.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from bench.machine import filesystem
from bench.sizes import Sizes
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres

STOP_SECONDS: Final = 20.0
NODES: Final = "xyn_reconciler.cli"
"""The module that a node's own processes are started by."""

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})

Say = Callable[[str], None]


class BenchError(Exception):
    """The benchmark cannot go on; says what to do."""


@dataclass(slots=True)
class Place:
    """What the measurements share."""

    folder: Path
    server: str
    """URL of the maintenance database."""
    say: Say
    stack: contextlib.ExitStack
    postgres_version: str
    sizes: Sizes
    children: list["Child"] = field(default_factory=list)

    def database(self, name: str) -> str:
        """Make an empty database and give its URL."""
        with connect(self.server) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return make_url(self.server).set(database=name).render_as_string(hide_password=False)

    def start(self, *module: str, python: str = sys.executable, **environment: str) -> "Child":
        """Start ``python -m module``; it is ended with the benchmark at the latest."""
        child = Child(self.folder / f"{module[0]}.log", [python, "-m", *module], environment)
        self.stack.callback(child.stop)
        self.children.append(child)
        return child

    def stop_workers(self) -> None:
        """Stop whatever a measurement that failed has left; nodes go on for the next one."""
        for child in self.children:
            if child.name != NODES:
                child.stop()


class Child:
    """One process of a benchmark; what it prints goes to a file that is shown if it fails."""

    def __init__(self, log: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._log = log
        self.name = command[2]
        ours = ("XYN_", "DATABASE_URL", "GIT_", "OPENAI_", "ANTHROPIC_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env={**kept, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for the benchmark, which then ends everything in its order.
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as an operator would; killed if it does not go. Harmless when it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def check(self) -> None:
        """Raise :class:`BenchError` with the end of its log if it is gone."""
        status = self.process.poll()
        if status is not None:
            raise BenchError(f"{self.name} ended with {status}:\n{self.said()}")

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def open_place(say: Say, sizes: Sizes) -> Iterator[Place]:
    """Make the folder and start the server; whatever happens, both are gone afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xyn-bench-")))
        if filesystem(folder) in IN_MEMORY:
            raise BenchError(
                "the temporary folder lies in memory, where fsync costs nothing: set TMPDIR to a"
                " folder on a disk"
            )
        say("starting Postgres")
        server = stack.enter_context(EmbeddedPostgres(folder / "pg", folder / "run"))
        with connect(server.url) as connection:
            version = connection.info.parameter_status("server_version") or "unknown"
            durable = connection.execute(
                "SELECT setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit')"
            ).fetchall()
        if {row[0] for row in durable} != {"on"}:
            raise BenchError(
                "Postgres does not sync its commits; nothing measured here would count"
            )
        with contextlib.ExitStack() as processes:
            yield Place(folder, server.url, say, processes, version, sizes)


def connect(url: str) -> psycopg.Connection:
    """Open a plain psycopg connection: what floors are written with."""
    with Database(url) as database:
        return psycopg.connect(database.conninfo, autocommit=True)


def wait_for(
    look: Callable[[], bool], what: str, *, seconds: float, child: Child | None = None
) -> None:
    """Look until it is so; :class:`BenchError` after ``seconds``, or when ``child`` is gone."""
    until = time.monotonic() + seconds
    while not look():
        if child is not None:
            child.check()
        if time.monotonic() > until:
            raise BenchError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)
