"""A node that asks everybody who they are, as people meet it: by git, command and browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.running import PLAIN, Node, git, wait_for

pytestmark = pytest.mark.acceptance

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def node(own_node: Node, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The template's node, told by a push to ask for tokens."""
    clone = tmp_path_factory.mktemp("asking") / "clone"
    git(clone.parent, "clone", own_node.git_url, str(clone))
    definition = clone / "node.yaml"
    definition.write_text(definition.read_text().replace("auth: open", "auth: required"))
    git(clone, "commit", "-am", "Ask for tokens")
    git(clone, "push", "origin", "HEAD:main")
    wait_for(lambda: _refused(own_node))
    return own_node


@pytest.fixture
def clone(node: Node, tmp_path: Path) -> Path:
    git(tmp_path, "clone", node.git_url, "clone")
    return tmp_path / "clone"


def _refused(node: Node) -> bool:
    answer = httpx2.post(f"{node.url}/api/v1/events", json={"event_name": "a.b"}, **PLAIN)
    return answer.status_code == 401


def token(node: Node, principal: str) -> str:
    made = node.xynctl("token", "create", principal, "--expires", "1h").stdout
    assert re.fullmatch(r"xyn_[0-9a-f]{12}_[0-9a-f]{64}\n", made), made
    return made.strip()


def test_git_is_asked_who_pushes_and_the_push_is_in_its_name(node: Node, clone: Path) -> None:
    ada, bot = token(node, "ada"), token(node, "author-bot")
    blueprint = clone / "blueprints" / "night.yaml"
    blueprint.write_text(
        "id: bp.night\nname: Night\ntriggers:\n  - event_type: night.falls\n"
        "plan:\n  - {id: word, kind: transform, set: {said: good night}}\n"
    )
    git(clone, "add", ".")
    git(clone, "commit", "-m", "Say good night")

    def push(user: str) -> str:
        there = node.git_url.replace("http://", f"http://{user}@")
        done = git(clone, "push", there, "HEAD:main", check=False)
        return f"{done.returncode} {done.stderr}"

    nobody = git(clone, "push", "origin", "HEAD:main", check=False)
    assert nobody.returncode != 0
    assert "could not read Username" in nobody.stderr
    assert push(f"grace:{ada}").startswith("128 ")
    assert "Authentication failed" in push("ada:xyn_forged")
    by_bot = push(f"author-bot:{bot}")
    assert by_bot.startswith("1 "), by_bot
    assert "for people" in by_bot
    by_ada = push(f"ada:{ada}")
    assert by_ada.startswith("0 "), by_ada

    pushed = node.get("/events", event_name="xyn.git.pushed")["items"][0]
    assert pushed["actor"] == "ada"


def test_the_command_acts_as_the_owner_or_as_whoever_it_is_told(node: Node) -> None:
    ada, bot = token(node, "ada"), token(node, "author-bot")

    emitted = node.xynctl("event", "emit", "demo.change", "-o", "name", "--as", ada)
    event = node.get(f"/events/{emitted.stdout.strip()}")
    run = node.run_of(event["event_id"])
    node.wait_for_run(run["run_id"], "waiting")
    decide = ("gate", "approve", run["run_id"], "approve", "--as")
    by_bot = node.xynctl(*decide, bot, check=False)
    by_owner = node.xynctl("gate", "approve", run["run_id"], "approve", check=False)
    by_ada = node.xynctl(*decide, ada)

    assert event["actor"] == "ada"
    assert by_bot.returncode == 1
    assert "no policy can allow" in by_bot.stderr
    assert by_owner.returncode != 0
    assert by_ada.returncode == 0
    assert node.xynctl("token", "list", "--as", ada, check=False).returncode == 1
    assert ada.split("_")[1] in node.xynctl("token", "list").stdout


def test_policy_eval_answers_in_words_and_with_its_exit_code(node: Node) -> None:
    asked = ("policy", "eval", "--actor", "ada", "--action", "blueprint.promote")

    on_dev = node.xynctl(*asked).stdout
    on_prod = node.xynctl(*asked, "--stage", "prod").stdout

    assert on_dev.startswith("allowed\n")
    assert on_prod.startswith("needs approval\n")
    assert "missing: 1 more approval by role:OwnerAdmin" in on_prod
    assert "it decides" in on_prod
    nobody = node.xynctl("policy", "eval", "--actor", "x", "--action", "y", check=False)
    assert nobody.returncode == 3


def test_a_broken_glass_is_signed_off_by_somebody_else(node: Node) -> None:
    grant = node.xynctl("policy", "break-glass", "--reason", "A fire", "-o", "name").stdout.strip()
    ada = token(node, "ada")

    own = node.xynctl("policy", "sign-off", grant, check=False)
    by_bot = node.xynctl(
        "policy", "sign-off", grant, "--as", token(node, "author-bot"), check=False
    )
    by_ada = node.xynctl("policy", "sign-off", grant, "--as", ada)

    assert (own.returncode, by_bot.returncode, by_ada.returncode) == (1, 1, 0)


# ── in a browser ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


def test_a_person_signs_in_acts_and_signs_out(node: Node, browser: Browser) -> None:
    page = browser.new_context(base_url=node.url).new_page()
    page.goto("/ui/runs/new?blueprint=bp.demo.hello")
    expect(page.get_by_test_id("principal")).to_have_text("not signed in")
    page.get_by_test_id("launch-submit").click()
    expect(page.get_by_test_id("login-form")).to_be_visible()

    page.get_by_test_id("login-token").fill("xyn_wrong")
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_test_id("form-error")).to_contain_text("not known here")
    page.get_by_test_id("login-token").fill(token(node, "ada"))
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_test_id("principal")).to_have_text("ada")
    cookies = page.context.cookies()
    assert [(c["name"], c["httpOnly"], c["sameSite"]) for c in cookies] == [
        ("xyn_session", True, "Strict")
    ]

    page.goto("/ui/runs/new?blueprint=bp.demo.hello")
    page.get_by_test_id("launch-submit").click()
    expect(page).to_have_url(re.compile(r"/ui/runs/[0-9a-f-]{36}$"))
    page.goto("/ui/policy?actor=author-bot&action=policy.change")
    expect(page.get_by_test_id("policy-sentence")).to_contain_text("no policy can allow")
    page.get_by_test_id("nav-sessions").click()
    expect(page.get_by_test_id("session")).to_have_count(1)
    page.get_by_test_id("logout").click()
    expect(page.get_by_test_id("login-form")).to_be_visible()
    page.goto("/ui/runs")
    expect(page.get_by_test_id("principal")).to_have_text("not signed in")


def test_an_agent_drafts_and_neither_approves_nor_promotes(node: Node, clone: Path) -> None:
    bot = token(node, "author-bot")
    blueprint = clone / "blueprints" / "dusk.yaml"
    blueprint.write_text(
        "id: bp.dusk\nname: Dusk\nplan:\n  - {id: word, kind: transform, set: {said: good}}\n"
    )
    git(clone, "add", ".")
    git(clone, "commit", "-m", "Say good evening")
    there = node.git_url.replace("http://", f"http://author-bot:{bot}@")

    pushed = git(clone, "push", there, "HEAD:draft/dusk").stderr
    refused = {
        verb: node.xynctl("review", verb, "dusk", "--as", bot, check=False)
        for verb in ("approve", "promote")
    }

    assert "/ui/reviews/dusk" in pushed
    for verb, answer in refused.items():
        assert answer.returncode != 0, verb
        assert "author-bot" in answer.stderr, answer.stderr
    git(clone, "fetch", "origin")
    assert not git(clone, "ls-tree", "origin/main", "blueprints/dusk.yaml").stdout


def test_on_prod_a_step_uses_no_secret_that_the_rules_keep_from_whoever_caused_it(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    """The worker process asks; it is not only that it could."""
    node = make_node(XYN_TEST_KEY="correct-horse-battery-staple").start()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", node.git_url, str(clone))
    (clone / "blueprints" / "call.yaml").write_text(
        "id: bp.call\nplan:\n  - id: call\n    kind: action_task\n    action: http.call\n"
        '    with: {url: "https://example.com/", bearer_ref: env/XYN_TEST_KEY}\n'
    )
    rules = clone / "policies" / "who-may-do-what.yaml"
    rules.write_text(
        rules.read_text().replace(
            "match: {action: secret.use, stage: prod}\n    effect: allow",
            "match: {action: secret.use, stage: prod}\n    effect: deny",
        )
    )
    definition = clone / "node.yaml"
    definition.write_text(definition.read_text().replace("stage: dev", "stage: prod"))
    git(clone, "add", ".")
    git(clone, "commit", "-m", "Keep secrets")
    git(clone, "push", "origin", "HEAD:main")

    run_id = node.xynctl("run", "start", "bp.call", "-o", "name", "--as", token(node, "ada"))

    node.wait_for_run(run_id.stdout.strip(), "failed")
    (step,) = node.get(f"/runs/{run_id.stdout.strip()}/steps")["items"]
    assert step["error"]["code"] == "denied", step["error"]
