"""Xyn as its users have it: ``xynctl up`` as processes, asked over HTTP and git.

Roles are started apart, on the server that the floors use; the worker is ours
alone (:mod:`.worker`), so that it can be absent while events come in.
"""

import contextlib
import datetime as dt
import http.client
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.client import Client
from bench.desired import FILES
from bench.place import NODES, BenchError, Child, Place, connect, wait_for
from bench.stamps import Stamps
from bench.worker import HOLDS
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.store.database import Database
from xyn_reconciler.trigger.intake import Intake

READY_SECONDS: Final = 60.0
RECORD_SECONDS: Final = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@dataclass(slots=True)
class Node:
    """A running node with the benchmark's blueprints active; workers come and go."""

    place: Place
    name: str
    home: Path
    port: int
    environment: Mapping[str, str]
    client: Client
    _keeper: Child | None = None

    @property
    def git_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/git/state.git"

    @property
    def clone(self) -> Path:
        return self.place.folder / f"clone-{self.name}"

    def start_worker(self, *, holds: bool = False) -> Child:
        """Start a worker with the benchmark's actions; ``holds`` makes it one to be killed."""
        more = {HOLDS: "1"} if holds else {}
        return self._start_worker("bench.worker", **more)

    def start_plain_worker(self) -> Child:
        """Start a worker as it is, for what it costs while it does nothing."""
        return self._start_worker("xyn_reconciler.node.worker_process")

    def start_role(self, role: str) -> Child:
        up = ("up", "--home", str(self.home), "--port", str(self.port), "--role", role)
        return self.place.start(NODES, *up, **self.environment)

    def start_keeper(self) -> Child:
        """Start the role that judges pushes and writes records."""
        self._keeper = self.start_role("node")
        return self._keeper

    def stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.stop()

    @contextlib.contextmanager
    def without_records(self) -> Iterator[None]:
        """Have no committer meanwhile; afterwards all that has piled up is recorded."""
        self.stop_keeper()
        try:
            yield
        finally:
            self.start_keeper()
        self.wait_recorded()

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self.client.get(path)

    def emit(self, name: str, run: str) -> None:
        self.client.emit(name, run)

    def take_in(self, name: str, runs: Sequence[str]) -> float:
        """Commit an event for each run, together: a crowd that is there at once; gives when."""
        with Database(self.environment["DATABASE_URL"]) as database:
            take_in(Intake(compile_run, Redactor([])), database, name, runs)
            return time.monotonic()

    @contextlib.contextmanager
    def submitter(self, name: str) -> Iterator[Callable[[str], None]]:
        """Give what posts an event on a connection of its own."""
        with contextlib.closing(Client(self.port)) as client:
            yield lambda run: client.emit(name, run)

    def wait_recorded(self) -> None:
        """Wait until nothing waits for the committer."""
        wait_for(self.recorded, f"the records of {self.name}", seconds=RECORD_SECONDS)

    def recorded(self) -> bool:
        return bool(self.get("/api/v1/status")["records_waiting"] == 0)

    def ready(self) -> bool:
        try:
            return self.client.ask("GET", "/readyz")[0] == http.client.OK
        except OSError:
            return False

    def database(self) -> psycopg.Connection:
        return connect(self.environment["DATABASE_URL"])

    def _start_worker(self, module: str, **environment: str) -> Child:
        started = dt.datetime.now(dt.UTC).isoformat()
        home = ("--home", str(self.home))
        all_of_it = {**self.environment, "XYN_STARTED_AT": started, **environment}
        return self.place.start(module, *home, **all_of_it)


def take_in(intake: Intake, database: Database, name: str, runs: Sequence[str]) -> list[uuid.UUID]:
    """Take in an event for each of ``runs`` in one transaction; gives the runs' ids."""
    now = dt.datetime.now(dt.UTC)
    events = [
        Event(
            event_id=uuid.uuid4(),
            event_name=name,
            occurred_at=now,
            env_id="local",
            actor="operator",
            correlation_id=str(uuid.uuid4()),
            data={"run": run, "padding": "y" * 200},
        )
        for run in runs
    ]
    with database.begin() as connection:
        started = intake.take_in(connection, events).run_ids
    if len(started) != len(runs):
        raise BenchError(f"{len(runs)} events started {len(started)} runs")
    return list(started)


@contextlib.contextmanager
def running_node(place: Place, stamps: Stamps, name: str) -> Iterator[Node]:
    """Start a node from the template, push the benchmark's blueprints; ended with the context."""
    place.say(f"starting Xyn: {name}")
    home, port = place.folder / name, free_port()
    environment = {
        "DATABASE_URL": place.database(name),
        "XYN_HOME": str(home),
        "XYN_URL": f"http://127.0.0.1:{port}",
        **stamps.environment,
    }
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(Client(port)))
        node = Node(place, name, home, port, environment, client)
        keeper = node.start_keeper()
        stack.callback(node.stop_keeper)
        # The web process finds a repository: the role that makes it has to be first.
        wait_for(
            (home / "state.git" / "refs" / "heads" / "main").exists,
            "the state repository",
            seconds=READY_SECONDS,
            child=keeper,
        )
        web = node.start_role("web")
        stack.callback(web.stop)
        wait_for(node.ready, "a ready node", seconds=READY_SECONDS, child=web)
        git(place.folder, "clone", "--quiet", node.git_url, str(node.clone))
        commit(node.clone, FILES, "Add what is measured")
        git(node.clone, "push", "--quiet", "origin", "HEAD:main")
        yield node


def commit(clone: Path, files: Mapping[str, bytes], message: str) -> str:
    """Write files in a clone and commit them; gives the commit."""
    for path, content in files.items():
        file = clone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", message)
    return git(clone, "rev-parse", "HEAD").strip()


def git(folder: Path, *arguments: str) -> str:
    """Run a real git client that knows no configuration but its clone's."""
    ours = {
        "GIT_AUTHOR_NAME": "Bench",
        "GIT_AUTHOR_EMAIL": "bench@example.org",
        "GIT_COMMITTER_NAME": "Bench",
        "GIT_COMMITTER_EMAIL": "bench@example.org",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**kept, **ours},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"git {arguments[0]} failed: {done.stderr}")
    return done.stdout
