"""SIGKILL everything, start again, and look at what was promised (P1, P2, P4, P5)."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.running import Node, crowd, git, wait_for

SLOW = """\
id: bp.test.slow
triggers: [{event_type: slow.job}]
plan:
  - {id: before, kind: transform, set: {x: 1}}
  - id: call
    kind: action_task
    action: http.call
    with: {url: "URL", method: POST}
    idempotency_key: "call for {{ event.event_id }}"
  - {id: after, kind: transform, set: {x: "{{ steps.before.outputs.x + 1 }}"}}
"""


class Slow(BaseHTTPRequestHandler):
    """Answers when it is told to, and counts who asked."""

    release = threading.Event()
    asked: list[str] = []  # noqa: RUF012 - one server at a time, cleared by the fixture

    def do_POST(self) -> None:
        self.asked.append(self.headers.get("Idempotency-Key", ""))
        self.release.wait(20)
        with contextlib.suppress(OSError):  # whoever asked may be dead by now
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def slow() -> Iterator[ThreadingHTTPServer]:
    Slow.release.clear()
    Slow.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    Slow.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    found = Node(tmp_path / "home")
    yield found
    if found.process is not None:
        found.kill()


def prepare(node: Node, folder: Path, port: int) -> None:
    git(folder, "clone", "-q", node.git_url, "clone")
    clone = folder / "clone"
    text = (clone / "node.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("egress:")]
    (clone / "node.yaml").write_text(
        "\n".join([*lines, f'egress: {{allow: ["127.0.0.1:{port}"]}}', ""])
    )
    (clone / "blueprints" / "slow.yaml").write_text(
        SLOW.replace("URL", f"http://127.0.0.1:{port}/")
    )
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Call the slow server")
    git(clone, "push", "-q", "origin", "HEAD:main")


def listings(node: Node) -> dict[str, Any]:
    wait_for(lambda: node.get("/status")["records_waiting"] == 0)
    return {
        path: node.get(path, limit="200")["items"]
        for path in ("/events", "/runs", "/gates", "/artifacts", "/blueprints")
    }


def test_after_a_kill_of_everything_both_runs_end_once(
    node: Node, tmp_path: Path, slow: ThreadingHTTPServer
) -> None:
    node.start()
    prepare(node, tmp_path, slow.server_port)
    waiting = node.run_of(node.emit("demo.change", {"service": "billing", "change": "restart"}))
    node.wait_for_run(waiting["run_id"], "waiting")
    running = node.run_of(node.emit("slow.job"))
    wait_for(lambda: Slow.asked)
    family = node.family()

    node.kill()
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    Slow.release.set()
    node.start()
    node.xynctl("gate", "approve", waiting["run_id"], "approve")
    done = [node.wait_for_run(run["run_id"], "completed", "failed") for run in (waiting, running)]

    assert [run["status"] for run in done] == ["completed", "completed"]
    steps = {step["key"]: step for step in node.get(f"/runs/{running['run_id']}/steps")["items"]}
    assert steps["before"]["attempt"] == 1
    assert steps["call"]["attempt"] == 2
    assert len(Slow.asked) == 2
    assert set(Slow.asked) == {f"call for {running['event_id']}"}


def test_after_a_kill_of_everything_the_node_serves_again_within_ten_seconds(node: Node) -> None:
    node.start("--demo")
    took = []
    for _ in range(3):
        node.kill()
        began = time.monotonic()
        node.start()
        assert _emitted(node)
        took.append(time.monotonic() - began)

    assert min(took) <= 10 * crowd(), took


def test_a_dropped_database_comes_back_from_git(node: Node, tmp_path: Path) -> None:
    node.start("--demo")
    waiting = [run for run in node.get("/runs")["items"] if run["status"] == "waiting"]
    before = listings(node)
    assert node.stop() == 0

    shutil.rmtree(node.home / "postgres")
    node.start()

    assert listings(node) == before
    node.xynctl("gate", "approve", waiting[0]["run_id"], "approve")
    assert node.wait_for_run(waiting[0]["run_id"], "completed")


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node, whose processes are killed one after the other."""
    node = Node(tmp_path_factory.mktemp("sturdy") / "home").start()
    yield node
    assert node.stop() == 0


@pytest.mark.parametrize("name", ["xyn-node", "xyn-worker", "xyn-web", "postgres"])
def test_whichever_process_is_killed_is_started_again(sturdy: Node, name: str) -> None:
    victims = [process for process in sturdy.family() if process.name() == name]
    assert victims

    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    psutil.wait_procs(victims, timeout=10)
    event_id = wait_for(lambda: _emitted(sturdy))
    run = sturdy.wait_for_run(sturdy.run_of(event_id)["run_id"], "completed")

    assert run["outputs"]["greeting"] == "Hello, again!"
    # A process takes its name a moment after it is there.
    assert wait_for(
        lambda: {p.name() for p in sturdy.family()} >= {"xyn-node", "xyn-worker", "xyn-web"}
    )


def test_the_kill_of_what_watches_postgres_needs_no_hand_work(sturdy: Node) -> None:
    (watcher,) = [p for p in sturdy.family() if any("postgres_watcher" in a for a in p.cmdline())]

    watcher.kill()
    watcher.wait(10)

    wait_for(lambda: any("postgres_watcher" in a for p in sturdy.family() for a in p.cmdline()))
    event_id = wait_for(lambda: _emitted(sturdy))
    assert sturdy.wait_for_run(sturdy.run_of(event_id)["run_id"], "completed")


def _emitted(node: Node) -> str | None:
    """Emit once; while the process that answers is away, any refusal is right."""
    try:
        return node.emit("demo.hello", {"name": "again"})
    except (httpx2.HTTPError, AssertionError):
        return None


def test_the_death_of_the_supervisor_ends_everything_it_started(node: Node) -> None:
    node.start()
    family = node.family()
    assert node.process is not None

    node.process.kill()

    node.process.wait(10)
    if node.process.stdout is not None:
        node.process.stdout.close()
    node.process = None
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
