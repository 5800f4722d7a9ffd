"""SIGKILL at every ``=>`` of the flow, one after the other, on one node (P1, P2, P4, P5)."""

import re
from pathlib import Path

import pytest

from tests.crash.ledger import Effects, Ledger, prepare
from tests.running import git, wait_for

pytestmark = [pytest.mark.crash, pytest.mark.slow]

SOURCES = Path(__file__).parents[2] / "xyn_reconciler"
POINTS = (
    "reconcile.applied",
    "intake.committed",
    "run.taken_up",
    "step.intent",
    "step.effect",
    "step.result",
    "record.rendered",
    "record.committed",
    "record.marked",
    "audit.committed",
)
BY_A_PUSH = {"reconcile.applied": "one", "audit.committed": "two"}
"""Points that a push comes past, and the blueprint that it brings."""
ELSEWHERE = {
    "apps.noted",
    "apps.up",
    "artifact.buried",
    "artifact.claimed",
    "artifact.kept",
    "artifact.removed",
    "forget.audited",
    "forget.rewritten",
    "review.opened",
    "review.checked",
    "review.accepted",
    "review.moved",
}
"""Killed at in the tests of apps, artifacts, ``event forget``, the committer and reviews."""


def test_every_named_point_is_killed_at() -> None:
    named = {
        point
        for path in SOURCES.rglob("*.py")
        # Two may stand in one call, one for each case.
        for call in re.findall(r'crash_point\(([^)]*"[^)]*)\)', path.read_text(encoding="utf-8"))
        for point in re.findall(r'"([^"]+)"', call)
    }

    assert named == set(POINTS) | ELSEWHERE


def test_killed_at_every_point_in_turn_a_node_keeps_what_it_acknowledged(
    ledger: Ledger, effects: Effects, tmp_path: Path
) -> None:
    node = ledger.node
    node.start()
    prepare(node, tmp_path, effects)
    ledger.send(10)
    ledger.settle()
    assert node.stop() == 0

    for point in POINTS:
        node.environment = {"XYN_CRASH_AT": point}
        node.start()
        if point in BY_A_PUSH:
            change(tmp_path / "clone", BY_A_PUSH[point])
        for _ in range(3):
            ledger.send(1.0)
        said = node.home.with_name(f"{node.home.name}.up.log")
        wait_for(lambda: "SIGKILL" in said.read_text(), said.read_text)  # noqa: B023 - asked at once
        node.kill()
        said.unlink()

    node.environment = {}
    node.start()
    ledger.settle()

    ledger.check(effects)
    assert node.get("/status")["reasons"] == []
    main = git(tmp_path / "clone", "ls-remote", node.git_url, "refs/heads/main").stdout.split()[0]
    assert node.get("/status")["last_applied_revision"] == main


def change(clone: Path, name: str) -> None:
    """Push one more blueprint; the answer may be cut off by the kill."""
    (clone / "blueprints" / f"{name}.yaml").write_text(
        f"id: bp.test.{name}\nplan:\n  - {{id: a, kind: transform, set: {{x: 1}}}}\n"
    )
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "One more")
    git(clone, "push", "-q", "origin", "HEAD:main", check=False)
