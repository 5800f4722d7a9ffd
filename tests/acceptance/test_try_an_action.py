"""`xynctl action`: which there are, and one of them by itself, on a real node."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.running import XYNCTL, Node, clean_environment, wait_for

pytestmark = pytest.mark.acceptance


def test_the_list_and_a_page_of_it(node: Node) -> None:
    names = node.xynctl("action", "list", "-o", "name").stdout.split()
    table = node.xynctl("action", "list").stdout
    shown = node.xynctl("action", "show", "http.call").stdout
    missing = node.xynctl("action", "show", "htp.call", check=False)

    assert {"http.call", "ssh.run", "container.exec", "drafts.save"} <= set(names)
    assert names == sorted(names)
    assert len(table.splitlines()) == len(names) + 1
    assert "egress_denied" in shown
    assert (missing.returncode, missing.stdout) == (3, "")
    assert 'did you mean "http.call"?' in missing.stderr


def test_members_that_exclude_each_other_are_shown_as_such(node: Node) -> None:
    shown = node.xynctl("action", "show", "ssh.run").stdout

    assert re.search(r"^argv +array +one of ", shown, re.MULTILINE)
    assert re.search(r"^host +string +yes ", shown, re.MULTILINE)


@pytest.mark.parametrize("way", ["text", "file", "stdin"])
def test_outputs_are_printed_as_json(node: Node, tmp_path: Path, way: str) -> None:
    given = json.dumps({"name": "note.txt", "text": "hello"})
    (tmp_path / "with.json").write_text(given)
    word = {"text": given, "file": f"@{tmp_path / 'with.json'}", "stdin": "-"}[way]

    done = node.xynctl(
        "action", "try", "artifacts.put", "--with", word, stdin=given if way == "stdin" else None
    )

    artifact = node.get(f"/artifacts/{json.loads(done.stdout)['artifact_id']}")
    run = node.get(f"/runs/{artifact['run_id']}")
    assert (artifact["name"], artifact["byte_length"]) == ("note.txt", 5)
    assert (run["blueprint_id"], run["status"]) == ("xyn.try", "completed")


def test_a_failure_is_its_error_on_standard_error(node: Node) -> None:
    given = '{"url": "http://127.0.0.1:9/"}'

    done = node.xynctl("action", "try", "http.call", "--with", given, check=False)

    shape = json.loads(done.stderr)
    assert (done.returncode, done.stdout) == (1, "")
    assert shape["error"]["code"] == "egress_denied"
    assert node.get(f"/runs/{shape['run_id']}")["status"] == "failed"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("htp.call",), 3),
        (("http.call", "--with", "[]"), 2),
        (("http.call", "--with", "{"), 2),
        (("http.call", "--with", '{"ur": 1}'), 2),
        (("http.call", "--with", '{"url": "http://example.net"}', "--timeout", "soon"), 2),
        (("http.call", "--with", '{"url": "http://example.net"}', "--timeout", "99999d"), 2),
    ],
)
def test_what_is_typed_wrong_makes_no_run(node: Node, words: tuple[str, ...], code: int) -> None:
    before = len(node.get("/runs", blueprint_id="xyn.try")["items"])

    done = node.xynctl("action", "try", *words, check=False)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("xynctl: ")
    assert len(node.get("/runs", blueprint_id="xyn.try")["items"]) == before


def test_an_interrupt_cancels_the_run(node: Node) -> None:
    change = {"service": "billing", "change": "restart"}
    blueprint = node.run_of(node.emit("demo.change", change))["blueprint_id"]
    inputs = json.dumps({"blueprint": blueprint, "inputs": change})
    before = {run["run_id"] for run in node.get("/runs", blueprint_id="xyn.try")["items"]}
    trying = subprocess.Popen(
        [*XYNCTL, "action", "try", "blueprints.run", "--with", inputs, "--home", str(node.home)],
        env=clean_environment(**node.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def waits() -> str | None:
        runs = node.get("/runs", blueprint_id="xyn.try")["items"]
        found = [run for run in runs if run["run_id"] not in before]
        return found[0]["run_id"] if found and found[0]["status"] == "waiting" else None

    run_id = str(wait_for(waits, node.log))
    trying.send_signal(signal.SIGINT)
    _, errors = trying.communicate(timeout=60)

    assert trying.returncode == 130
    assert f"cancelled run {run_id}" in errors
    assert node.wait_for_run(run_id, "cancelled")
