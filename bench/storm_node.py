"""The node in the storm: two workers on one database, the blueprint that it acts by, its books.

Asked over HTTP and by ``git fetch`` alone, as anybody could who doubts it.
"""

import http.client
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.node import READY_SECONDS, commit, free_port, git
from bench.place import BenchError, Child, Place, wait_for
from bench.storm_http import ask

BLUEPRINT_ID: Final = "bp.storm.alert"

_NODE: Final = """\
id: seed
env_id: local
mode: active
stage: dev
egress: {allow: ["127.0.0.1:PORT"]}
"""
_BLUEPRINT: Final = """\
id: BLUEPRINT
name: Answer an alert
triggers:
  - event_type: alertmanager.alert
    match: {data.status: firing}
inputs:
  alert: {type: string, from: "{{ event.data.fingerprint }}"}
  host: {type: string, from: "{{ event.data.labels.instance }}"}
plan:
  - {id: note, kind: transform, set: {text: "looked at {{ inputs.host }}"}}
  - id: call
    kind: action_task
    action: http.call
    with: {url: "http://127.0.0.1:PORT/", method: POST}
    idempotency_key: "{{ inputs.alert }}"
outputs: {said: "{{ steps.note.outputs.text }}"}
"""
WORKERS: Final = ("worker", "worker")
QUIET_SECONDS: Final = 120.0
_PAGE: Final = 200
_TRIES: Final = 3


@dataclass(slots=True)
class StormNode:
    """A running node, and a clone of its state repository."""

    port: int
    clone: Path
    others: list[Child]
    workers: list[Child]
    """What starts a worker again whenever it is killed."""

    def check(self) -> None:
        """Raise if what keeps the processes alive has gone itself."""
        for each in (*self.others, *self.workers):
            each.check()

    def runs(self) -> list[dict[str, Any]]:
        """Every run of the storm's blueprint."""
        return list(self._pages(f"/api/v1/runs?blueprint_id={BLUEPRINT_ID}"))

    def attempts(self, run_id: str) -> int:
        """How often the call of a run was begun."""
        steps = self._get(f"/api/v1/runs/{run_id}/steps")["items"]
        return sum(step["attempt"] for step in steps if step["key"] == "call")

    def set_aside(self) -> list[str]:
        """Runs that wait for a person, because workers died under them three times in a row."""
        found = self._pages(f"/api/v1/runs?blueprint_id={BLUEPRINT_ID}&status=waiting")
        return [run["run_id"] for run in found if run["wait_reason"] in ("poison", "interrupted")]

    def unfinished(self) -> int:
        """Runs under way, and records that wait for Git."""
        status = self._get("/api/v1/status")
        runs = sum(status["runs"][each] for each in ("created", "running", "waiting"))
        return int(runs + status["records_waiting"])

    def resolve(self, run_id: str) -> None:
        """Say as a person would that the call of a run is to be tried again."""
        body = json.dumps({"resolution": "retry"}).encode()
        ask("POST", self.port, f"/api/v1/runs/{run_id}/steps/call/resolve", body)

    def recorded(self) -> set[str]:
        """Runs that ended well, as the records say which a clone fetches."""
        git(self.clone, "fetch", "--quiet", "origin", "refs/xyn/runs/*:refs/xyn/runs/*")
        refs = git(self.clone, "for-each-ref", "--format=%(refname)", "refs/xyn/runs/")
        return {
            line["run"]["run_id"]
            for ref in refs.split()
            for line in _lines(self.clone, ref)
            if line["kind"] == "run" and line["run"]["status"] == "completed"
        }

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        for _ in range(_TRIES):
            status, answer = ask("GET", self.port, path)
            if status == http.client.OK:
                return json.loads(answer)
        raise BenchError(f"GET {path} answered {status}: {answer[:600]!r}")

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            page = self._get(f"{path}&limit={_PAGE}{cursor}")
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            cursor = f"&cursor={page['next_cursor']}"


def _lines(clone: Path, ref: str) -> Iterator[dict[str, Any]]:
    """Every line of a month's records."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", ref],
        cwd=clone,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for file in files:
            content = files.extractfile(file)
            if content is not None and file.name.endswith(".jsonl"):
                yield from map(json.loads, content.read().splitlines())


def start(place: Place, effects_port: int) -> StormNode:
    """Start a node, its roles apart, and push what it is to do with an alert."""
    home, port = place.folder / "home", free_port()
    environment = {"DATABASE_URL": place.database("storm")}
    up = ("xyn_reconciler.cli", "up", "--home", str(home), "--port", str(port), "--role")
    keeper = place.start(*up, "node", **environment)
    # The others find a repository: the role that makes it has to be first.
    wait_for(
        (home / "state.git" / "refs" / "heads" / "main").exists,
        "the state repository",
        seconds=READY_SECONDS,
        child=keeper,
    )
    web, *workers = (place.start(*up, role, **environment) for role in ("web", *WORKERS))
    wait_for(
        lambda: ask("GET", port, "/readyz")[0] == http.client.OK,
        "a ready node",
        seconds=READY_SECONDS,
        child=web,
    )
    clone = place.folder / "clone"
    git(place.folder, "clone", "--quiet", f"http://127.0.0.1:{port}/git/state.git", str(clone))
    blueprint = _BLUEPRINT.replace("BLUEPRINT", BLUEPRINT_ID)
    files = {"node.yaml": _NODE, "blueprints/storm.yaml": blueprint}
    here = str(effects_port)
    commit(
        clone,
        {path: content.replace("PORT", here).encode() for path, content in files.items()},
        "Answer alerts",
    )
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    return StormNode(port, clone, [keeper, web], workers)


def settle(storm: StormNode, seen: Callable[[], int], expected: int) -> int:
    """Wait until every expected effect was seen, and every run has ended and is recorded.

    Takes up again, as a person would, what was set aside; gives how many runs that was. Returns
    as well when nothing has changed for :data:`QUIET_SECONDS`: what is missing then will not come.
    """
    resolved = 0
    before, until = (0, 0), time.monotonic() + QUIET_SECONDS
    while time.monotonic() < until:
        storm.check()
        now = (seen(), storm.unfinished())
        if now == (expected, 0):
            break
        if now != before:
            before, until = now, time.monotonic() + QUIET_SECONDS
        for run_id in storm.set_aside():
            storm.resolve(run_id)
            resolved += 1
        time.sleep(0.5)
    return resolved
