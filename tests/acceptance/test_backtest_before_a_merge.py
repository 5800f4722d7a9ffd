"""A backtest shows a mistake before it is merged, and a run becomes the test that keeps it out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import Node, git, wait_for

pytestmark = pytest.mark.acceptance

DISK = """\
id: bp.disk
triggers:
  - event_type: checkmk.alert
    match: {data.state: [CRIT, WARN]}
inputs:
  host: {type: string, from: "{{ event.data.host }}"}
plan:
  - {id: note, kind: transform, set: {text: "free some room on {{ inputs.host }}"}}
outputs: {text: "{{ steps.note.outputs.text }}"}
"""


def test_a_match_that_lost_warn_is_caught_before_the_merge(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().start()
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    clone = tmp_path / "clone"
    blueprint = clone / "blueprints" / "disk.yaml"
    push(clone, blueprint, DISK, "main")
    for host, state in (("web-1", "CRIT"), ("web-2", "WARN"), ("web-3", "OK")):
        data = json.dumps({"host": host, "state": state})
        node.xynctl("event", "emit", "checkmk.alert", "--data", data)
    warned = wait_for(lambda: run_of(node, "web-2"), lambda: "the run of web-2")
    wait_for(lambda: node.get("/status")["records_waiting"] == 0, lambda: "its record")

    # Somebody tidies the triggers up, and loses one.
    push(clone, blueprint, DISK.replace("[CRIT, WARN]", "[CRIT]"), "draft/tidy")

    found = json.loads(node.xynctl("backtest", "tidy", "-o", "json").stdout)
    report = found["report"]
    assert report["blueprints"]["bp.disk"] == {"changed": 0, "gained": 0, "lost": 1, "same": 1}
    (lost,) = [row for row in report["rows"] if row["outcome"] == "lost"]
    assert '"web-2"' in lost["event"]["summary"]
    assert lost["run_id"] == warned
    assert lost["differences"] == ['draft: trigger 1: match.data.state is "WARN", asked "CRIT"']
    kept = node.get(f"/artifacts/{found['artifact_id']}")
    assert (
        kept["metadata"]["head"] == found["head"] == git(clone, "rev-parse", "HEAD").stdout.strip()
    )
    shown = node.xynctl("backtest", "tidy", "--blueprint", "bp.disk", "--since", "1h")
    assert "lost" in shown.stdout
    assert "1 same, 0 changed, 0 gained, 1 lost" in shown.stderr
    assert len(node.get("/runs")["items"]) == 2, "a backtest starts nothing"

    # The run is made a test, and from then on the check says it by itself.
    test = clone / "tests" / "warn.yaml"
    node.xynctl("run", "to-test", warned, "--out", str(test))
    offline = node.xynctl("test", str(clone), check=False)
    assert offline.returncode == 1
    assert "tests/warn.yaml:" in offline.stdout
    assert 'it does not start bp.disk: trigger 1: match.data.state is "WARN"' in offline.stdout
    push(clone, test, test.read_text(), "draft/tidy")
    wait_for(lambda: check_of(node, "tests") == "failed", lambda: "the check of the tests")

    push(clone, blueprint, DISK, "draft/tidy")
    assert node.xynctl("test", str(clone)).returncode == 0
    there = [*clone.glob("tests/*.yaml"), *clone.glob("packs/*/tests/*.yaml")]
    said = node.xynctl("test", "--revision", "tidy").stderr.strip()
    assert said == f"{len(there)} tests passed"
    wait_for(lambda: check_of(node, "tests") == "passed", lambda: "the check of the tests")


def push(clone: Path, path: Path, text: str, branch: str) -> None:
    path.write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", f"Change {path.name}")
    git(clone, "push", "-q", "origin", f"HEAD:{branch}")


def run_of(node: Node, host: str) -> str | None:
    for run in node.get("/runs", blueprint_id="bp.disk")["items"]:
        if run["inputs"]["host"] == host and run["status"] == "completed":
            return str(run["run_id"])
    return None


def check_of(node: Node, name: str) -> str | None:
    checks = node.get("/drafts/tidy/review")["checks"]
    return next((each["status"] for each in checks if each["name"] == name), None)
