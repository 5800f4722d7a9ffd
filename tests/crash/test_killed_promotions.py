"""SIGKILL while the node moves ``main`` by itself: nothing moved, or the loop ends what did."""

import json
from pathlib import Path

import httpx2
import pytest

from tests.crash.test_killed_reviews import told
from tests.running import PLAIN, Node, git, wait_for
from xyn_reconciler.store.age_files import new_key

pytestmark = [pytest.mark.crash, pytest.mark.slow]


@pytest.mark.parametrize(("point", "moved"), [("review.accepted", False), ("review.moved", True)])
def test_a_promotion_that_was_killed_has_moved_nothing_or_is_ended_by_the_loop(
    tmp_path: Path, point: str, *, moved: bool
) -> None:
    node = Node(tmp_path / "home")
    node.start()
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    before = git(clone, "rev-parse", "HEAD").stdout.strip()
    (clone / "blueprints" / "one.yaml").write_text(
        "id: bp.test.one\nplan:\n  - {id: a, kind: transform, set: {x: 1}}\n"
    )
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "One more")
    git(clone, "push", "-q", "origin", "HEAD:draft/one")
    assert node.stop() == 0
    node.environment = {"XYN_CRASH_AT": point}
    node.start()

    with pytest.raises(httpx2.HTTPError):
        httpx2.post(f"{node.url}/api/v1/drafts/one/promote", json={}, timeout=90, **PLAIN)
    said = node.home.with_name(f"{node.home.name}.up.log")
    wait_for(lambda: "SIGKILL" in said.read_text(), said.read_text)
    node.kill()
    node.environment = {}
    node.start()

    if moved:
        wait_for(lambda: node.get("/drafts/one")["status"] == "promoted", node.log)
    else:
        assert main_of(clone) == before
        assert node.get("/drafts/one")["closed_at"] is None
        node.xynctl("review", "promote", "one")
    main = main_of(clone)
    assert node.get("/drafts/one")["version"] == main
    assert git(clone, "ls-remote", "origin", "refs/heads/draft/one").stdout == ""
    wait_for(lambda: node.get("/status")["records_waiting"] == 0, node.log)
    (promoted,) = told(node, "review.promoted")
    assert (promoted["actor"], promoted["entry"]["commit"]) == ("operator", main)
    assert node.xynctl("verify").returncode == 0
    assert node.stop() == 0


def test_secrets_that_were_being_encrypted_anew_are_so_together(tmp_path: Path) -> None:
    node = Node(tmp_path / "home")
    node.start()
    for path in ("team/app/one", "team/app/two"):
        node.xynctl("secret", "set", path, stdin=f"value of {path}\n")
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    with (clone / "node.yaml").open("a") as file:
        file.write(f"break_glass_recipients: [{new_key()[1]}]\n")
    git(clone, "commit", "-q", "-a", "-m", "Break the glass")
    git(clone, "push", "-q", "origin", "HEAD:main")
    assert node.stop() == 0
    node.environment = {"XYN_CRASH_AT": "review.moved"}
    node.start()

    refused = node.xynctl("secret", "rekey", check=False)
    said = node.home.with_name(f"{node.home.name}.up.log")
    wait_for(lambda: "SIGKILL" in said.read_text(), said.read_text)
    node.kill()
    node.environment = {}
    node.start()

    assert refused.returncode != 0
    assert openers(node) == [{"seed", "break-glass"}] * 2
    assert "0 secrets encrypted anew" in node.xynctl("secret", "rekey").stderr
    wait_for(lambda: node.get("/status")["records_waiting"] == 0, node.log)
    assert node.xynctl("verify").returncode == 0
    assert node.stop() == 0


def openers(node: Node) -> list[set[str]]:
    """Who can open each secret."""
    listed = json.loads(node.xynctl("secret", "list", "-o", "json").stdout)
    return [set(each["recipients"]) for each in listed if each["readable"]]


def main_of(clone: Path) -> str:
    return git(clone, "ls-remote", "origin", "refs/heads/main").stdout.split()[0]
