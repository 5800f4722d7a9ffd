"""A machine is lost, and its node comes back from a mirror on an empty one (P4)."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import XYNCTL, Node, clean_environment, git, wait_for

pytestmark = pytest.mark.crash


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """The one that is lost, and its successor."""
    made = [Node(tmp_path / "home"), Node(tmp_path / "machine" / "home")]
    yield made
    for node in made:
        if node.process is not None:
            node.kill()


def listings(node: Node) -> dict[str, Any]:
    return {
        path: node.get(path, limit="200")["items"]
        for path in ("/events", "/runs", "/gates", "/artifacts", "/blueprints")
    }


def mirror_to(node: Node, folder: Path, plain: Path) -> None:
    git(folder, "clone", "-q", node.git_url, "clone")
    with (folder / "clone" / "node.yaml").open("a") as file:
        file.write(f"mirror: [{plain}]\n")
    git(folder / "clone", "commit", "-q", "-a", "-m", "Keep a mirror")
    git(folder / "clone", "push", "-q", "origin", "HEAD:main", "HEAD:refs/heads/draft/idea")


def refs(node: Node, plain: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Ours that are mirrored, and what is there."""
    found = []
    for path in (node.home / "state.git", plain):
        said = git(path, "for-each-ref", "--format=%(refname) %(objectname)").stdout
        found.append(dict(line.split(" ") for line in said.splitlines()))
    return found[0], found[1]


def test_a_node_comes_back_from_a_plain_git_server_on_an_empty_machine(
    nodes: list[Node], tmp_path: Path
) -> None:
    node, successor = nodes
    git(tmp_path, "init", "-q", "--bare", "plain.git")
    plain = tmp_path / "plain.git"
    node.start("--demo")
    mirror_to(node, tmp_path, plain)
    node.wait_for_run(node.run_of(node.emit("demo.hello", {"name": "Ada"}))["run_id"], "completed")
    waiting = [run for run in node.get("/runs")["items"] if run["status"] == "waiting"]

    def mirrored() -> bool:
        ours, theirs = refs(node, plain)
        conditions = {c["type"]: c["status"] for c in node.get("/status")["conditions"]}
        return (
            node.get("/status")["records_waiting"] == 0
            and ours == theirs
            and conditions.get("Mirrored") is True
        )

    wait_for(mirrored, lambda: f"{refs(node, plain)}\n{node.log()}")
    before = listings(node)
    node.kill()
    shutil.copytree(node.home / "artifacts", tmp_path / "artifacts")
    shutil.rmtree(node.home)

    subprocess.run(
        [*XYNCTL, "clone", str(plain), str(successor.home), "--as", "seed"],
        env=clean_environment(),
        check=True,
        capture_output=True,
    )
    shutil.copytree(tmp_path / "artifacts", successor.home / "artifacts", dirs_exist_ok=True)
    successor.start()

    assert listings(successor) == before
    assert "refs/heads/draft/idea" in refs(successor, plain)[0]
    successor.xynctl("gate", "approve", waiting[0]["run_id"], "approve")
    successor.wait_for_run(waiting[0]["run_id"], "completed")
    # It goes on with the mirror where the other left off.
    wait_for(lambda: len(set(map(str, refs(successor, plain)))) == 1, successor.log)


def test_a_node_that_ends_leaves_its_last_records_at_the_mirror(
    nodes: list[Node], tmp_path: Path
) -> None:
    node = nodes[0]
    git(tmp_path, "init", "-q", "--bare", "plain.git")
    plain = tmp_path / "plain.git"
    node.start()
    mirror_to(node, tmp_path, plain)
    wait_for(lambda: len(set(map(str, refs(node, plain)))) == 1, node.log)
    run = node.run_of(node.emit("demo.hello", {"name": "Ada"}))
    node.wait_for_run(run["run_id"], "completed")

    assert node.stop() == 0

    ours, theirs = refs(node, plain)
    assert ours == theirs
    records = git(plain, "log", "--all", "--format=%(trailers:key=Run-Id,valueonly)").stdout
    assert run["run_id"] in records
