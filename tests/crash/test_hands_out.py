"""SIGKILL while steps have their hands out in the world: what they held is let go of.

All of them at the same time on one node: its worker is killed first, then everything.
"""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
import pytest
from sqlalchemy import text

from tests.integration.action.test_container_exec import Images, images  # noqa: F401 - a fixture
from tests.integration.agent.speaking import STALL, Speaking, begun, ended, speaking
from tests.integration.record.record_world import TABLES
from tests.neighbours import confinement
from tests.running import PLAIN, XYNCTL, Node, clean_environment, git, wait_for
from tests.sshd import Sshd, sshd
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.up import open_postgres
from xyn_reconciler.store.database import Database

pytestmark = [pytest.mark.crash, pytest.mark.slow]

SLEEP: Final = tuple(str(10**7 + 10 * os.getpid() + n) for n in range(3))
"""How long program, remote command and container would sleep: nobody else sleeps so long."""

PACK = """\
id: hands
name: Hands
version: 0.1.0
xyn_core: ">=0.1"
attachment: external
settings: {type: object, additionalProperties: false, properties: {url: {type: string}}}
actions:
  hands.once:
    summary: Sleep, and do not do it again.
    input_schema: {type: object}
    output_schema: {type: object}
    run: {file: actions/sleep.sh}
  hands.again:
    summary: Sleep the first time.
    idempotent: true
    input_schema: {type: object}
    output_schema: {type: object}
    run: {file: actions/again.py}
  hands.pages:
    summary: Change something on every page.
    input_schema: {type: object}
    output_schema: {type: object}
    request: {method: POST, url: "{{ settings.url }}/page/1"}
    paginate: {next: "{{ response.json.next }}", items: "{{ response.json.items }}", most: 5}
    outputs: {items: "{{ items }}"}
"""
AGAIN = """\
import json, sys, time
request = json.load(sys.stdin)
if request["attempt"] == 1:
    time.sleep(600)
print(json.dumps({"outputs": {"attempt": request["attempt"]}}))
"""
ASK = """\
id: bp.test.ask
triggers: [{event_type: test.ask}]
plan:
  - id: ask
    kind: agent_task
    provider: local
    model: llama4
    prompt_template: say hello
    budget: {max_output_tokens: 500}
"""
USED = {"prompt_tokens": 10, "completion_tokens": 5}
SAID = begun("local", "hello " * 2000)
"""Longer than a secret, of which the end of what is said could be the beginning."""
HELLO = [*begun("local", "hello"), *ended("local", "hello", USED)]


class Stalling:
    """A server whose every answer stops in its middle, until it is told to go on."""

    def __init__(self) -> None:
        stalling = self
        self.asked: list[str] = []
        self.goes_on = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                stalling.asked.append(self.path)
                if self.path == "/page/1":
                    self.told(json.dumps({"items": [1], "next": f"{stalling.url}/page/2"}))
                else:
                    stalling.goes_on.wait(60)

            def do_GET(self) -> None:
                stalling.asked.append(self.path)
                if self.path == "/big":
                    self.told("x" * 200_000)
                elif not stalling.goes_on.wait(60) or self.path:
                    with contextlib.suppress(OSError):
                        self.send_error(404)

            def told(self, body: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                half = len(body) // 2 if self.path == "/big" else 0
                with contextlib.suppress(OSError):
                    self.wfile.write(body[:half].encode())
                    self.wfile.flush()
                    if half:
                        stalling.goes_on.wait(60)
                    self.wfile.write(body[half:].encode())

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.goes_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class World:
    """A node, and all that its steps reach for."""

    node: Node
    folder: Path
    stalling: Stalling
    server: Sshd
    images: Images
    model: Speaking
    runs: dict[str, str] = field(default_factory=dict)
    """What was begun last, by its name."""

    def begin(self) -> None:
        """Put out every hand, and wait until each holds something."""
        self.stalling.asked.clear()
        self.stalling.goes_on.clear()
        key, port = self.server.known_hosts(), self.server.port
        host = {"host": "127.0.0.1", "port": port, "user": self.server.user, "key_ref": "env/KEY"}
        given: Mapping[str, tuple[str, Mapping[str, Any]]] = {
            "program": ("hands.once", {}),
            "again": ("hands.again", {}),
            "pages": ("hands.pages", {}),
            "ssh": (
                "ssh.run",
                {**host, "gateway": host, "known_hosts": key, "argv": ["sleep", SLEEP[1]]},
            ),
            "container": (
                "container.exec",
                {
                    "image": self.images.busybox,
                    "argv": ["sleep", SLEEP[2]],
                    "files": {"in/a": "text"},
                    "artifacts": ["out/"],
                },
            ),
            "body": ("http.call", {"url": f"{self.stalling.url}/big", "save_to": "big"}),
            "clone": (
                "git.repo.clone",
                {"repository": "theirs", "url": f"{self.stalling.url}/x.git"},
            ),
        }
        self.runs = {name: self.execute(*what) for name, what in given.items()}
        self.runs["ask"] = self.node.run_of(self.node.emit("test.ask"))["run_id"]
        said = len(self.model.asked) + 1
        wait_for(lambda: len(sleeping()) == len(SLEEP), lambda: f"{sleeping()} {self.told()}")
        wait_for(lambda: len(self.stalling.asked) >= 4, lambda: self.stalling.asked)
        wait_for(lambda: len(self.model.asked) >= said - 1 and self.live("ask"), self.told)

    def execute(self, action: str, inputs: Mapping[str, Any]) -> str:
        body = {"action": action, "with": inputs, "wait_seconds": 0}
        answer = httpx2.post(f"{self.node.url}/api/internal/actions/execute", json=body, **PLAIN)
        assert answer.is_success, answer.text + self.node.log()
        return str(answer.json()["run_id"])

    def live(self, name: str) -> list[Any]:
        step = "ask" if name == "ask" else "try"
        found: list[Any] = self.node.get(f"/runs/{self.runs[name]}/steps/{step}/live")["items"]
        return found

    def step(self, name: str) -> dict[str, Any]:
        (found,) = self.node.get(f"/runs/{self.runs[name]}/steps")["items"]
        return dict(found)

    def rest(self) -> dict[str, tuple[str, int]]:
        """How every run rests in the end: its status or what it waits for, and its attempts."""
        wait_for(lambda: all(self._rests(name) for name in self.runs), self.told)
        return {
            name: (str(run["wait_reason"] or run["status"]), self.step(name)["attempt"])
            for name in self.runs
            for run in [self.node.get(f"/runs/{self.runs[name]}")]
        }

    def _rests(self, name: str) -> bool:
        with contextlib.suppress(httpx2.HTTPError, AssertionError):
            run = self.node.get(f"/runs/{self.runs[name]}")
            return run["status"] in ("waiting", "completed", "failed")
        return False

    def told(self) -> str:
        steps = {name: self.step(name) for name in self.runs}
        shown = {k: (s["status"], s["attempt"], s["error"]) for k, s in steps.items()}
        return f"{shown}\n{self.node.log()}"


RESTS: Final = {
    "program": ("interrupted", 1),
    "again": ("completed", 2),
    "pages": ("interrupted", 1),
    "ssh": ("interrupted", 1),
    "container": ("interrupted", 1),
    "body": ("completed", 2),
    "clone": ("failed", 2),
    "ask": ("completed", 2),
}
"""What may be done again is; what may have had its effect asks a person."""


def sleeping() -> list[str]:
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return sorted(each[1] for each in found if each[:1] == ["sleep"] and each[1] in SLEEP)


def fetching(folder: Path) -> list[list[str]]:
    """Programs of git that still work in a folder."""
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [each for each in found if any(str(folder / "repositories") in word for word in each)]


@pytest.fixture
def world(tmp_path: Path, images: Images) -> Iterator[World]:  # noqa: F811 - the fixture
    confinement()
    (tmp_path / "sshd").mkdir()
    (tmp_path / "tmp").mkdir()
    stalling = Stalling()
    with (
        sshd(tmp_path / "sshd") as server,
        speaking([*SAID, STALL], HELLO, [*SAID, STALL], HELLO) as model,
    ):
        environment = {"KEY": server.key, "TMPDIR": str(tmp_path / "tmp")}
        if images.engine.host:
            environment["DOCKER_HOST"] = images.engine.host
        node = Node(tmp_path / "home", environment=environment).start()
        world = World(node, tmp_path, stalling, server, images, model)
        configure(world)
        yield world
        if node.process is not None:
            node.kill()
        stalling.close()


def configure(world: World) -> None:
    clone = world.folder / "clone"
    git(world.folder, "clone", "-q", world.node.git_url, "clone")
    given = {
        "providers": {
            "local": {"enabled": True, "kind": "openai", "base_url": f"{world.model.url}/v1"}
        },
        "egress": {"allow": ["127.0.0.1"]},
        "budgets": {"step": 700},
    }
    kept = (clone / "node.yaml").read_text().splitlines()
    lines = [line for line in kept if line.partition(":")[0] not in given]
    lines += [f"{name}: {json.dumps(value)}" for name, value in given.items()]
    files = {
        "node.yaml": "\n".join([*lines, ""]),
        "blueprints/ask.yaml": ASK,
        "packs/hands/pack.yaml": PACK,
        "packs/hands/settings.yaml": f'url: "{world.stalling.url}"\n',
        "packs/hands/actions/sleep.sh": f"#!/bin/sh\nsleep {SLEEP[0]}\n",
        "packs/hands/actions/again.py": AGAIN,
        **{
            f"packs/hands/examples/{name}.yaml": f"action: hands.{name}\nexpect: {{}}\n"
            for name in ("once", "again", "pages")
        },
    }
    for path, content in files.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(content)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Hands")
    git(clone, "push", "-q", "origin", "HEAD:main")


def test_what_steps_had_their_hands_on_is_let_go_of_whoever_is_killed(world: World) -> None:
    node, home = world.node, world.node.home
    world.begin()
    with following(world) as told:
        (worker,) = [process for process in node.family() if process.name() == "xyn-worker"]
        worker.kill()
        world.stalling.goes_on.set()

        assert world.rest() == RESTS
        let_go(world)
        # Whoever watches is told the same as if nothing had happened.
        assert json.loads(told()) == {"attempt": 2}

    world.begin()
    node.kill()
    node.start()
    world.stalling.goes_on.set()

    assert world.rest() == RESTS
    let_go(world)
    # The question of the dead worker counts in full at once, and nobody waits for its end.
    first, second = (asked["max_tokens"] for asked in world.model.asked[2:])
    assert (first, second < 200) == (500, True)
    kept = [each for each in node.get("/artifacts")["items"] if each["name"] == "big"]
    assert [each["byte_length"] for each in kept] == [200_000, 200_000]
    assert node.xynctl("verify").returncode == 0

    before = digests(node)
    subprocess.run(["rm", "-rf", home / "postgres"], check=True)
    after = digests(node)
    assert after == before


def let_go(world: World) -> None:
    """Look for whatever a dead worker could have left."""
    home = world.node.home
    wait_for(lambda: sleeping() == [], sleeping)
    wait_for(lambda: not fetching(home), lambda: fetching(home))
    assert [path for path in world.stalling.asked if path.startswith("/page")] == [
        "/page/1",
        "/page/2",
    ]
    wait_for(lambda: world.images.left() == "", world.images.left)
    volumes = world.images.engine.docker("volume", "ls", "--quiet", "--filter", "dangling=true")
    assert volumes == ""
    wait_for(lambda: left_in(world) == [], lambda: left_in(world))
    assert all(world.live(name) == [] for name in world.runs)


def left_in(world: World) -> list[Path]:
    """Folders of programs, half a clone."""
    return [
        *(world.folder / "tmp").glob("*xyn-own-*"),
        *(world.node.home / "repositories").iterdir(),
    ]


@contextlib.contextmanager
def following(world: World) -> Iterator[Callable[[], str]]:
    """``xynctl action try`` under way; gives what it has said in the end."""
    with subprocess.Popen(
        [*XYNCTL, "action", "try", "hands.again", "--home", str(world.node.home)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(lambda: len(world.node.get("/runs", status="running")["items"]) > len(world.runs))
        yield lambda: process.communicate(timeout=60)[0]


def digests(node: Node) -> dict[str, list[str]]:
    """Every row that Git can bring back, as the database has it once the node has come to rest."""
    if node.process is None:
        node.start()
    wait_for(lambda: node.get("/status")["records_waiting"] == 0, node.log)
    assert node.stop() == 0
    found = {}
    with (
        open_postgres(Home(node.home), {}, lambda _: None) as url,
        Database(url) as database,
        database.connect() as connection,
    ):
        for table, order in TABLES.items():
            question = f"SELECT CAST(t AS text) FROM {table} t ORDER BY {order}"  # noqa: S608 - our own names
            found[table] = list(connection.execute(text(question)).scalars())
    return found
