"""Settings of a pack in a real browser: a form, its mistakes, its draft, its smoke test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.neighbours import neighbour
from tests.running import Node, git

pytestmark = pytest.mark.acceptance

PACK = """\
id: shop
version: 0.1.0
settings:
  type: object
  required: [url]
  additionalProperties: false
  properties:
    url: {type: string, title: Where it answers, pattern: "^https?://", description: Its API.}
    port: {type: integer, minimum: 1, maximum: 65535}
    loud: {type: boolean, default: false}
    tone: {enum: [kind, short], default: kind}
    teams: {type: array, items: {type: string}}
    token_ref: {type: string, default: env/SHOP_TOKEN}
actions:
  shop.look:
    summary: Look whether it is there.
    idempotent: true
    input_schema: {type: object}
    output_schema: {type: object}
    request: {url: "{{ settings.url }}/healthz", timeout: 5s}
smoke: {action: shop.look}
"""
SETTINGS = """\
# The shop's own words stay.
url: http://127.0.0.1:9
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = neighbour("chromium", "chromium")
    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        launched = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield launched
        launched.close()


@pytest.fixture
def shop(make_node: Callable[..., Node], tmp_path: Path) -> Node:
    """A node with the pack, which may speak to itself."""
    node = make_node().start()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", node.git_url, str(clone))
    folder = clone / "packs" / "shop"
    folder.mkdir(parents=True)
    (folder / "pack.yaml").write_text(PACK)
    (folder / "settings.yaml").write_text(SETTINGS)
    definition = (clone / "node.yaml").read_text()
    allowed = definition.replace("egress: {allow: []}", "egress: {allow: [127.0.0.1]}")
    (clone / "node.yaml").write_text(allowed)
    git(clone, "add", ".")
    git(clone, "commit", "-m", "A shop")
    git(clone, "push", "origin", "HEAD:main")
    return node


@pytest.fixture
def page(shop: Node, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(base_url=shop.url, viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


def fits(page: Page) -> bool:
    wider: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider <= 0


def test_settings_are_mended_saved_promoted_and_tried(shop: Node, page: Page) -> None:
    page.goto("/ui/packs/shop")
    page.get_by_test_id("change-settings").click()
    expect(page.get_by_test_id("field-url")).to_have_value("http://127.0.0.1:9")
    assert fits(page)

    page.get_by_test_id("smoke-run").click()
    expect(page.get_by_test_id("smoke-result")).to_have_attribute("data-status", "failed")

    page.get_by_test_id("field-port").fill("70000")
    page.get_by_test_id("field-token_ref").fill("hunter2 is my password")
    page.get_by_test_id("field-url").fill("")
    page.get_by_test_id("settings-save").click()
    expect(page.get_by_test_id("error-url")).to_have_text("fill this in")
    expect(page.get_by_test_id("error-port")).to_contain_text("65535")
    expect(page.get_by_test_id("error-token_ref")).to_contain_text("never its value")
    assert "hunter2" not in page.content()
    assert fits(page)

    page.get_by_test_id("field-url").fill(shop.url)
    page.get_by_test_id("field-port").fill("")
    page.get_by_test_id("field-teams").fill("noc\nweb")
    page.get_by_test_id("field-loud").select_option("true")
    page.get_by_test_id("settings-save").click()
    page.wait_for_url("**/ui/reviews/**")
    draft = shop.get("/drafts/settings-shop")
    assert draft["content"]["files"] == {
        "packs/shop/settings.yaml": SETTINGS.replace("http://127.0.0.1:9", shop.url)
        + "loud: true\nteams:\n- noc\n- web\n"
    }

    page.goto("/ui/packs/shop/settings")
    expect(page.get_by_test_id("settings-draft")).to_contain_text("draft/settings-shop")
    expect(page.get_by_test_id("field-url")).to_have_value(shop.url)
    page.get_by_test_id("smoke-run").click()
    expect(page.get_by_test_id("smoke-result")).to_have_attribute("data-status", "completed")
    shop.xynctl("review", "promote", "settings-shop")
    page.goto("/ui/packs/shop/settings")
    expect(page.get_by_test_id("settings-draft")).to_have_count(0)
    expect(page.get_by_test_id("field-teams")).to_have_value("noc\nweb")

    page.get_by_test_id("smoke-run").click()
    expect(page.get_by_test_id("smoke-result")).to_have_attribute("data-status", "completed")
    assert fits(page)
