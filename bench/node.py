"""Xyn as its users have it: ``xynctl up`` as processes, asked over HTTP and git.

Roles are started apart, on the server that the floors use; the worker is ours
alone (:mod:`.worker`), so that it can be absent while events come in.
"""

import datetime as dt
import http.client
import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.desired import FILES
from bench.place import BenchError, Child, Place, wait_for
from bench.stamps import Stamps

READY_SECONDS: Final = 60.0
_CREATED: Final = 201


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
    home: Path
    port: int
    environment: Mapping[str, str]
    _kept: http.client.HTTPConnection | None = field(default=None)

    @property
    def git_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/git/state.git"

    def start_worker(self) -> Child:
        started = dt.datetime.now(dt.UTC).isoformat()
        return self.place.start(
            "bench.worker",
            "--home",
            str(self.home),
            **self.environment,
            XYN_STARTED_AT=started,
        )

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        status, answer = self._ask("GET", path, None)
        if status != http.client.OK:
            raise BenchError(f"GET {path} answered {status}: {answer[:600]!r}")
        return json.loads(answer)

    def emit(self, name: str, run: str) -> None:
        """Post an event on a kept connection; it is committed when this returns."""
        body = json.dumps({"event_name": name, "data": {"run": run, "padding": "y" * 200}})
        status, answer = self._ask("POST", "/api/v1/events", body.encode())
        if status != _CREATED:
            raise BenchError(f"an event was answered {status}: {answer[:600]!r}")

    def emit_all(self, name: str, runs: Sequence[str]) -> None:
        for run in runs:
            self.emit(name, run)

    def recorded(self) -> bool:
        """Whether no record waits for the committer."""
        return bool(self.get("/api/v1/status")["records_waiting"] == 0)

    def ready(self) -> bool:
        try:
            return self._ask("GET", "/readyz", None)[0] == http.client.OK
        except OSError:
            return False

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        if self._kept is None:
            self._kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            self._kept.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._kept.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(str(error)) from error


def start_node(place: Place, stamps: Stamps) -> Node:
    """Start a node from the template, push the benchmark's blueprints, wait for all of it."""
    place.say("starting Xyn")
    home, port = place.folder / "home", free_port()
    environment = {
        "DATABASE_URL": place.database("seed"),
        "XYN_HOME": str(home),
        "XYN_URL": f"http://127.0.0.1:{port}",
        **stamps.environment,
    }
    up = ("xyn_reconciler.cli", "up", "--home", str(home), "--port", str(port), "--role")
    node = Node(place, home, port, environment)
    place.stack.callback(node.close)
    keeper = place.start(*up, "node", **environment)
    # The web process finds a repository: the role that makes it has to be first.
    wait_for(
        (home / "state.git" / "refs" / "heads" / "main").exists,
        "the state repository",
        seconds=READY_SECONDS,
        child=keeper,
    )
    web = place.start(*up, "web", **environment)
    wait_for(node.ready, "a ready node", seconds=READY_SECONDS, child=web)
    clone = place.folder / "clone"
    git(place.folder, "clone", "--quiet", node.git_url, str(clone))
    commit(clone, FILES, "Add what is measured")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    return node


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
