"""A second home from the first: with the history, following, and asking nobody's pardon."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.running import XYNCTL, Node, clean_environment, git, wait_for

pytestmark = pytest.mark.acceptance


@pytest.fixture
def history(node: Node) -> list[dict[str, Any]]:
    """The first node's finished runs, all of them in Git."""
    wait_for(lambda: node.get("/status")["records_waiting"] == 0)
    found: list[dict[str, Any]] = node.get("/runs", status="completed", limit="200")["items"]
    assert found
    return found


def has(clone: Node, history: list[dict[str, Any]]) -> bool:
    there = clone.get("/runs", status="completed", limit="200")["items"]
    return [run for run in there if run in history] == history


def test_a_clone_has_the_history_and_starts_nothing(
    node: Node, history: list[dict[str, Any]], make_node: Callable[..., Node]
) -> None:
    clone = make_node("clone")
    subprocess.run(
        [*XYNCTL, "clone", node.url, str(clone.home)],
        env=clean_environment(), check=True, capture_output=True,
    )  # fmt: skip
    clone.start()

    event_id = clone.emit("demo.hello")

    assert has(clone, history)
    assert clone.get("/status")["mode"] == "shadow"
    assert clone.get("/runs", event_id=event_id)["items"] == []
    assert clone.stop() == 0


def test_up_inside_a_plain_clone_makes_a_node_of_it(
    node: Node, history: list[dict[str, Any]], tmp_path: Path, make_node: Callable[..., Node]
) -> None:
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = make_node("clone/.xyn")
    clone.start(standing_in=tmp_path / "clone" / "blueprints")

    status = git(tmp_path / "clone", "status", "--porcelain").stdout

    assert has(clone, history)
    assert clone.get("/status")["mode"] == "shadow"
    assert ".xyn/" not in status
    assert clone.stop() == 0
