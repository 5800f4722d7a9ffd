"""Two people change what a node on prod does, with a service and an agent beside them.

By git, command, API and browser at once. Whatever goes around the second person is refused
with the reason, and leaves ``main``, the votes and the policies as they were.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.running import EVERYBODY_MAY, PLAIN, Node, git, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

DENIED, CONFLICT, NEEDS_APPROVAL = 1, 4, 5
CHROMIUM = Path("/usr/bin/chromium")

HELLO = "blueprints/demo/hello.yaml"
RULES = "policies/who-may-do-what.yaml"
BLUEPRINT = "id: bp.test.{name}\nplan:\n  - {{id: a, kind: transform, set: {{x: 1}}}}\n"


@dataclass
class Actor:
    """Somebody with a token and a clone."""

    node: Node
    name: str
    token: str
    clone: Path
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def begin(self) -> None:
        """Start from main as it is."""
        git(self.clone, "fetch", "-q", "--prune", "origin")
        git(self.clone, "checkout", "-q", "-B", "work", "origin/main")

    def commit(self, files: dict[str, str | None], message: str) -> None:
        for path, text in files.items():
            if text is None:
                (self.clone / path).unlink()
            else:
                (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
                (self.clone / path).write_text(text)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "-q", "-m", message)

    def changed(self, path: str, old: str, new: str) -> dict[str, str | None]:
        text = (self.clone / path).read_text()
        assert old in text
        return {path: text.replace(old, new)}

    def push(self, *to: str) -> "subprocess.CompletedProcess[str]":
        return git(self.clone, "push", "origin", *(f"HEAD:{each}" for each in to), check=False)

    def draft(self, name: str, files: dict[str, str | None] | None = None) -> None:
        """Bring a draft that starts from main; by default with a blueprint of its own."""
        self.begin()
        self.commit(files or {f"blueprints/{name}.yaml": BLUEPRINT.format(name=name)}, f"Do {name}")
        pushed = self.push(f"draft/{name}")
        assert pushed.returncode == 0, pushed.stderr

    def xynctl(self, *arguments: str, code: int = 0) -> str:
        """Run the command as this one; what it said, if it ended so."""
        done = self.node.xynctl(*arguments, "--as", self.token, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{self.name} {arguments}: {done.returncode}: {said}"
        return said

    def post(self, path: str, body: object = None) -> httpx2.Response:
        return httpx2.post(
            f"{self.node.url}/api/v1{path}",
            json={} if body is None else body,
            headers=self.headers,
            timeout=90,
            **PLAIN,
        )

    def review(self, draft: str) -> dict[str, Any]:
        """Give what a reviewer sees once no check runs any more."""

        def rested() -> dict[str, Any] | None:
            answer = httpx2.get(
                f"{self.node.url}/api/v1/drafts/{draft}/review", headers=self.headers, **PLAIN
            )
            found: dict[str, Any] = answer.json()
            statuses = {each["status"] for each in found.get("checks", [])}
            return found if statuses and statuses <= {"passed", "failed", "skipped"} else None

        found: dict[str, Any] = wait_for(rested, self.node.log)
        return found


@dataclass
class Crowd:
    """A node on prod, its two people, a service and an agent."""

    node: Node
    folder: Path
    ada: Actor
    grace: Actor
    bob: Actor
    bot: Actor

    def main(self) -> str:
        bare = self.node.home / "state.git"
        return git(bare, "rev-parse", "refs/heads/main").stdout.strip()

    def agreed(self, name: str, files: dict[str, str | None] | None = None) -> str:
        """Have ada's change approved by grace and promoted; gives the promotion."""
        self.ada.draft(name, files)
        self.grace.xynctl("review", "approve", name)
        promoted = self.ada.post(f"/drafts/{name}/promote")
        assert promoted.is_success, promoted.text
        return str(promoted.json()["commit"])


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    folder = tmp_path_factory.mktemp("crowd")
    node = Node(folder / "home").start()
    git(folder, "clone", "-q", node.git_url, "owner")
    owner = folder / "owner"
    with (owner / "principals.yaml").open("a") as principals:
        principals.write("  - {id: bob, kind: service, roles: [Operator, OwnerAdmin]}\n")
    text = (owner / "node.yaml").read_text()
    text = text.replace("stage: dev", "stage: prod").replace("auth: open", "auth: required")
    (owner / "node.yaml").write_text(text)
    git(owner, "commit", "-q", "-a", "-m", "Go to production")
    git(owner, "push", "-q", "origin", "HEAD:main")

    def actor(name: str) -> Actor:
        token = node.xynctl("token", "create", name).stdout.strip()
        url = node.git_url.replace("http://", f"http://{name}:{token}@")
        git(folder, "clone", "-q", url, name)
        return Actor(node, name, token, folder / name)

    yield Crowd(node, folder, actor("ada"), actor("grace"), actor("bob"), actor("author-bot"))
    assert node.stop() == 0


# ── the way it is meant ──────────────────────────────────────────────────────────────────────────


def test_a_change_waits_for_somebody_else_is_promoted_and_taken_back(crowd: Crowd) -> None:
    ada, grace = crowd.ada, crowd.grace
    ada.begin()
    ada.commit(ada.changed(HELLO, "Greets whoever", "Warmly greets whoever"), "Greet warmly")
    assert "draft/greet-warmly" in ada.push("main").stderr
    pushed = ada.push("draft/warm").stderr
    assert f"review: {crowd.node.url}/ui/reviews/warm" in pushed

    review = ada.review("warm")
    assert (review["author"], review["mergeable"]) == ("ada", False)
    assert review["reasons"] == ["1 more approval by role:OwnerAdmin, and not by ada"]
    assert "not by ada" in ada.xynctl("review", "promote", "warm", code=NEEDS_APPROVAL)
    grace.xynctl("review", "comment", "warm", "why now?", "--path", HELLO, "--line", "4")
    grace.xynctl("review", "approve", "warm", "--digest", review["effect_digest"])
    assert ada.review("warm")["mergeable"]

    assert "active: " in ada.xynctl("review", "promote", "warm")

    ada.begin()
    promoted = crowd.main()
    told = git(ada.clone, "log", "-1", "--format=%an%n%b", "origin/main").stdout
    assert told.splitlines()[:3] == ["ada", "Draft: warm", "Reviewed-by: grace"]
    branches = git(ada.clone, "ls-remote", "origin", "refs/heads/draft/warm").stdout
    assert not branches

    # Taking it back asks the same people, and is a draft like any other.
    asked = ada.xynctl("rollback", promoted[:12], code=NEEDS_APPROVAL)
    assert f"draft/revert-{promoted[:12]}" in asked
    git(ada.clone, "revert", "--no-edit", "--mainline", "1", promoted)
    assert ada.push("draft/cold").returncode == 0
    grace.xynctl("review", "approve", "cold")
    ada.xynctl("review", "promote", "cold")
    ada.begin()
    assert "armly" not in (ada.clone / HELLO).read_text()
    assert "whole" in crowd.node.xynctl("verify").stdout


def test_of_two_drafts_that_conflict_the_second_is_told_where_and_can_be_mended(
    crowd: Crowd,
) -> None:
    ada, grace, bob = crowd.ada, crowd.grace, crowd.bob
    ada.begin()
    ada.commit(ada.changed(HELLO, "in a few steps", "in four steps"), "Count them")
    assert ada.push("draft/four").returncode == 0
    # What a service or an agent brings, people may agree on and promote.
    bob.begin()
    bob.commit(bob.changed(HELLO, "in a few steps", "step by step"), "One by one")
    assert bob.push("draft/by-step").returncode == 0
    for draft in ("four", "by-step"):
        grace.xynctl("review", "approve", draft)

    grace.xynctl("review", "promote", "by-step")

    told = ada.xynctl("review", "promote", "four", code=CONFLICT)
    assert f"conflicts with main in {HELLO}" in told
    assert [each["path"] for each in ada.review("four")["conflicts"]] == [HELLO]
    git(ada.clone, "fetch", "-q", "origin")
    git(ada.clone, "merge", "-q", "-X", "ours", "--no-edit", "origin/main")
    assert ada.push("draft/four").returncode == 0
    assert "more approval" in ada.xynctl("review", "promote", "four", code=NEEDS_APPROVAL)
    grace.xynctl("review", "approve", "four")
    ada.xynctl("review", "promote", "four")
    ada.begin()
    assert "in four steps" in (ada.clone / HELLO).read_text()


def test_promotions_at_once_by_command_and_api_land_each_or_say_why(crowd: Crowd) -> None:
    names = [f"once{number}" for number in range(4)]
    for name in names:
        crowd.ada.draft(name)
        crowd.grace.xynctl("review", "approve", name)
    before = crowd.main()

    def promoted(asked: tuple[Actor, str]) -> tuple[str, int]:
        actor, name = asked
        return name, actor.post(f"/drafts/{name}/promote").status_code

    with ThreadPoolExecutor(8) as pool:
        answers = [
            *pool.map(promoted, [(who, n) for n in names for who in (crowd.ada, crowd.grace)])
        ]

    landed = [name for name, status in answers if status == 200]
    assert sorted(landed) == names, answers
    assert {status for _, status in answers} == {200, 409}
    bare = crowd.node.home / "state.git"
    merges = git(bare, "log", "--format=%s", "--first-parent", f"{before}..main").stdout
    assert sorted(merges.splitlines()) == [f"Promote draft/{name}" for name in names]


# ── approvals that are none ──────────────────────────────────────────────────────────────────────


def test_an_approval_of_something_else_of_before_or_of_ones_own_work_is_none(
    crowd: Crowd,
) -> None:
    ada, grace = crowd.ada, crowd.grace
    ada.draft("mine")
    seen = ada.review("mine")["effect_digest"]
    grace.draft("hers")
    hers = ada.review("hers")["effect_digest"]

    assert "draft/hers" in grace.xynctl(
        "review", "approve", "mine", "--digest", hers, code=CONFLICT
    )
    assert "somebody else" in ada.xynctl("review", "approve", "mine", code=NEEDS_APPROVAL)
    # An OwnerAdmin is nobody special as an author.
    assert "somebody else" in grace.xynctl("review", "approve", "hers", code=NEEDS_APPROVAL)
    assert "role:OwnerAdmin" in ada.xynctl("review", "approve", "hers", code=NEEDS_APPROVAL)

    # A yes is for what was looked at: it falls with the next iteration, and is late after it.
    grace.xynctl("review", "approve", "mine", "--digest", seen)
    ada.begin()
    git(ada.clone, "reset", "-q", "--hard", "origin/draft/mine")
    ada.commit({"blueprints/mine.yaml": BLUEPRINT.format(name="more")}, "And more")
    assert ada.push("draft/mine").returncode == 0
    assert "more approval" in ada.xynctl("review", "promote", "mine", code=NEEDS_APPROVAL)
    late = grace.post("/drafts/mine/approve", {"effect_digest": seen})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "stale_approval")
    # Whoever pushes to it is an author of it from then on.
    git(grace.clone, "fetch", "-q", "origin")
    git(grace.clone, "checkout", "-q", "-B", "work", "origin/draft/mine")
    grace.commit({"blueprints/mine2.yaml": BLUEPRINT.format(name="mine2")}, "Help")
    assert grace.push("draft/mine").returncode == 0
    assert "somebody else" in grace.xynctl("review", "approve", "mine", code=NEEDS_APPROVAL)


def test_a_used_approval_allows_nothing_more_and_what_was_taken_back_stays_back(
    crowd: Crowd,
) -> None:
    ada, grace = crowd.ada, crowd.grace
    ada.draft("used")
    head = git(ada.clone, "rev-parse", "HEAD").stdout.strip()
    digest = ada.review("used")["effect_digest"]
    grace.xynctl("review", "approve", "used", "--digest", digest)
    promoted = ada.post("/drafts/used/promote").json()["commit"]
    crowd.ada.begin()
    git(ada.clone, "revert", "--no-edit", "--mainline", "1", promoted)
    assert ada.push("draft/unused").returncode == 0
    grace.xynctl("review", "approve", "unused")
    ada.xynctl("review", "promote", "unused")

    # The same commits again, under the old name: to Git they are merged for ever.
    again = git(ada.clone, "push", "origin", f"{head}:refs/heads/draft/used", check=False)
    assert again.returncode == 0, again.stderr
    assert "taken back" in ada.xynctl("review", "promote", "used", code=CONFLICT)
    assert "taken back" in ada.post("/drafts/used/promote").json()["error"]["message"]
    # The same change made anew has the same digest, and not the yes that was used up.
    ada.draft("reused", {"blueprints/used.yaml": BLUEPRINT.format(name="used")})
    assert ada.review("reused")["effect_digest"] == digest
    assert ada.review("reused")["approvals"] == []
    assert "more approval" in ada.xynctl("review", "promote", "reused", code=NEEDS_APPROVAL)
    # And the digest is none of another draft.
    ada.draft("other")
    used = grace.xynctl("review", "approve", "other", "--digest", digest, code=CONFLICT)
    assert "promoted by" in used


def test_a_token_that_is_stolen_revoked_or_of_another_says_nothing(crowd: Crowd) -> None:
    node, ada, grace = crowd.node, crowd.ada, crowd.grace
    ada.draft("wanted")
    lost = node.xynctl("token", "create", "grace").stdout.strip()
    thief = httpx2.Client(base_url=node.url, **PLAIN)
    assert thief.post("/ui/login", data={"token": lost}).status_code == 303

    node.xynctl("token", "revoke", lost.split("_")[1])

    by_thief = Actor(node, "grace", lost, ada.clone)
    assert "revoked" in by_thief.xynctl("review", "approve", "wanted", code=DENIED)
    assert by_thief.post("/drafts/wanted/approve").status_code == 401
    # The session that it opened went with it.
    draft_id = ada.review("wanted")["draft_id"]
    form = {"decision": "approve", "effect_digest": ada.review("wanted")["effect_digest"]}
    by_session = thief.post(f"/ui/reviews/{draft_id}/decide", data=form)
    thief.close()
    assert "effect_digest" not in by_session.headers.get("Location", "")
    # A name is none without its own token, and a token none under another name.
    as_grace = node.git_url.replace("http://", f"http://grace:{ada.token}@")
    pushed = git(ada.clone, "push", as_grace, "HEAD:draft/wanted2", check=False)
    assert "Authentication failed" in pushed.stderr
    forged = f"{grace.token[:-4]}0000"
    assert Actor(node, "grace", forged, ada.clone).post("/drafts/wanted/approve").status_code == 401
    anonymous = httpx2.post(f"{node.url}/api/v1/drafts/wanted/approve", json={}, **PLAIN)
    assert anonymous.status_code == 401
    assert ada.review("wanted")["approvals"] == []


# ── ways around ──────────────────────────────────────────────────────────────────────────────────


def test_nothing_goes_around_the_review(crowd: Crowd) -> None:
    ada, before = crowd.ada, crowd.main()
    ada.draft("around")
    forged = "Promote draft/around\n\nDraft: around\nReviewed-by: grace\n"
    git(ada.clone, "checkout", "-q", "-B", "forged", "origin/main")
    git(ada.clone, "merge", "-q", "--no-ff", "-m", forged, "work")
    bare = str(crowd.node.home / "state.git")

    def refused(*arguments: str) -> str:
        done = git(ada.clone, "push", *arguments, check=False)
        assert done.returncode != 0, arguments
        return done.stderr

    # A merge that says of itself that grace agreed.
    assert "more approval by role:OwnerAdmin" in refused("origin", "HEAD:main")
    # With a draft in the same push, and by force.
    assert "draft/promote-draft-around" in refused("origin", "HEAD:main", "HEAD:draft/around2")
    assert "main only moves forward" in refused("--force", "origin", "HEAD^^:main")
    # Past HTTP, where nobody is asked who pushes.
    assert "over HTTP alone" in refused(bare, "HEAD:main")
    # To where votes and records are.
    assert "the node alone" in refused("origin", "HEAD:refs/xyn/audit/seed")
    assert "is not taken here" in refused("origin", "HEAD:release")
    assert "cannot be deleted" in refused("origin", ":main")
    assert crowd.main() == before
    assert not git(Path(bare), "for-each-ref", "refs/heads/draft/around2").stdout


Looser = Callable[[Actor], dict[str, str | None]]
LOOSER: dict[str, Looser] = {
    "trusts-its-author": lambda ada: ada.changed(RULES, "allow_self: false", "allow_self: true"),
    "allows-everything": lambda _: {"policies/z.yaml": EVERYBODY_MAY},
    "is-gone": lambda ada: ada.changed(RULES, "status: active", "status: draft"),
    "makes-ada-owner": lambda ada: ada.changed(
        "principals.yaml", "ada, kind: person, roles: [Operator]",
        "ada, kind: person, roles: [Operator, OwnerAdmin]",
    ),
    "leaves-prod": lambda ada: ada.changed("node.yaml", "stage: prod", "stage: dev"),
    "opens-the-door": lambda ada: ada.changed("node.yaml", "auth: required", "auth: open"),
}  # fmt: skip


@pytest.mark.parametrize("how", LOOSER)
def test_rules_that_loosen_themselves_are_judged_by_the_rules_before(
    crowd: Crowd, how: str
) -> None:
    ada, before = crowd.ada, crowd.main()
    ada.begin()
    ada.commit({**LOOSER[how](ada), f"blueprints/{how}.yaml": BLUEPRINT.format(name=how)}, how)

    pushed = ada.push("main")
    assert pushed.returncode != 0
    assert "role:OwnerAdmin" in pushed.stderr or "policy_lockout" in pushed.stderr
    assert ada.push(f"draft/{how}").returncode == 0
    assert "somebody else" in ada.xynctl("review", "approve", how, code=NEEDS_APPROVAL)
    refused = ada.post(f"/drafts/{how}/promote")
    assert refused.status_code in {403, 422}, refused.text
    assert "more approval by role:OwnerAdmin, and not by ada" in ada.review(how)["reasons"][-1]
    crowd.grace.xynctl("review", "reject", how, "--comment", "never")
    assert "grace rejected it: never" in ada.review(how)["reasons"]
    ada.xynctl("review", "close", how)
    assert crowd.main() == before


def test_a_commit_that_locks_everybody_out_is_refused_whoever_agrees(crowd: Crowd) -> None:
    ada, grace, before = crowd.ada, crowd.grace, crowd.main()
    ada.begin()
    nobody = ada.changed("principals.yaml", "kind: person", "kind: service")
    ada.commit(nobody, "Work for machines alone")

    assert "policy_lockout" in ada.push("main").stderr
    assert ada.push("draft/nobody").returncode == 0
    grace.xynctl("review", "approve", "nobody")
    told = ada.xynctl("review", "promote", "nobody", code=1)
    assert "policy_lockout" in told
    checks = {each["name"]: each["status"] for each in ada.review("nobody")["checks"]}
    assert checks["validation"] == "failed"
    assert crowd.main() == before


# ── who is no person ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", ["bob", "bot"])
def test_a_service_and_an_agent_decide_nothing_through_any_door(crowd: Crowd, who: str) -> None:
    node, machine = crowd.node, getattr(crowd, who)
    promoted = crowd.agreed(f"base-{who}")
    name = f"by-{who}"
    machine.draft(name, {"policies/z.yaml": EVERYBODY_MAY})
    crowd.ada.draft(f"for-{who}")
    crowd.grace.xynctl("review", "approve", f"for-{who}")
    before = crowd.main()
    node.xynctl("event", "emit", "demo.change", "--as", crowd.ada.token)
    run_id = wait_for(lambda: next(iter(node.get("/gates")["items"]), None))["run_id"]

    # git
    machine.begin()
    machine.commit({"policies/z.yaml": EVERYBODY_MAY}, "Rule")
    assert "for people" in machine.push("main").stderr
    # the command
    for verb in (
        ("review", "approve", f"for-{who}"),
        ("review", "reject", f"for-{who}"),
        ("review", "promote", f"for-{who}"),
        ("review", "promote", name),
        ("rollback", promoted[:12]),
        ("gate", "approve", run_id, "approve"),
    ):
        assert "for people" in machine.xynctl(*verb, code=DENIED), verb
    for verb in (
        ("token", "create", "grace"),
        ("token", "list"),
        ("policy", "break-glass", "--reason", "I am in a hurry"),
    ):
        assert "owner" in machine.xynctl(*verb, code=DENIED), verb
    # the API
    for path in (
        f"/drafts/for-{who}/approve",
        f"/drafts/for-{who}/promote",
        f"/drafts/{name}/promote",
    ):
        answer = machine.post(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "denied"), path
    assert machine.post("/rollback", {"revision": promoted}).status_code == 403
    # the pages: a session of its own, and the forms posted although their buttons are disabled
    review = machine.review(f"for-{who}")
    with httpx2.Client(base_url=node.url, **PLAIN) as browser:
        assert browser.post("/ui/login", data={"token": machine.token}).status_code == 303
        page = browser.get(f"/ui/reviews/for-{who}").text
        assert "No approval by you" in page
        for below, form in (
            ("decide", {"decision": "approve", "effect_digest": review["effect_digest"]}),
            ("promote", {"head": review["head"]}),
        ):
            posted = browser.post(f"/ui/reviews/{review['draft_id']}/{below}", data=form)
            assert posted.status_code == 403, below
            assert "for people" in posted.text
        assert browser.post(f"/ui/rollback/{promoted}", data={"_": ""}).status_code == 403

    assert crowd.main() == before
    assert {each["principal"] for each in crowd.ada.review(f"for-{who}")["approvals"]} == {"grace"}
    assert node.get(f"/runs/{run_id}")["status"] == "waiting"
    node.xynctl("gate", "approve", run_id, "approve", "--as", crowd.ada.token)


def test_on_an_open_node_too_a_token_is_whoever_it_is_of(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().start()
    token = node.xynctl("token", "create", "author-bot").stdout.strip()
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    bot = Actor(node, "author-bot", token, tmp_path / "clone")
    bot.begin()
    bot.commit({"blueprints/mine.yaml": BLUEPRINT.format(name="mine")}, "Do mine")
    # Git is not asked who it is here, and says it only if it was told to.
    git(bot.clone, "config", "http.extraHeader", f"Authorization: Bearer {token}")

    assert "for people" in bot.push("main").stderr
    assert bot.push("draft/mine").returncode == 0
    assert bot.review("mine")["author"] == "author-bot"
    assert "for people" in bot.xynctl("review", "promote", "mine", code=DENIED)
    node.xynctl("token", "revoke", token.split("_")[1])
    assert bot.post("/drafts/mine/comment", {"text": "hm"}).status_code == 401
    assert "could not read Username" in bot.push("draft/mine2").stderr
    # Without a token one is operator, who needs nobody on dev.
    assert "active: " in node.xynctl("review", "promote", "mine").stdout


# ── in two browsers ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pages(crowd: Crowd) -> Iterator[Callable[[Actor], Page]]:
    """Open a browser in which somebody has signed in."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )

        def signed_in(actor: Actor) -> Page:
            page = browser.new_context(base_url=crowd.node.url).new_page()
            page.goto("/ui/login")
            page.get_by_test_id("login-token").fill(actor.token)
            page.get_by_test_id("login-submit").click()
            expect(page.get_by_test_id("principal")).to_have_text(actor.name)
            return page

        yield signed_in
        browser.close()


def test_what_was_pushed_since_a_page_was_opened_is_not_what_its_buttons_approve(
    crowd: Crowd, pages: Callable[[Actor], Page]
) -> None:
    ada, grace = crowd.ada, crowd.grace
    ada.draft("seen")
    ada.review("seen")
    hers, own = pages(grace), pages(ada)
    own.goto("/ui/reviews/seen")
    expect(own.get_by_test_id("approve")).to_be_disabled()
    expect(own.get_by_test_id("why-not-approve")).to_contain_text("somebody else has to approve")
    expect(own.get_by_test_id("promote")).to_be_disabled()
    expect(own.get_by_test_id("reason")).to_contain_text("1 more approval by role:OwnerAdmin")
    hers.goto("/ui/reviews/seen")

    # By git, while grace's page stands open.
    ada.commit({"blueprints/seen2.yaml": BLUEPRINT.format(name="seen2")}, "Slip this in")
    assert ada.push("draft/seen").returncode == 0
    hers.get_by_test_id("approve").click()

    expect(hers.get_by_role("alert")).to_contain_text("look at it again")
    ada.review("seen")
    hers.goto("/ui/reviews/seen")
    expect(hers.get_by_text("blueprints/seen2.yaml").first).to_be_visible()
    hers.get_by_test_id("approve").click()
    expect(hers.get_by_test_id("merge-box")).to_contain_text("grace approved")
    own.goto("/ui/reviews/seen")
    own.get_by_test_id("promote").click()
    expect(own.get_by_test_id("merge-box")).to_contain_text("Promoted")
    assert json.loads(ada.xynctl("review", "show", "seen", "-o", "json"))["status"] == "promoted"
