"""``git push`` until the pushed revision is active, beside a bare push of the same commit."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench import floor_git
from bench.desired import blueprint
from bench.node import Node, commit, free_port, git, listening
from bench.place import BenchError, wait_for
from bench.result import Result, compare, quantile
from bench.rounds import rounds

ROUNDS: Final = 11
SECONDS: Final = 25.0
_PATH: Final = "blueprints/bench/pushed.yaml"


def measure(node: Node) -> Iterator[Result]:
    """Give a row for pushes over HTTP, and one for pushes over the file path."""
    clone, bare = node.place.folder / "clone", node.place.folder / "floor.git"
    floor_git.create(bare)
    git(clone, "push", "--quiet", str(bare), "HEAD:main")
    port = free_port()
    server = node.place.start("bench.floor_git", str(port), str(bare))
    floor_url = f"http://127.0.0.1:{port}/floor.git"
    wait_for(lambda: listening(port), "an answer of the floor's server", seconds=30, child=server)
    yield _row(node, "over HTTP", floor_url, node.git_url)
    yield _row(node, "over the file path", str(bare), str(node.home / "state.git"))
    server.stop()


def _row(node: Node, how: str, floor_remote: str, remote: str) -> Result:
    name, clone = f"push to active, {how}", node.place.folder / "clone"
    times = []
    for number in rounds(node.place.say, name, ROUNDS, seconds=SECONDS):
        revision = commit(clone, {_PATH: _edition(name, number)}, f"Edition {number}")
        turns: list[Callable[[], float]] = [
            lambda: _push(clone, floor_remote),
            lambda: _push(clone, remote),
        ]
        if number % 2:
            xyn, floor = turns[1](), turns[0]()
        else:
            floor, xyn = turns[0](), turns[1]()
        if node.get("/api/v1/status")["last_applied_revision"] != revision:
            raise BenchError(f"the push {how} returned and its revision is not active")
        times.append((floor * 1000, xyn * 1000))
    files = len(git(clone, "ls-files").splitlines())
    conditions = {
        "value": "time of git push; when it returns the revision is checked to be applied",
        "floor_is": "git push of the same commit to a bare repository with the same configuration"
        " and hooks that do nothing",
        "files": f"1 of {files} changed",
        "p95_ms": f"{quantile([xyn for _, xyn in times], 0.95):.0f},"
        f" floor {quantile([floor for floor, _ in times], 0.95):.0f}",
    }
    return compare(name, "ms", times, conditions)


def _push(clone: Path, remote: str) -> float:
    began = time.monotonic()
    git(clone, "push", "--quiet", remote, "HEAD:main")
    return time.monotonic() - began


def _edition(name: str, number: int) -> bytes:
    return blueprint(0, number) + f"# {name}\n".encode()
