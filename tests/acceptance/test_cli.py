"""`xynctl` against a node: answers on standard output alone, exit codes, ids typed in part."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.running import XYNCTL, Node, clean_environment, git, wait_for

pytestmark = pytest.mark.acceptance

ELSEWHERE = """\
id: bp.test.elsewhere
triggers: [{event_type: test.elsewhere}]
plan:
  - {id: ask, kind: gate, mode: manual, approvals: {min: 1, from_any_of: ["role:Treasurer"]}}
"""
TYPED = """\
id: bp.test.typed
inputs:
  host: {type: string}
  times: {type: integer, default: 1}
plan:
  - {id: note, kind: transform, set: {text: "{{ inputs.host }} {{ inputs.times + 1 }}"}}
outputs: {text: "{{ steps.note.outputs.text }}"}
"""
NIGHTLY = """\
id: bp.test.nightly
triggers: [{schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}}]
plan: [{id: note, kind: transform, set: {x: 1}}]
"""


@pytest.fixture(scope="module")
def pushed(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The node, with blueprints of these tests."""
    folder = tmp_path_factory.mktemp("pushed")
    git(folder, "clone", "-q", node.git_url, "clone")
    clone = folder / "clone"
    (clone / "blueprints" / "elsewhere.yaml").write_text(ELSEWHERE)
    (clone / "blueprints" / "typed.yaml").write_text(TYPED)
    (clone / "blueprints" / "nightly.yaml").write_text(NIGHTLY)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Ask the treasurer")
    git(clone, "push", "-q", "origin", "HEAD:main")
    return node


def waiting_run(node: Node, name: str) -> str:
    run = node.run_of(node.emit(name, {"service": "billing", "change": "restart"}))
    node.wait_for_run(run["run_id"], "waiting")
    return str(run["run_id"])


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("event", "list"), "event_id"),
        (("run", "list"), "run_id"),
        (("gate", "list"), "step_id"),
        (("blueprint", "list"), "blueprint_id"),
        (("blueprint", "history", "bp.demo.hello"), "revision"),
        (("schedule", "list"), "blueprint_id"),
        (("source", "list"), "source_id"),
    ],
)
def test_every_list_has_its_three_forms(pushed: Node, words: tuple[str, ...], field: str) -> None:
    waiting_run(pushed, "demo.change")

    def quiet_forms() -> tuple[list[dict[str, object]], list[str], list[str]] | None:
        """The three, if the node noted nothing of its own between the first and the last."""
        rows = pushed.xynctl(*words, "-o", "json").stdout
        names = pushed.xynctl(*words, "-o", "name").stdout.split()
        table = pushed.xynctl(*words).stdout.splitlines()
        again = pushed.xynctl(*words, "-o", "json").stdout
        return (json.loads(rows), names, table) if rows == again else None

    rows, names, table = wait_for(quiet_forms)

    assert rows
    assert names == [row[field] for row in rows]
    assert table[0].isupper()
    assert len(table) == len(rows) + 1


def test_an_event_starts_a_run_that_is_shown_and_watched_by_the_first_digits_of_its_id(
    node: Node,
) -> None:
    event_id = node.xynctl(
        "event", "emit", "demo.hello", "--data", '{"name": "Ada"}', "-o", "name"
    ).stdout.strip()
    run_id = wait_for(lambda: node.run_of(event_id))["run_id"]

    watched = node.xynctl("run", "watch", run_id[:30], "-o", "json")
    again = node.xynctl("run", "watch", run_id)
    shown = json.loads(node.xynctl("run", "show", run_id[:30], "-o", "json").stdout)

    assert json.loads(watched.stdout)["outputs"]["greeting"] == "Hello, Ada!"
    assert again.returncode == 0
    assert {step["key"] for step in shown["steps"]} == {"greet", "count", "shout", "close"}
    assert f"event_id        {event_id}" in node.xynctl("event", "show", event_id[:30]).stdout


def test_an_event_is_explained_with_the_run_that_it_started_first(node: Node) -> None:
    event_id = node.emit("demo.hello", {"name": "Ada"})
    run_id = node.run_of(event_id)["run_id"]

    told = json.loads(node.xynctl("explain", "event", event_id, "-o", "json").stdout)
    header, first, *others = node.xynctl("explain", "event", event_id).stdout.splitlines()

    assert (told["event_id"], told["items"][0]["run_id"]) == (event_id, run_id)
    assert header.split() == ["BLUEPRINT", "OUTCOME", "CONDITION", "EXPECTED", "FOUND", "WHY"]
    assert first.split()[:2] == ["bp.demo.hello", "started"]
    assert first.endswith(f"run {run_id}")
    (approval,) = (line for line in others if line.startswith("bp.demo.approval"))
    assert approval.split()[1:5] == ["not_matched", "event_type", "demo.change", "demo.hello"]


def test_an_event_that_is_not_there_cannot_be_explained(node: Node) -> None:
    assert node.xynctl("explain", "event", str(uuid.UUID(int=0)), check=False).returncode == 3


def test_data_comes_from_a_file_and_from_standard_input_as_it_was_written(
    node: Node, tmp_path: Path
) -> None:
    (tmp_path / "data.json").write_text('\ufeff{"n": 12345678901234567890, "f": 1.0}', "utf-8")

    of_a_file = node.xynctl(
        "event", "emit", "test.data", "--data", f"@{tmp_path / 'data.json'}", "-o", "json"
    )
    of_input = node.xynctl(
        "event", "emit", "test.data", "--data", "-", "-o", "json", stdin='{"a": "ü"}'
    )

    assert json.loads(of_a_file.stdout)["data"] == {"n": 12345678901234567890, "f": 1.0}
    assert json.loads(of_input.stdout)["data"] == {"a": "ü"}


def test_the_same_idempotency_key_twice_is_one_event(node: Node) -> None:
    words = ("event", "emit", "test.once", "--idempotency-key", "once-1", "-o", "name")

    assert node.xynctl(*words).stdout == node.xynctl(*words).stdout


def test_inputs_of_a_started_run_are_typed_as_the_blueprint_says(pushed: Node) -> None:
    run_id = pushed.xynctl(
        "run", "start", "bp.test.typed", "--input", "host=7", "--input", "times=2", "-o", "name"
    ).stdout.strip()
    wrong = pushed.xynctl(
        "run", "start", "bp.test.typed", "--input", "host=x", "--input", "times=two", check=False
    )
    unknown = pushed.xynctl("run", "start", "bp.test.typed", "--input", "hots=x", check=False)

    done = pushed.wait_for_run(run_id, "completed", "failed")
    assert done["outputs"] == {"text": "7 3"}
    assert (wrong.returncode, unknown.returncode) == (2, 2)
    assert "input times is of type integer" in wrong.stderr
    assert "no input 'hots'; it has host, times" in unknown.stderr


def test_a_cancelled_run_is_a_watched_failure(node: Node) -> None:
    run_id = waiting_run(node, "demo.change")

    node.xynctl("run", "cancel", run_id)
    watched = node.xynctl("run", "watch", run_id, check=False)

    assert watched.returncode == 1
    assert "cancelled" in watched.stdout


@pytest.mark.parametrize(
    ("code", "words", "why"),
    [
        (2, ("event", "emit", "xyn.mine"), "xyn."),
        (2, ("event", "emit", "x", "--data", "{"), "is not JSON"),
        (3, ("run", "show", "00000000-0000-0000-0000-000000000000"), "run"),
        (3, ("run", "show", "no"), "xynctl run list shows the ids"),
        (3, ("event", "show", "ffffffff"), "xynctl event list shows the ids"),
        (3, ("blueprint", "show", "bp.nowhere"), "bp.nowhere"),
        (3, ("run", "start", "bp.nowhere"), "bp.nowhere"),
        (3, ("schema", "nothing"), "there are"),
        (4, ("init",), "has a state repository already"),
        (4, ("rebuild",), "in use"),
    ],
)
def test_what_fails_says_why_in_a_line_and_by_its_code(
    node: Node, code: int, words: tuple[str, ...], why: str
) -> None:
    done = node.xynctl(*words, check=False)

    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("xynctl: ")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_gate_that_is_decided_is_a_conflict_and_one_of_others_needs_approval(
    pushed: Node,
) -> None:
    mine, theirs = waiting_run(pushed, "demo.change"), waiting_run(pushed, "test.elsewhere")

    first = pushed.xynctl("gate", "approve", mine, "approve", "--comment", "go")
    second = pushed.xynctl("gate", "reject", mine, "approve", check=False)
    refused = pushed.xynctl("gate", "approve", theirs, "ask", check=False)

    assert "approved" in first.stdout
    assert second.returncode == 4, second.stderr
    assert refused.returncode == 5, refused.stderr
    assert "Treasurer" in refused.stderr
    pushed.xynctl("run", "cancel", theirs)


def test_a_step_is_named_by_its_id_in_the_plan_or_by_its_uuid(node: Node) -> None:
    run_id = waiting_run(node, "demo.change")
    steps = node.get(f"/runs/{run_id}/steps")["items"]
    (gate,) = [step for step in steps if step["kind"] == "gate"]

    done = node.xynctl("gate", "approve", run_id, gate["step_id"], "-o", "name")

    assert done.stdout.strip() == gate["step_id"]
    assert node.wait_for_run(run_id, "completed")


def test_a_waiting_run_names_the_command_that_lets_it_go_on(node: Node) -> None:
    run_id = waiting_run(node, "demo.change")

    shown = node.xynctl("run", "show", run_id)

    assert f"xynctl gate approve {run_id} approve" in shown.stderr
    assert "xynctl gate" not in shown.stdout


def test_an_empty_list_names_the_next_command(node: Node) -> None:
    done = node.xynctl("run", "list", "--blueprint", "bp.nowhere")

    assert done.stdout == ""
    assert "xynctl run start" in done.stderr


def test_a_dry_run_of_reconcile_says_what_would_change(node: Node) -> None:
    found = json.loads(node.xynctl("reconcile", "--dry-run", "-o", "json").stdout)

    assert (found["dry_run"], found["changes"], found["problems"]) == (True, [], [])


def test_status_doctor_and_validate_look_and_change_nothing(node: Node) -> None:
    status = node.xynctl("status")
    doctor = node.xynctl("doctor")

    assert "Ready" in status.stdout
    assert "BAD" not in doctor.stdout


def test_a_clone_is_enough_to_find_the_node(node: Node, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", node.git_url, "clone")

    done = subprocess.run(
        [*XYNCTL, "blueprint", "list", "-o", "name"],
        cwd=tmp_path / "clone" / "blueprints",
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "bp.demo.hello" in done.stdout.split()
