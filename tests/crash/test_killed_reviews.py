"""SIGKILL while a draft is looked at: its checks are run again, and nothing is told twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import Node, git, wait_for
from xyn_reconciler.node.home import Home
from xyn_reconciler.record.audit import AUDIT, read_audit
from xyn_reconciler.store.git import Repository

pytestmark = [pytest.mark.crash, pytest.mark.slow]


@pytest.mark.parametrize("point", ["review.opened", "review.checked"])
def test_killed_between_a_draft_and_its_checks_a_node_ends_the_review_it_began(
    tmp_path: Path, point: str
) -> None:
    node = Node(tmp_path / "home")
    node.start()
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    assert node.stop() == 0
    node.environment = {"XYN_CRASH_AT": point}
    node.start()
    (clone / "blueprints" / "one.yaml").write_text(
        "id: bp.test.one\nplan:\n  - {id: a, kind: transform, set: {x: 1}}\n"
    )
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "One more")

    # The answer may be cut off by the kill.
    git(clone, "push", "-q", "origin", "HEAD:draft/one", check=False)
    said = node.home.with_name(f"{node.home.name}.up.log")
    wait_for(lambda: "SIGKILL" in said.read_text(), said.read_text)
    node.kill()
    node.environment = {}
    node.start()

    head = git(clone, "rev-parse", "HEAD").stdout.strip()
    wait_for(lambda: told(node, "review.checked") != [], node.log)
    (opened,) = told(node, "review.opened")
    (checked,) = told(node, "review.checked")
    assert opened["entry"]["head"] == checked["entry"]["head"] == head
    assert checked["entry"]["status"] == "validated"
    assert checked["entry"]["main"] == git(clone, "rev-parse", "HEAD~1").stdout.strip()
    assert node.stop() == 0


def told(node: Node, kind: str) -> list[dict[str, Any]]:
    """What stands in the node's audit chain of one kind."""
    repository = Repository.open(Home(node.home).repository)
    found = [
        json.loads(line)
        for ref in repository.refs(AUDIT)
        for _, lines in read_audit(repository, ref)
        for line in lines
    ]
    return [line for line in found if line["what"] == kind]
