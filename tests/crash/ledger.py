"""What was acknowledged to a sender, compared with what a node holds after it was killed.

The sender repeats each event under one ``Idempotency-Key`` until it is
acknowledged, as senders do. The effects are counted by a server of the test.
"""

import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2

from tests.running import PLAIN, Node, git, wait_for

ENDED = ("completed", "failed", "cancelled")
BLUEPRINT = """\
id: bp.test.crash
triggers: [{event_type: crash.job}]
plan:
  - {id: before, kind: transform, set: {x: 1}}
  - id: call
    kind: action_task
    action: http.call
    with: {url: "URL", method: POST}
    idempotency_key: "{{ event.data.n }}"
  - {id: after, kind: transform, set: {x: "{{ steps.before.outputs.x + 1 }}"}}
"""


class Effects:
    """An HTTP server that counts what it was asked to do, by idempotency key."""

    def __init__(self) -> None:
        effects = self
        self.seen: Counter[str] = Counter()
        self.open = threading.Event()
        self.open.set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                effects.seen[self.headers.get("Idempotency-Key", "")] += 1
                effects.open.wait(60)
                with contextlib.suppress(OSError):  # whoever asked may be dead by now
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def prepare(
    node: Node, folder: Path, effects: Effects, files: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Push the blueprint, or files in its place, and let the node reach the counting server."""
    git(folder, "clone", "-q", node.git_url, "clone")
    clone = folder / "clone"
    text = (clone / "node.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("egress:")]
    allow = f'egress: {{allow: ["127.0.0.1:{effects.port}"]}}'
    (clone / "node.yaml").write_text("\n".join([*lines, allow, ""]))
    for path, content in {"blueprints/crash.yaml": BLUEPRINT, **files}.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(content.replace("URL", f"http://127.0.0.1:{effects.port}/"))
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Count effects")
    git(clone, "push", "-q", "origin", "HEAD:main")


@dataclass
class Ledger:
    """Events that were acknowledged, by their number."""

    node: Node
    acknowledged: dict[int, str] = field(default_factory=dict)
    asked: int = 0

    def send(self, seconds: float = 0.0) -> int | None:
        """Send the next event, again for so long; its last status, ``None`` unanswered."""
        number, self.asked = self.asked, self.asked + 1
        return self.repeat(number, seconds)

    def repeat(self, number: int, seconds: float = 0.0) -> int | None:
        until = time.monotonic() + seconds
        while True:
            status = self._post(number)
            if status == 202 or time.monotonic() >= until:
                return status
            time.sleep(0.05)

    def _post(self, number: int) -> int | None:
        try:
            answer = httpx2.post(
                f"{self.node.url}/api/v1/events",
                json={"event_name": "crash.job", "data": {"n": number, "more": number % 8 == 0}},
                headers={"Idempotency-Key": f"crash-{number}"},
                timeout=10,
                **PLAIN,
            )
        except httpx2.HTTPError:
            return None
        if answer.is_success:
            event_id = answer.json()["event_id"]
            # A repeat is answered with the event of the first time, before and after a kill.
            assert self.acknowledged.setdefault(number, event_id) == event_id
            return 202
        return int(answer.status_code)

    def settle(self, seconds: float = 60.0) -> None:
        """Send what was not acknowledged once more, and wait until every run rests."""
        for number in range(self.asked):
            if number not in self.acknowledged:
                assert self.repeat(number, seconds) == 202
        wait_for(self._rests, lambda: f"{self.statuses()}\n{self.node.log()}", seconds=seconds)

    def statuses(self) -> Counter[str]:
        return Counter(run["status"] for run in self.runs())

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            parameters = {"limit": "200", "blueprint_id": "bp.test.crash"}
            page = self.node.get("/runs", **parameters, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    def _rests(self) -> bool:
        with contextlib.suppress(httpx2.HTTPError, AssertionError):
            runs = self.runs()
            return (
                all(run["status"] in (*ENDED, "waiting") for run in runs)
                and len(runs) >= len(self.acknowledged)
                and self.node.get("/status")["records_waiting"] == 0
            )
        return False

    def check(self, effects: Effects) -> None:
        """Compare: events with acknowledgements, effects with steps, records in Git with runs."""
        runs = self.runs()
        # P1: an acknowledged event is there, once, and started its one run.
        assert Counter(run["event_id"] for run in runs) == Counter(self.acknowledged.values())
        ends = Counter(
            (run["status"], run.get("wait_reason"), str(run.get("error"))) for run in runs
        )
        rest = {end[:2] for end in ends} - {("completed", None), ("waiting", "poison")}
        assert not rest, f"{ends}\n{self.node.log()}"
        # P2: no effect beyond the attempts that were begun; a finished step has had its own.
        numbers = {event_id: str(number) for number, event_id in self.acknowledged.items()}
        for run in runs:
            steps = self.node.get(f"/runs/{run['run_id']}/steps")["items"]
            (call,) = (step for step in steps if step["key"] == "call")
            had = effects.seen[numbers[run["event_id"]]]
            assert had <= call["attempt"], (run, call, had)
            assert call["status"] != "completed" or had >= 1, (run, call)
        # P4: what Git says of a run last is what the index says.
        assert recorded(self.node.home / "state.git") >= {
            (run["run_id"], run["status"]) for run in runs
        }


def recorded(repository: Path) -> set[tuple[str, str]]:
    """Run and status, as the last record of each run has it."""
    last: dict[str, str] = {}
    for line in _lines(repository):
        value = json.loads(line)
        if value["kind"] == "run":
            last[value["run"]["run_id"]] = value["run"]["status"]
    return set(last.items())


def _lines(repository: Path) -> Iterator[str]:
    refs = _git(repository, "for-each-ref", "--format=%(refname)", "refs/xyn/runs/").split()
    for ref in refs:
        order = _git(
            repository, "log", "--reverse", "--format=%(trailers:key=Segment,valueonly)", ref
        )
        for segment in order.split():
            if not segment.endswith(".events.jsonl"):
                yield from _git(repository, "show", f"{ref}:{segment}").splitlines()


def _git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "safe.directory=*", "--git-dir", str(repository), *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
