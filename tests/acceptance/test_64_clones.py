"""64 clones push at once: what was answered ok is exactly what is in history."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.running import Node, git, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

CLONES = 64
BLUEPRINT = "id: bp.test.n{number}\nplan:\n  - {{id: a, kind: transform, set: {{x: 1}}}}\n"


def test_of_64_clones_that_push_at_once_history_has_those_that_were_answered_ok(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().start()
    git(tmp_path, "clone", "-q", node.git_url, "first")
    clones = [made(tmp_path, number) for number in range(CLONES)]
    ours = {git(clone, "rev-parse", "HEAD").stdout.strip() for clone in clones}

    with ThreadPoolExecutor(CLONES) as pool:
        answered = dict(pool.map(pushed, clones))

    first = tmp_path / "first"
    git(first, "fetch", "-q", "origin")
    history = {*git(first, "rev-list", "origin/main").stdout.split()}
    assert ours & history == {head for head, ok in answered.items() if ok[0]}
    assert any(ok[0] for ok in answered.values())
    drafts = {
        *git(
            first, "for-each-ref", "--format=%(objectname)", "refs/remotes/origin/draft/"
        ).stdout.split()
    }
    assert drafts == {head for head, ok in answered.items() if ok[1]}
    wait_for(lambda: {d["head"] for d in open_drafts(node)} == drafts, node.log, seconds=60)
    main = git(first, "rev-parse", "origin/main").stdout.strip()
    assert node.get("/status")["last_applied_revision"] == main
    assert "whole" in node.xynctl("verify").stdout


def made(folder: Path, number: int) -> Path:
    clone = folder / f"clone{number}"
    shutil.copytree(folder / "first", clone)
    (clone / "blueprints" / f"n{number}.yaml").write_text(BLUEPRINT.format(number=number))
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", f"Number {number}")
    return clone


def pushed(clone: Path) -> tuple[str, tuple[bool, bool]]:
    """Push to main once, and to a draft of its own; whether each was answered ok."""
    head = git(clone, "rev-parse", "HEAD").stdout.strip()
    answers = [
        git(clone, "push", "-q", "origin", f"HEAD:{branch}", check=False).returncode == 0
        for branch in ("main", f"draft/{clone.name}")
    ]
    return head, (answers[0], answers[1])


def open_drafts(node: Node) -> list[dict[str, str]]:
    found: list[dict[str, str]] = node.get("/drafts", limit="200", open_only="true")["items"]
    return found
