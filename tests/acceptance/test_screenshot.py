"""The picture in the README is a picture of what there is: ``make screenshots`` takes it anew.

Every run of the tests takes it, so that the way to it stays open; it is kept only where
``XYN_SCREENSHOTS=1`` asks for that, because no two machines draw the same bytes.
"""

import os
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.neighbours import neighbour
from tests.running import Node

IMAGES = Path(__file__).parents[2] / "docs" / "images"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def test_the_readme_shows_a_run_that_waits_for_a_person(node: Node, tmp_path: Path) -> None:
    run = node.run_of(node.emit("demo.change", {"service": "billing", "change": "restart"}))
    node.wait_for_run(run["run_id"], "waiting")
    folder = IMAGES if os.environ.get("XYN_SCREENSHOTS") == "1" else tmp_path
    folder.mkdir(parents=True, exist_ok=True)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=neighbour("chromium", "chromium"), args=QUIET
        )
        page = browser.new_page(viewport={"width": 1200, "height": 800}, color_scheme="light")
        page.goto(f"{node.url}/ui/runs/{run['run_id']}")
        expect(page.get_by_test_id("gate-approve")).to_be_visible()
        page.screenshot(path=folder / "run.png")
        browser.close()

    assert (folder / "run.png").read_bytes().startswith(b"\x89PNG")
