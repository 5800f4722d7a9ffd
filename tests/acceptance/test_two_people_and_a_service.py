"""Two people and a service change what a node does: by git and command, on stage prod."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.running import Node, git

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

DENIED, CONFLICT, NEEDS_APPROVAL = 1, 4, 5
HELLO = "blueprints/demo/hello.yaml"
RULES = "policies/who-may-do-what.yaml"


@dataclass
class Person:
    """Somebody with a token and a clone."""

    node: Node
    name: str
    token: str
    clone: Path

    def change(self, path: str, old: str, new: str, message: str) -> None:
        """Start from main as it is, and commit one change."""
        git(self.clone, "fetch", "-q", "origin")
        git(self.clone, "checkout", "-q", "-B", "work", "origin/main")
        self.change_more(path, old, new, message)

    def change_more(self, path: str, old: str, new: str, message: str) -> None:
        text = (self.clone / path).read_text()
        assert old in text
        (self.clone / path).write_text(text.replace(old, new))
        git(self.clone, "commit", "-q", "-a", "-m", message)

    def push(self, branch: str) -> "subprocess.CompletedProcess[str]":
        return git(self.clone, "push", "origin", f"HEAD:{branch}", check=False)

    def xynctl(self, *arguments: str, code: int = 0) -> str:
        """Run the command as this person; what it said, if it ended so."""
        done = self.node.xynctl(*arguments, "--as", self.token, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{arguments}: {done.returncode}: {said}"
        return said

    def review(self, draft: str) -> dict[str, Any]:
        self.xynctl("review", "check", draft)
        found: dict[str, Any] = json.loads(self.xynctl("review", "show", draft, "-o", "json"))
        return found


@pytest.fixture
def people(make_node: Callable[..., Node], tmp_path: Path) -> tuple[Node, Person, Person, Person]:
    """A node on stage prod that wants a token for every change; ada, grace, and a service."""
    node = make_node().start()
    git(tmp_path, "clone", "-q", node.git_url, "owner")
    owner = tmp_path / "owner"
    principals = (owner / "principals.yaml").read_text()
    (owner / "principals.yaml").write_text(
        f"{principals}  - {{id: ci, kind: service, roles: [Operator]}}\n"
    )
    text = (owner / "node.yaml").read_text()
    text = text.replace("stage: dev", "stage: prod").replace("auth: open", "auth: required")
    (owner / "node.yaml").write_text(text)
    git(owner, "commit", "-q", "-a", "-m", "Go to production")
    git(owner, "push", "-q", "origin", "HEAD:main")

    def person(name: str) -> Person:
        token = node.xynctl("token", "create", name).stdout.strip()
        url = node.git_url.replace("http://", f"http://{name}:{token}@")
        git(tmp_path, "clone", "-q", url, name)
        return Person(node, name, token, tmp_path / name)

    return node, person("ada"), person("grace"), person("ci")


def test_a_change_is_agreed_on_by_somebody_else_promoted_and_taken_back(
    people: tuple[Node, Person, Person, Person],
) -> None:
    node, ada, grace, ci = people
    ada.change(HELLO, "Greets whoever", "Warmly greets whoever", "Greet warmly")

    around = ada.push("main")
    assert around.returncode != 0
    assert "draft/greet-warmly" in around.stderr
    assert ada.push("draft/warm").returncode == 0
    review = ada.review("warm")
    assert (review["author"], review["mergeable"]) == ("ada", False)
    assert review["reasons"] == ["1 more approval by role:OwnerAdmin, and not by ada"]
    assert {each["name"] for each in review["checks"]} >= {"validation", "conflicts", "secrets"}

    # Whoever may not say yes is told so, and why.
    assert "not by ada" in ada.xynctl("review", "promote", "warm", code=NEEDS_APPROVAL)
    assert "somebody else" in ada.xynctl("review", "approve", "warm", code=NEEDS_APPROVAL)
    assert "for people" in ci.xynctl("review", "approve", "warm", code=DENIED)
    assert "for people" in ci.xynctl("review", "promote", "warm", code=DENIED)

    # A yes is for what was looked at, and for nothing else.
    seen = review["effect_digest"]
    grace.xynctl("review", "approve", "warm", "--digest", seen)
    ada.change_more(HELLO, "Warmly greets", "Very warmly greets", "Greet very warmly")
    assert ada.push("draft/warm").returncode == 0
    assert "more approval" in ada.xynctl("review", "promote", "warm", code=NEEDS_APPROVAL)
    stale = grace.xynctl("review", "approve", "warm", "--digest", seen, code=CONFLICT)
    assert "look at it again" in stale

    grace.xynctl("review", "approve", "warm", "--digest", ada.review("warm")["effect_digest"])
    assert "active: " in ada.xynctl("review", "promote", "warm")
    git(ada.clone, "fetch", "-q", "--prune", "origin")
    told = git(ada.clone, "log", "-1", "--format=%an%n%b", "origin/main").stdout
    assert told.splitlines()[:3] == ["ada", "Draft: warm", "Reviewed-by: grace"]
    assert "Very warmly" in git(ada.clone, "show", f"origin/main:{HELLO}").stdout
    branches = git(ada.clone, "branch", "-r", "--format=%(refname)").stdout
    assert "refs/remotes/origin/draft/warm" not in branches.splitlines()

    # Taking it back asks the same people, and is a draft like any other.
    promoted = git(ada.clone, "rev-parse", "origin/main").stdout.strip()
    asked = ada.xynctl("rollback", promoted[:12], code=NEEDS_APPROVAL)
    assert f"draft/revert-{promoted[:12]}" in asked
    git(ada.clone, "checkout", "-q", "-B", "work", "origin/main")
    git(ada.clone, "revert", "--no-edit", "--mainline", "1", promoted)
    assert ada.push("draft/cold").returncode == 0
    grace.xynctl("review", "approve", "cold")
    ada.xynctl("review", "promote", "cold")
    git(ada.clone, "fetch", "-q", "origin")
    assert "armly" not in git(ada.clone, "show", f"origin/main:{HELLO}").stdout
    assert "whole" in node.xynctl("verify").stdout


def test_drafts_that_conflict_and_rules_that_loosen_themselves_are_refused_with_the_reason(
    people: tuple[Node, Person, Person, Person],
) -> None:
    node, ada, grace, ci = people
    ada.change(HELLO, "Greets whoever", "Warmly greets whoever", "Greet warmly")
    assert ada.push("draft/warm").returncode == 0
    ci.change(HELLO, "Greets whoever", "Coldly greets whoever", "Greet coldly")
    assert ci.push("draft/cold").returncode == 0
    ada.change(RULES, "allow_self: false", "allow_self: true", "Trust myself")
    assert ada.push("draft/trust").returncode == 0

    # An approval of one draft is none of another, however it came by.
    of_cold = grace.review("cold")["effect_digest"]
    foreign = grace.xynctl("review", "approve", "warm", "--digest", of_cold, code=CONFLICT)
    assert "draft/cold" in foreign
    # The rules of before decide about the rules.
    assert "role:OwnerAdmin" in ada.xynctl("review", "promote", "trust", code=NEEDS_APPROVAL)
    assert "somebody else" in ada.xynctl("review", "approve", "trust", code=NEEDS_APPROVAL)

    for draft in ("warm", "cold"):
        grace.xynctl("review", "approve", draft)
    # What a service brought, people may agree on and promote.
    grace.xynctl("review", "promote", "cold")
    conflict = ada.xynctl("review", "promote", "warm", code=CONFLICT)
    assert f"conflicts with main in {HELLO}" in conflict
    grace.xynctl("review", "reject", "trust", "--comment", "never")
    assert "grace rejected it: never" in ada.xynctl("review", "show", "trust")

    # A token that was taken away says nothing any more.
    node.xynctl("token", "revoke", grace.token.split("_")[1])
    assert "active" not in grace.xynctl("review", "approve", "trust", code=DENIED)
    assert {each["name"] for each in node.get("/drafts", open_only="true")["items"]} == {
        "trust",
        "warm",
    }
