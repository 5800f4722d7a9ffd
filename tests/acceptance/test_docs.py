"""What the pages say is so: their commands and links exist, and ``make up`` prints what is shown.

The tutorials are followed in ``test_tutorials.py``.
"""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.doc_pages import CHECKOUT, assert_printed, blocks
from tests.running import Node
from xyn_reconciler.cli.parser import build_parser

pytestmark = pytest.mark.acceptance

PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "ARCHITECTURE.md",
    CHECKOUT / "CHANGELOG.md",
    *sorted(set((CHECKOUT / "docs").rglob("*.md")) - set((CHECKOUT / "docs/actions").iterdir())),
]
"""Not ``docs/actions``: those are parts of the pages in ``docs/reference/actions``."""

_LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)]*))?\)")


def test_make_up_prints_what_the_readme_shows(node: Node) -> None:
    shown = [b for b in blocks(CHECKOUT / "README.md") if b.info == "text up"]
    printed = node.home.with_name("home.up.log").read_text(encoding="utf-8")

    assert len(shown) == 1
    *lines, ready = shown[0].text.splitlines()

    assert ready == "ready http://127.0.0.1:8080"
    assert_printed("\n".join(map(_without_details, lines)), printed, "README.md")


def _without_details(line: str) -> str:
    """Take out of a shown line what differs from machine to machine and from start to start."""
    line = re.sub(r"^\[ *[0-9.]+ s\]", "[…]", line)
    line = re.sub(r"[0-9a-f]{40}|[0-9a-f-]{36}|[0-9]+(?= migrations)", "…", line)
    line = re.sub(r"/home/you/xyn/.xyn/state.git", "…/state.git", line)
    line = re.sub(r"/home/you/xyn/\S+", "…", line)
    return line.replace(":8080", ":…")


def test_make_up_is_the_command_that_the_tests_start() -> None:
    recipe = re.search(r"^up:.*\n((?:\t.*\n)+)", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)

    assert recipe is not None
    assert recipe[1].rstrip().endswith("xynctl up --demo")


def shell_lines(page: Path) -> Iterator[tuple[str, str]]:
    """Give each command in the page's ``sh`` blocks with its place; a here-document is none."""
    for block in blocks(page):
        if block.info.split()[:1] != ["sh"]:
            continue
        text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block.text, flags=re.MULTILINE | re.DOTALL)
        for line in text.replace("\\\n", " ").splitlines():
            yield f"{page.name}:{block.line}", line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_exists(page: Path) -> None:
    made = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    parser = build_parser()

    for where, line in shell_lines(page):
        for command in re.findall(r"(?:^|[(;&] *|/)(xynctl [^)|;&#]+|make [a-z]+)", line):
            words = shlex.split(command)
            if words[0] == "make":
                assert words[1] in made, f"{where}: {command}"
                continue
            try:
                options = parser.parse_args(words[1:])
            except SystemExit:
                pytest.fail(f"{where}: xynctl does not understand: {command}")
            assert isinstance(options, argparse.Namespace)
            assert options.run is not None, f"{where}: not a command: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for match in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = page.parent / match["path"] if match["path"] else page
        assert target.exists(), f"{page.name}: {match['path']}"
        if match["anchor"] and target.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert match["anchor"] in anchors, f"{page.name}: #{match['anchor']}"
