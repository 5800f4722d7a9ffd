"""SIGKILL after what a step did on the node itself, and before that is known: it is not redone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Node, git, wait_for

pytestmark = [pytest.mark.crash, pytest.mark.slow]

BLUEPRINT = {
    "id": "bp.test.twice",
    "triggers": [{"event_type": "test.twice"}],
    "plan": [
        {
            "id": "emit",
            "kind": "action_task",
            "action": "events.emit",
            "with": {"event_name": "test.emitted", "data": {"n": 1}},
        },
        {
            "id": "commit",
            "kind": "action_task",
            "action": "git.repo.commit",
            "with": {"repository": "site", "files": {"a": "1\n"}, "message": "Once"},
        },
    ],
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "home")
    yield node
    if node.process is not None:
        node.kill()


def test_an_event_and_a_commit_of_a_step_that_was_killed_are_there_once(
    node: Node, tmp_path: Path
) -> None:
    node.start()
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    (clone / "blueprints" / "twice.yaml").write_text(json.dumps(BLUEPRINT))
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Twice")
    git(clone, "push", "-q", "origin", "HEAD:main")
    made = {"repository": "site"}
    node.xynctl("action", "try", "git.repo.init", "--with", json.dumps(made))
    assert node.stop() == 0

    node.environment = {"XYN_CRASH_AT": "step.effect"}
    node.start()
    event_id = node.emit("test.twice")
    said = node.home.with_name(f"{node.home.name}.up.log")
    wait_for(lambda: "SIGKILL" in said.read_text(), said.read_text)
    node.kill()
    node.environment = {}
    node.start()
    run_id = node.run_of(event_id)["run_id"]
    node.wait_for_run(run_id, "completed")

    place = node.home / "repositories" / "site.git"
    steps = {each["name"]: each for each in node.get(f"/runs/{run_id}/steps")["items"]}
    (emitted,) = node.get("/events", event_name="test.emitted")["items"]
    assert git(place, "log", "--format=%H", "main").stdout.split() == [
        steps["commit"]["outputs"]["commit"]
    ]
    assert steps["emit"]["outputs"] == {"event_id": emitted["event_id"]}
    assert max(each["attempt"] for each in steps.values()) > 1
