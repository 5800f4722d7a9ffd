"""The whole way, as a new user takes it: clone, push, be refused, mend, emit, approve, look."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import Node, git, wait_for

BLUEPRINT = """\
id: bp.test.disk
name: Disk is full
triggers:
  - event_type: disk.full
inputs:
  host: {type: string, from: "{{ event.data.host }}"}
plan:
  - id: shape
    kind: transform
    set: {text: "clean {{ inputs.host }}"}
  - id: approve
    kind: gate
    mode: manual
  - id: close
    kind: transform
    set:
      said: "{{ steps.shape.outputs.text }} by {{ steps.approve.outputs.approvers | join(', ') }}"
outputs: {said: "{{ steps.close.outputs.said }}"}
"""


@pytest.fixture
def clone(node: Node, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    return tmp_path / "clone"


def push(
    clone: Path, text: str, name: str = "blueprints/test/disk.yaml"
) -> "subprocess.CompletedProcess[str]":
    file = clone / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Change the night shift")
    return git(clone, "push", "-q", "origin", "HEAD:main", check=False)


def test_a_broken_blueprint_is_refused_at_its_line_and_nothing_moves(
    node: Node, clone: Path
) -> None:
    before = git(clone, "rev-parse", "origin/main").stdout

    refused = push(clone, BLUEPRINT.replace("inputs.host", "inputs.hsot"))

    assert refused.returncode != 0
    assert "blueprints/test/disk.yaml:10:" in refused.stderr
    assert "host" in refused.stderr  # did you mean
    assert "1 problem in 1 file; main was not moved" in refused.stderr
    assert git(clone, "ls-remote", "origin", "refs/heads/main").stdout.split()[0] == before.strip()


def test_a_push_is_active_when_it_returns_and_the_gate_lets_through(
    node: Node, clone: Path, tmp_path: Path
) -> None:
    pushed = push(clone, BLUEPRINT)
    assert pushed.returncode == 0, pushed.stderr
    revision = git(clone, "rev-parse", "HEAD").stdout.strip()

    status = node.get("/status")
    run = node.run_of(node.emit("disk.full", {"host": "web-1"}))
    waiting = node.wait_for_run(run["run_id"], "waiting")
    approved = node.xynctl(
        "gate", "approve", run["run_id"], "approve", "--comment", "go", "-o", "json"
    )
    done = node.wait_for_run(run["run_id"], "completed", "failed")

    assert status["last_applied_revision"] == revision
    assert waiting["wait_reason"] == "gate"
    assert '"decision": "approved"' in approved.stdout
    assert done["status"] == "completed"
    assert done["revision"] == revision
    assert done["outputs"] == {"said": "clean web-1 by operator"}
    _the_record_is_in_a_mirror(node, run["run_id"], tmp_path)


def _the_record_is_in_a_mirror(node: Node, run_id: str, folder: Path) -> None:
    commit = wait_for(lambda: _recorded_as_completed(node, run_id))
    git(folder, "clone", "-q", "--mirror", node.git_url, "mirror")
    found = git(folder / "mirror", "log", "--all", "--grep", run_id, "--format=%H").stdout.split()
    assert commit in found


def _recorded_as_completed(node: Node, run_id: str) -> str | None:
    status = node.get("/status")
    run = node.get(f"/runs/{run_id}")
    return run["record_commit"] if status["records_waiting"] == 0 else None


def test_rejecting_a_gate_fails_the_run(node: Node, clone: Path) -> None:
    push(
        clone,
        BLUEPRINT.replace("bp.test.disk", "bp.test.reject").replace("disk.full", "disk.reject"),
        "blueprints/test/reject.yaml",
    )

    run = node.run_of(node.emit("disk.reject", {"host": "web-2"}))
    node.wait_for_run(run["run_id"], "waiting")
    node.xynctl("gate", "reject", run["run_id"], "approve")
    done = node.wait_for_run(run["run_id"], "completed", "failed")

    assert done["status"] == "failed"
    assert done["error"]["code"] == "rejected"


def test_main_can_neither_be_forced_nor_deleted(node: Node, clone: Path) -> None:
    git(clone, "commit", "-q", "--amend", "-m", "another past")

    forced = git(clone, "push", "-q", "--force", "origin", "HEAD:main", check=False)
    deleted = git(clone, "push", "-q", "origin", ":main", check=False)
    hidden = git(clone, "push", "-q", "origin", "HEAD:refs/xyn/runs/seed/2000-01", check=False)

    assert forced.returncode != 0
    assert "main" in forced.stderr
    assert deleted.returncode != 0
    assert hidden.returncode != 0


def test_a_draft_is_accepted_with_remarks(node: Node, clone: Path) -> None:
    file = clone / "blueprints" / "draft.yaml"
    file.write_text("id: bp.test.draft\nplan: []\nsurprise: 1\n")
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "An idea")

    pushed = git(clone, "push", "-q", "origin", "HEAD:draft/idea", check=False)

    assert pushed.returncode == 0
    assert "blueprints/draft.yaml:3:1: unknown_key" in pushed.stderr


def test_the_push_over_the_file_path_meets_the_same_judge(node: Node, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(node.home / "state.git"), "clone")

    refused = push(tmp_path / "clone", "id: bp.x\n")

    assert refused.returncode != 0
    assert "missing_key" in refused.stderr


def test_the_seeds_skeleton_is_accepted_as_written(node: Node, clone: Path) -> None:
    pushed = push(clone, SKELETON, "blueprints/checkmk.yaml")

    assert pushed.returncode == 0, pushed.stderr
    blueprint = node.get("/blueprints/bp.checkmk.auto_remediate")
    assert any(c["type"] == "NotRunnable" and c["status"] for c in blueprint["conditions"])


SKELETON = """\
id: bp.checkmk.auto_remediate
name: "Checkmk Alert Auto-Remediation"
trigger:
  event_type: "checkmk.alert"
inputs:
  - name: host
  - name: service
plan:
  - kind: agent_task
    id: analyze
    agent: openai
    model: gpt-5
    prompt: "Analyze alert and suggest remediation plan"
  - kind: gate
    id: approve
    mode: manual
  - kind: action_task
    id: run_fix
    action: ssh.run
    with:
      host: "{{inputs.host}}"
      cmd: "..."
outputs:
  - name: summary
"""


def test_without_a_node_a_push_is_refused_with_a_sentence(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().start()
    git(tmp_path, "clone", "-q", str(node.home / "state.git"), "clone")
    node.stop()

    refused = push(tmp_path / "clone", BLUEPRINT)

    assert refused.returncode != 0
    assert "xynctl up" in refused.stderr
