"""A push to main that needs a second person names the draft; the draft's push shows its review."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import Node, git

pytestmark = pytest.mark.acceptance

SECOND_PERSON = """\
policy_id: 2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a11
policy_type: governance
name: a second person
status: active
rules:
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d12
    match: {action: blueprint.promote}
    effect: require_approval
    requirements: {approvals: {min: 1, from_any_of: ["role:OwnerAdmin"], allow_self: false}}
"""
BLUEPRINT = "id: bp.test.one\nplan:\n  - {id: a, kind: transform, set: {x: 1}}\n"


def test_a_push_around_the_review_is_refused_and_the_draft_that_it_names_gets_one(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().start()
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    agreed = push(clone, {"policies/second.yaml": SECOND_PERSON}, "Ask a second person", "main")
    assert "active: " in agreed  # the operator may, on dev, by the rules before

    refused = push(clone, {"blueprints/one.yaml": BLUEPRINT}, "Watch the night", "main")
    taken = push(clone, {}, None, "draft/watch-the-night")
    leaked = push(
        clone,
        {"how.md": "token: gh" + "p_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R\n"},
        "How",
        "draft/how",
    )

    assert "needs 1 more approval by role:OwnerAdmin, and not by operator" in refused
    assert "was not moved: git push origin HEAD:draft/watch-the-night" in refused
    assert f"review: {node.url}/ui/reviews/watch-the-night" in taken
    assert "failed" not in taken
    assert f"review: {node.url}/ui/reviews/how" in leaked
    assert "check secrets failed: 1 problem in 1 file" in leaked
    main = git(clone, "ls-remote", "origin", "refs/heads/main").stdout.split()[0]
    assert main == git(clone, "rev-parse", "HEAD~2").stdout.strip()


def push(clone: Path, files: dict[str, str], message: str | None, branch: str) -> str:
    """Commit and push; what the pusher reads."""
    for path, text in files.items():
        (clone / path).write_text(text)
    if message is not None:
        git(clone, "add", "--all")
        git(clone, "commit", "-q", "-m", message)
    return git(clone, "push", "-q", "origin", f"HEAD:{branch}", check=False).stderr
