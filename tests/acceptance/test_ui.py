"""The pages in a real browser against a real node: they load, do their work, and show the change.

Debian's Chromium is driven; locally a missing one skips with the reason, in CI it fails.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from tests.running import Node, git

pytestmark = pytest.mark.acceptance

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        message = f"{CHROMIUM} is missing: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def page(node: Node, browser: Browser) -> Iterator[Page]:
    """A page on the node; what the browser complains of (a refused script, say) fails the test."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # Chromium reports a refused form as an error; the page is the answer.
        if message.type in {"error", "warning"} and "status of 422" not in message.text:
            complaints.append(message.text)

    context = browser.new_context(base_url=node.url, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.on("console", hear)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture
def waiting(node: Node) -> str:
    """A run of the template's approval blueprint that waits at its gate."""
    run = node.run_of(node.emit("demo.change", {"service": "billing", "change": "restart"}))
    node.wait_for_run(run["run_id"], "waiting")
    return str(run["run_id"])


def test_the_console_shows_an_event_as_it_comes(node: Node, page: Page) -> None:
    page.goto("/")
    expect(page.get_by_test_id("sync")).to_contain_text("in sync")
    expect(page.get_by_test_id("health")).to_contain_text("ready")

    event_id = node.emit("demo.seen", {"by": "the browser"})

    row = page.locator(f"#e{event_id}")
    expect(row).to_contain_text("demo.seen")
    row.get_by_role("link").click()
    expect(page.get_by_test_id("event-name")).to_have_text("demo.seen")
    expect(page.get_by_test_id("event-data")).to_contain_text("the browser")


def test_the_platforms_own_events_stand_behind_a_toggle(node: Node, page: Page) -> None:
    node.emit("demo.toggled")
    page.goto("/ui/events")
    expect(page.get_by_test_id("event-row").first).to_be_visible()
    expect(page.get_by_text("xyn.event.received")).to_have_count(0)

    page.get_by_test_id("all-events").click()

    expect(page.get_by_text("xyn.event.received").first).to_be_visible()


def test_a_gate_is_approved_on_its_page_and_the_run_ends(page: Page, waiting: str) -> None:
    page.goto("/ui/events")
    page.locator(f'[data-testid="waiting-gate"][href="/ui/runs/{waiting}"]').click()
    expect(page.get_by_test_id("gate")).to_contain_text("restart billing")

    page.get_by_test_id("gate-comment").fill("looks right")
    page.get_by_test_id("gate-approve").click()

    expect(page.get_by_test_id("run-status")).to_have_attribute("data-status", "completed")
    expect(page.get_by_test_id("gate-decided")).to_contain_text("looks right")
    expect(page.get_by_test_id("run-outputs")).to_contain_text("approved by operator")


def test_a_gate_is_rejected_on_its_page_and_the_run_fails(page: Page, waiting: str) -> None:
    page.goto(f"/ui/runs/{waiting}")

    page.get_by_test_id("gate-reject").click()

    expect(page.get_by_test_id("run-status")).to_have_attribute("data-status", "failed")
    expect(page.get_by_test_id("run-failure")).to_contain_text("rejected")


def test_what_is_being_written_outlives_the_polling(page: Page, waiting: str) -> None:
    page.goto(f"/ui/runs/{waiting}")
    page.get_by_test_id("gate-comment").fill("half a sentence")
    page.get_by_test_id("step-prepare").locator("summary").click()

    for _ in range(2):
        with page.expect_response(re.compile("/_status$")):
            pass

    expect(page.get_by_test_id("gate-comment")).to_have_value("half a sentence")
    expect(page.get_by_test_id("step-link-prepare")).to_be_visible()


def test_a_page_shows_what_others_decide_without_being_loaded_again(
    node: Node, page: Page, waiting: str
) -> None:
    page.goto(f"/ui/runs/{waiting}")
    expect(page.get_by_test_id("gate")).to_be_visible()

    node.post(f"/runs/{waiting}/gates/approve/approve")

    expect(page.get_by_test_id("run-status")).to_have_attribute("data-status", "completed")
    expect(page.get_by_test_id("gate")).to_have_count(0)
    expect(page.locator("[data-poll]")).to_have_count(0)


def test_a_run_is_cancelled_on_its_page(page: Page, waiting: str) -> None:
    page.goto(f"/ui/runs/{waiting}")

    page.get_by_test_id("cancel-run").click()

    expect(page.get_by_test_id("run-status")).to_have_attribute("data-status", "cancelled")


def test_a_run_is_launched_from_its_blueprint(page: Page) -> None:
    page.goto("/ui/blueprints")
    page.get_by_role("link", name="Say hello").click()
    expect(page.get_by_test_id("blueprint-source")).to_contain_text("id: bp.demo.hello")
    page.get_by_test_id("start-run").click()

    page.get_by_test_id("field-name").fill("Ada")
    page.get_by_test_id("launch-submit").click()

    expect(page.get_by_test_id("run-status")).to_have_attribute("data-status", "completed")
    expect(page.get_by_test_id("run-outputs")).to_contain_text("Hello, Ada!")


def test_the_launcher_says_at_the_field_what_does_not_fit(page: Page) -> None:
    page.goto("/ui/runs/new?blueprint=bp.demo.hello")
    page.get_by_test_id("field-name").fill("x" * 101)

    with page.expect_response(lambda response: response.status == 422):
        page.get_by_test_id("launch-submit").click()

    expect(page.get_by_test_id("error-name")).to_be_visible()
    expect(page.get_by_test_id("field-name")).to_have_value("x" * 101)


def test_a_step_has_a_page(node: Node, page: Page) -> None:
    run = node.run_of(node.emit("demo.hello", {"name": "Grace"}))
    node.wait_for_run(run["run_id"], "completed")
    page.goto(f"/ui/runs/{run['run_id']}")

    page.get_by_test_id("step-greet").locator("summary").click()
    page.get_by_test_id("step-link-greet").click()

    expect(page.get_by_test_id("step-outputs")).to_contain_text("Hello, Grace!")


def test_runs_are_listed_and_sorted_out_by_status(page: Page, waiting: str) -> None:
    page.goto("/ui/runs")
    expect(page.locator(f"#r{waiting}")).to_be_visible()

    page.get_by_test_id("runs-cancelled").click()

    expect(page.locator(f"#r{waiting}")).to_have_count(0)


def test_an_artifact_is_found_and_downloaded(node: Node, page: Page) -> None:
    made = node.post(
        "/artifacts", {"name": "report.txt", "kind": "report", "content_base64": "aGVsbG8="}
    )
    page.goto("/ui/artifacts")
    page.locator(f"#a{made['artifact_id']}").get_by_role("link", name="report.txt").click()

    with page.expect_download() as download:
        page.get_by_test_id("download").click()

    assert download.value.suggested_filename == "report.txt"
    assert Path(download.value.path()).read_bytes() == b"hello"


def test_health_says_that_the_node_is_well(page: Page) -> None:
    page.goto("/ui/health")

    expect(page.get_by_test_id("status").first).to_have_text("ready")
    expect(page.get_by_test_id("conditions")).to_contain_text("Ready")


def test_a_node_that_goes_away_is_said_and_so_is_its_return(node: Node, browser: Browser) -> None:
    context = browser.new_context(base_url=node.url)
    page = context.new_page()
    page.goto("/ui/runs")

    page.route("**/_list*", lambda route: route.abort())
    expect(page.locator("#lost")).to_be_visible()
    page.unroute("**/_list*")

    expect(page.locator("#lost")).to_be_hidden()
    context.close()


def test_polling_rests_while_nobody_looks(node: Node, page: Page) -> None:
    asked: list[str] = []

    def count(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_()

    page.goto("/ui/runs")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.route("**/_list*", count)
    page.wait_for_timeout(4500)
    assert asked == []

    page.evaluate("delete document.hidden")
    with page.expect_response(re.compile("/_list")):
        pass


def test_everything_can_be_read_and_decided_without_scripts(
    node: Node, browser: Browser, waiting: str
) -> None:
    context = browser.new_context(base_url=node.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/ui/runs/{waiting}")
    page.get_by_test_id("gate-approve").click()

    expect(page.get_by_test_id("gate-decided")).to_be_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_screen(node: Node, browser: Browser, waiting: str, scheme: str) -> None:
    context = browser.new_context(
        base_url=node.url,
        viewport={"width": 380, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    lists = ("events", "runs", "health", "artifacts", "packs", "secrets", "audit", "reviews")
    for path in (f"/ui/runs/{waiting}", *(f"/ui/{name}" for name in lists)):
        page.goto(path)
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, path
    context.close()


WAITING_FOR_MORE = {
    "nightly": """\
id: bp.ui.nightly
triggers: [{schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}}]
plan: [{id: note, kind: transform, set: {x: 1}}]
""",
    "calm": """\
id: bp.ui.calm
triggers: [{event_type: ui.alert, dedupe: {key: "{{ event.data.host }}", window: 10m}}]
plan: [{id: note, kind: transform, set: {x: 1}}]
""",
    "failing": """\
id: bp.ui.failing
triggers: [{event_type: ui.failing}]
plan: [{id: note, kind: transform, set: {x: "{{ event.data.missing }}"}}]
""",
    "asking": """\
id: bp.ui.asking
inputs:
  host: {type: string, minLength: 2, description: Which host}
  times: {type: integer, default: 3}
  loud: {type: boolean, default: false}
  tags: {type: array, items: {type: string}, default: []}
plan: [{id: note, kind: transform, set: {x: "{{ inputs }}"}}]
outputs: {given: "{{ steps.note.outputs.x }}"}
""",
}


@pytest.fixture(scope="module")
def pushed(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The node, with blueprints of these tests."""
    folder = tmp_path_factory.mktemp("ui")
    git(folder, "clone", "-q", node.git_url, "clone")
    clone = folder / "clone"
    for name, text in WAITING_FOR_MORE.items():
        (clone / "blueprints" / f"ui-{name}.yaml").write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Try the pages")
    git(clone, "push", "-q", "origin", "HEAD:main")
    return node


def test_an_events_page_says_what_came_of_it_and_leads_to_the_run(pushed: Node, page: Page) -> None:
    run = pushed.run_of(pushed.emit("ui.alert", {"host": "db1"}))
    again = pushed.emit("ui.alert", {"host": "db1"})
    page.goto(f"/ui/events/{again}")
    outcome = page.get_by_test_id("outcome-bp.ui.calm")
    expect(outcome).to_contain_text("suppressed")
    expect(page.get_by_test_id("outcome-bp.demo.hello")).to_be_hidden()

    page.get_by_test_id("other-blueprints").click()
    expect(page.get_by_test_id("outcome-bp.demo.hello")).to_contain_text("demo.hello")
    outcome.get_by_test_id("outcome-run").click()

    expect(page).to_have_url(re.compile(f"/ui/runs/{run['run_id']}$"))


def test_a_blueprint_shows_when_it_fires_next(pushed: Node, page: Page) -> None:
    page.goto("/ui/blueprints/bp.ui.nightly")

    expect(page.get_by_test_id("next-time")).to_have_count(5)
    expect(page.get_by_test_id("schedules")).to_contain_text("Europe/Berlin")


def test_failures_are_marked_in_the_console_and_its_head(pushed: Node, page: Page) -> None:
    run = pushed.run_of(pushed.emit("ui.failing"))
    pushed.wait_for_run(run["run_id"], "failed")

    page.goto("/ui/events?event_name=xyn.run.failed")

    row = page.get_by_test_id("event-row").filter(has_text="bp.ui.failing")
    expect(row.get_by_test_id("failure-mark")).to_be_visible()
    expect(page.get_by_test_id("attention").get_by_text("bp.ui.failing").first).to_be_visible()
    expect(page.get_by_test_id("failure-legend")).to_contain_text("xyn.*.failed")


def test_health_lists_sources_and_the_backlog(page: Page) -> None:
    page.goto("/ui/health")

    expect(page.get_by_test_id("source-github")).to_contain_text("integrations/github-hook")
    expect(page.get_by_test_id("source-alertmanager")).to_contain_text("accepts")
    expect(page.get_by_test_id("backlog-waiting")).to_have_text(re.compile(r"^\d+$"))


def test_the_launcher_reads_every_kind_of_input(pushed: Node, page: Page) -> None:
    page.goto("/ui/runs/new?blueprint=bp.ui.asking")
    page.get_by_test_id("field-times").fill("four")
    page.get_by_test_id("field-tags").fill('["a"')
    with page.expect_response(lambda response: response.status == 422):
        page.get_by_test_id("launch-submit").click()
    for name in ("host", "times", "tags"):
        expect(page.get_by_test_id(f"error-{name}")).to_be_visible()
    expect(page.get_by_test_id("error-loud")).to_have_count(0)

    page.get_by_test_id("field-host").fill("db1")
    page.get_by_test_id("field-times").fill("")
    page.get_by_test_id("field-loud").select_option("yes")
    page.get_by_test_id("field-tags").fill('["a"]')
    page.get_by_test_id("launch-submit").click()

    expect(page.get_by_test_id("run-status")).to_have_attribute("data-status", "completed")
    for said in ('"host": "db1"', '"times": 3', '"loud": true', '"a"'):
        expect(page.get_by_test_id("run-outputs")).to_contain_text(said)


def test_the_new_parts_fit_a_narrow_screen(pushed: Node, browser: Browser) -> None:
    event_id = pushed.emit("ui.alert", {"host": "x" * 200})
    context = browser.new_context(base_url=pushed.url, viewport={"width": 380, "height": 800})
    page = context.new_page()
    paths = (
        f"/ui/events/{event_id}",
        "/ui/events?all=1",
        "/ui/blueprints",
        "/ui/blueprints/bp.ui.nightly",
        "/ui/runs/new?blueprint=bp.ui.asking",
    )
    for path in paths:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    page.goto("/ui/blueprints")
    name = page.get_by_test_id("blueprint-row").first.get_by_role("link").bounding_box()
    assert name is not None
    assert name["width"] > 80  # and not a letter below the other
    context.close()


def test_a_draft_is_reviewed_and_promoted_on_its_page(
    node: Node, page: Page, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    (clone / "blueprints/walk.yaml").write_text(
        "id: bp.walk\nname: A walk\nplan:\n  - {id: a, kind: transform, set: {x: 1}}\n"
    )
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Take a walk")
    told = git(clone, "push", "origin", "HEAD:draft/take-a-walk").stderr
    token = node.xynctl("token", "create", "grace").stdout.strip()

    assert f"review: {node.url}/ui/reviews/take-a-walk" in told
    page.goto("/ui/login?next=/ui/reviews")
    page.get_by_test_id("login-token").fill(token)
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_test_id("open-reviews")).to_be_visible()
    page.get_by_role("link", name="take-a-walk").click()
    expect(page.get_by_test_id("author")).to_contain_text("operator")
    expect(page.get_by_test_id("changes")).to_contain_text("blueprint bp.walk added")

    page.locator('a[data-line="3"]').click()
    page.get_by_test_id("line-text").fill("why here?")
    page.get_by_test_id("line-send").click()
    expect(page.get_by_test_id("line-comment")).to_contain_text("why here?")

    page.get_by_test_id("decide-comment").fill("looks right")
    page.get_by_test_id("approve").click()
    expect(page.get_by_test_id("vote")).to_contain_text("looks right")
    expect(page.get_by_test_id("approve")).to_be_disabled()
    expect(page.get_by_test_id("why-not-approve")).to_contain_text("already")

    expect(page.get_by_test_id("promote")).to_be_enabled()
    expect(page.locator("[data-poll]")).to_have_count(0)
    page.get_by_test_id("promote").click()

    expect(page.get_by_test_id("promoted-as")).to_be_visible()
    git(clone, "fetch", "-q", "origin")
    merged = git(clone, "log", "-1", "--format=%B", "origin/main").stdout
    assert "Promote draft/take-a-walk" in merged
    assert "Reviewed-by: grace" in merged
    page.goto("/ui/blueprints")
    expect(page.get_by_text("A walk", exact=True)).to_be_visible()


def test_a_comment_that_is_being_written_outlives_the_checks(
    node: Node, page: Page, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    (clone / "prompts/ask.md").write_text("What is wrong?\n")
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Ask")
    git(clone, "push", "-q", "origin", "HEAD:draft/ask")
    page.goto("/ui/reviews/ask")
    expect(page.locator("[data-poll]")).to_have_count(0)

    page.get_by_test_id("check-again").click()
    page.locator('a[data-line="1"]').click()
    page.get_by_test_id("line-text").fill("half a sentence")
    page.wait_for_timeout(2500)
    expect(page.get_by_test_id("line-text")).to_have_value("half a sentence")

    page.get_by_test_id("line-text").press("Escape")
    expect(page.get_by_test_id("line-text")).to_have_count(0)
    expect(page.locator("[data-poll]")).to_have_count(0)
    node.post(f"/drafts/{node.get('/drafts/ask')['draft_id']}/close")
