"""A node as its users have it: ``xynctl up`` as a process, asked over HTTP, git and the command."""

import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil

from xyn_reconciler.node.home import Home
from xyn_reconciler.node.output import Output

PLAIN: Final[Mapping[str, Any]] = {"trust_env": False, "verify": False}
"""No certificates are read for plain HTTP: they cost 30 ms of CPU a request."""
START_SECONDS = 90.0
WAIT_SECONDS = 60.0
"""Far beyond what anything takes: only a test that fails waits as long."""


def free_port() -> int:
    """Give a port on which nobody listens, and no other test will as long as this process lives.

    It lies below those that outgoing connections get: one of them could take it meanwhile.
    """
    folder = Path(tempfile.gettempdir()) / "xyn-test-ports"
    folder.mkdir(exist_ok=True)
    while True:
        port = random.randrange(20_000, 32_000)
        claim = os.open(folder / str(port), os.O_CREAT | os.O_RDWR)
        with contextlib.suppress(OSError), socket.socket() as probe:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.bind(("127.0.0.1", port))
            return port
        os.close(claim)


def clean_environment(**more: str) -> dict[str, str]:
    """Give the environment without settings that would lead to another node."""
    ours = ("XYN_", "DATABASE_URL", "GIT_", "OPENAI_", "ANTHROPIC_", "PYTHONDONTWRITE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", **more}


@dataclass
class Node:
    """One node in ``home``; started and stopped by the test."""

    home: Path
    port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None
    output: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def git_url(self) -> str:
        return f"{self.url}/git/state.git"

    def start(self, *options: str, standing_in: Path | None = None) -> "Node":
        """Start it and return when it says that it is ready.

        ``standing_in``: without ``--home``, from this folder.
        """
        log = self.home.with_name(f"{self.home.name}.up.log")
        home = [] if standing_in else ["--home", str(self.home)]
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [*XYNCTL, "up", *home, "--port", str(self.port), *options],
                cwd=standing_in,
                env=clean_environment(**self.environment),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        # A node whose repository is not valid goes on and says nothing.
        impatient = threading.Timer(START_SECONDS, self.process.kill)
        impatient.start()
        line = self.process.stdout.readline()
        impatient.cancel()
        if not line.startswith("ready "):
            self.stop()
            raise AssertionError(f"not ready: {line!r}\n{log.read_text()[-4000:]}\n{self.log()}")
        assert line.strip() == f"ready {self.url}"
        return self

    def log(self) -> str:
        """What the node's processes printed of trouble, the end of it."""
        with contextlib.suppress(FileNotFoundError):
            return Output(Home(self.home).log("all")).since(0)
        return ""

    def stop(self) -> int:
        """End it as Ctrl-C does; gives its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            if self.process is not None and self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it, Postgres too."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def kill(self) -> None:
        """SIGKILL everything at once."""
        family = self.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        assert self.process is not None
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def xynctl(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command against this node."""
        done = subprocess.run(
            [*XYNCTL, *arguments, "--home", str(self.home)],
            env=clean_environment(**self.environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr}\n{self.log()}"
        return done

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        url = f"{self.url}/api/v1{path}"
        answer = httpx2.get(url, params=parameters, timeout=WAIT_SECONDS, **PLAIN)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        url, body = f"{self.url}/api/v1{path}", {} if body is None else body
        answer = httpx2.post(url, json=body, timeout=WAIT_SECONDS, **PLAIN)
        assert answer.is_success, answer.text
        return answer.json()

    def emit(self, name: str, data: Mapping[str, Any] | None = None) -> str:
        event = self.post("/events", {"event_name": name, "data": dict(data or {})})
        return str(event["event_id"])

    def run_of(self, event_id: str) -> dict[str, Any]:
        """The one run that an event started."""
        found: list[dict[str, Any]] = self.get("/runs", event_id=event_id)["items"]
        assert len(found) == 1, found
        return found[0]

    def wait_for_run(self, run_id: str, *statuses: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            run: dict[str, Any] = self.get(f"/runs/{run_id}")
            return run if run["status"] in statuses else None

        found: dict[str, Any] = wait_for(
            there, lambda: f"{self.get(f'/runs/{run_id}')}\n{self.log()}"
        )
        return found


def wait_for(
    look: Callable[[], Any],
    explain: Callable[[], object] = lambda: "it did not happen",
    seconds: float = WAIT_SECONDS,
) -> Any:  # noqa: ANN401 - what look gives
    """Look again and again until it gives something true."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, explain()
        time.sleep(0.05)


def crowd() -> float:
    """How many times longer than alone something may take on a machine that others use as well."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def answers(url: str) -> bool:
    """Whether a server says yes at an address."""
    try:
        return httpx2.get(url, **PLAIN).is_success
    except httpx2.HTTPError:
        return False


def git(folder: Path, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a real git client, as a user with a name and no other configuration."""
    identity = {
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=clean_environment(**identity),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done


XYNCTL = [sys.executable, "-m", "xyn_reconciler.cli"]

EVERYBODY_MAY = """\
policy_id: 2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a12
policy_type: governance
name: everybody may
status: active
rules:
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d13
    priority: 1000
    match: {action: "*"}
    effect: allow
"""
"""A policy that would allow everything."""
