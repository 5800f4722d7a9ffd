"""The drawing of the run's statuses and the code say the same."""

import re
from pathlib import Path

from xyn_reconciler.action.http_call import INPUT_SCHEMA
from xyn_reconciler.model.run import RUN_CHANGES, RunStatus

DOCS = Path(__file__).parents[3] / "docs" / "reference"


def test_the_drawing_shows_exactly_the_changes_that_the_code_allows() -> None:
    drawing = (DOCS / "run.md").read_text().split("```mermaid")[1].split("```")[0]
    arrows = set(re.findall(r"^\s*(\S+) --> ([a-z]+|\[\*\])", drawing, re.MULTILINE))

    allowed = {(str(one), str(other)) for one, others in RUN_CHANGES.items() for other in others}
    ends = {(str(status), "[*]") for status in RunStatus if status.ended}
    assert arrows == allowed | ends | {("[*]", "created")}


def test_every_input_of_http_call_is_explained() -> None:
    text = (DOCS / "actions" / "http.call.md").read_text()
    explained = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)))
    )

    assert set(INPUT_SCHEMA["properties"]) <= explained
