"""``git push`` until the pushed revision is active, beside a bare push of the same commit."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import floor_git
from bench.desired import blueprint
from bench.node import Node, commit, free_port, git, listening
from bench.place import BenchError, wait_for
from bench.result import Result, compare, quantile
from bench.rounds import turns

SECONDS: Final = 20.0
_PATH: Final = "blueprints/bench/pushed.yaml"


def measure(node: Node) -> Iterator[Result]:
    """Give a row for pushes over HTTP, and one for pushes over the file path."""
    bare = node.place.folder / "floor.git"
    floor_git.create(bare)
    git(node.clone, "push", "--quiet", str(bare), "HEAD:main")
    port = free_port()
    server = node.place.start("bench.floor_git", str(port), str(bare))
    floor_url = f"http://127.0.0.1:{port}/floor.git"
    wait_for(lambda: listening(port), "an answer of the floor's server", seconds=30, child=server)
    yield _row(node, "over HTTP", floor_url, node.git_url)
    yield _row(node, "over the file path", str(bare), str(node.home / "state.git"))
    server.stop()


def push_time(node: Node, edition: str) -> float:
    """Milliseconds of one push of one changed file over HTTP, checked to be active at once."""
    revision = commit(node.clone, {_PATH: _edition(edition)}, edition)
    return _push_to_active(node, node.git_url, revision)


def _row(node: Node, how: str, floor_remote: str, remote: str) -> Result:
    name = f"push to active, {how}"

    def both(edition: str) -> tuple[float, float]:
        revision = commit(node.clone, {_PATH: _edition(edition)}, edition)
        if next(floor_first):
            return _push(node.clone, floor_remote), _push_to_active(node, remote, revision)
        xyn = _push_to_active(node, remote, revision)
        return _push(node.clone, floor_remote), xyn

    floor_first = itertools.cycle((True, False))
    count = node.place.sizes.push_rounds
    rounds = turns(node.place.say, name, count, {"both": both}, seconds=SECONDS)
    times = [each["both"] for each in rounds]
    files = len(git(node.clone, "ls-files").splitlines())
    conditions = {
        "value": "time of git push; when it returns the revision is checked to be applied",
        "floor_is": "git push of the same commit to a bare repository with the same configuration"
        " and hooks that do nothing",
        "files": f"1 of {files} changed",
        "p95_ms": f"{quantile([xyn for _, xyn in times], 0.95):.0f},"
        f" floor {quantile([floor for floor, _ in times], 0.95):.0f}",
    }
    return compare(name, "ms", times, conditions)


def _push_to_active(node: Node, remote: str, revision: str) -> float:
    took = _push(node.clone, remote)
    if node.get("/api/v1/status")["last_applied_revision"] != revision:
        raise BenchError("the push returned and its revision is not active")
    return took


def _push(clone: Path, remote: str) -> float:
    began = time.monotonic()
    git(clone, "push", "--quiet", remote, "HEAD:main")
    return (time.monotonic() - began) * 1000


def _edition(edition: str) -> bytes:
    return blueprint(0, "0") + f"# {edition}\n".encode()
