"""The page of how to write an action, followed literally: files, command and output."""

import re
from pathlib import Path

import pytest

from tests.neighbours import confinement
from xyn_reconciler.cli.main import main
from xyn_reconciler.pack_kit import NAME, kit

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-an-action-in-a-pack.md"
FILE = re.compile(
    r"^`(?P<path>packs/[^`]+)`\n\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
PRINTED = re.compile(r"^```text\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_what_the_page_writes_is_valid_and_its_examples_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    confinement()
    page = PAGE.read_text(encoding="utf-8")
    files = {found["path"]: found["text"] for found in FILE.finditer(page)}
    for path, text in {**files, f"packs/tickets/actions/{NAME}": kit()}.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert len(files) == 6
    assert main(["validate", "packs"]) == 0
    capsys.readouterr()
    code = main(["pack", "test", "tickets"])
    said = capsys.readouterr().out
    assert said == "".join(found["text"] for found in PRINTED.finditer(page))
    assert code == 0
