"""A draft that comes over the API and one that is pushed are the same thing."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.running import PLAIN, Node, git, wait_for

pytestmark = pytest.mark.acceptance

STEPS = [{"id": "a", "kind": "transform", "set": {"x": 1}}]
TEXT = "id: bp.test.text\nplan:\n  - {id: a, kind: transform, set: {x: 1}}\n"


def post(node: Node, path: str, body: object) -> httpx2.Response:
    return httpx2.post(f"{node.url}/api/v1{path}", json=body, timeout=90, **PLAIN)


def create(node: Node, name: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    answer = post(node, "/drafts", {"name": name, "content": content})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_definition_is_a_file_on_a_branch_that_others_go_on_with(
    node: Node, tmp_path: Path
) -> None:
    made = create(
        node, "api/first", definition={"id": "bp.test.api", "plan": STEPS}, notes="For the night."
    )

    assert (made["author"], made["iteration"], made["kind"]) == ("operator", 1, "blueprint")
    assert made["content"]["notes"] == "For the night."
    assert [*made["content"]["files"]] == ["blueprints/api/first.yaml"]
    git(tmp_path, "clone", "-q", "--branch", "draft/api/first", node.git_url, "clone")
    clone = tmp_path / "clone"
    assert git(clone, "rev-parse", "HEAD").stdout.strip() == made["head"]
    (clone / "blueprints" / "text.yaml").write_text(TEXT)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "More")
    git(clone, "push", "-q", "origin", "HEAD:draft/api/first")
    pushed = node.get(f"/drafts/{made['draft_id']}")
    assert (pushed["draft_id"], pushed["iteration"]) == (made["draft_id"], 2)

    saved = create(node, "api/first", files={"blueprints/text.yaml": None})

    assert (saved["draft_id"], saved["iteration"]) == (made["draft_id"], 3)
    review = node.get("/drafts/api%2Ffirst/review")
    assert [each["path"] for each in review["files"]] == ["blueprints/api/first.yaml"]
    assert [each["subject"] for each in review["commits"]] == [
        "Draft api/first",
        "More",
        "Draft api/first",
    ]
    assert node.get("/drafts/api%2Ffirst/diff")["files"][0]["change"] == "added"
    moved = post(node, f"/drafts/{made['draft_id']}/promote", {"head": saved["head"]})
    assert moved.json()["applied"], moved.text
    assert node.get("/drafts/api%2Ffirst")["version"] == moved.json()["commit"]
    assert node.get("/blueprints/bp.test.api")["revision"] == moved.json()["commit"]


def test_what_cannot_be_promoted_says_why_with_a_code(node: Node) -> None:
    wrong = create(node, "api-wrong", definition="id: bp.test.wrong\nplan: []\n")
    wait_for(
        lambda: all(
            each["status"] != "running" for each in node.get("/drafts/api-wrong/review")["checks"]
        )
    )

    refused = post(node, "/drafts/api-wrong/promote", {})
    unknown = post(node, "/drafts/api-nothing/promote", {})
    hidden = post(node, "/drafts", {"name": "x", "content": {"files": {".git/config": "x"}}})
    empty = post(node, "/drafts", {"name": "x", "content": {}})

    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")
    assert refused.json()["error"]["details"]["problems"][0].startswith(
        "blueprints/api-wrong.yaml:"
    )
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "draft_not_found")
    assert (hidden.status_code, empty.status_code) == (422, 422)
    finding = node.get("/drafts/api-wrong/review")["findings"][0]
    assert (finding["check"], finding["path"]) == ("validation", "blueprints/api-wrong.yaml")
    closed = post(node, f"/drafts/{wrong['draft_id']}/close", {}).json()
    assert (closed["status"], closed["closed_at"] is None) == ("draft", False)
