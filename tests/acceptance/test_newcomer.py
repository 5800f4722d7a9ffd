"""What `make up` shows a newcomer, and that what it prints works when it is pasted."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.running import Node, clean_environment, git, wait_for


@pytest.fixture(scope="module")
def shown(node: Node) -> str:
    """What the demo printed."""
    return node.home.with_name("home.up.log").read_text()


def paste(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a printed command in a shell, in some other folder, with an empty home."""
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=clean_environment(HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commit_of_the_first_runs_record_is_printed_in_full(node: Node, shown: str) -> None:
    commit = re.search(r"its record is commit ([0-9a-f]{40})$", shown, re.MULTILINE)

    assert commit is not None
    message = git(node.home / "state.git", "show", "-s", "--format=%B", commit[1]).stdout
    run = re.search(r"run (\S+) of bp.demo.hello completed", shown)
    assert run is not None
    assert f"Run-Id: {run[1]}" in message


def test_the_printed_clone_emit_and_approve_commands_work_from_any_folder(
    node: Node, shown: str, tmp_path: Path
) -> None:
    clone = re.search(r"Clone: +(.+)$", shown, re.MULTILINE)
    emit = re.search(r"Emit: +(.+)$", shown, re.MULTILINE)
    curl = re.search(r"or +(curl .+)$", shown, re.MULTILINE)
    approve = re.search(r"Approve: .+\n +or +(.+)$", shown, re.MULTILINE)
    assert clone is not None
    assert emit is not None
    assert curl is not None
    assert approve is not None

    results = [paste(command[1], tmp_path) for command in (clone, emit, curl, approve)]

    assert [r.returncode for r in results] == [0, 0, 0, 0], [r.stderr for r in results]
    assert (tmp_path / "xyn-state" / "node.yaml").exists()
    run_id = shlex.split(approve[1])[3]
    assert node.wait_for_run(run_id, "completed", "failed")["status"] == "completed"


def test_a_second_up_of_the_same_home_is_refused_by_name(node: Node) -> None:
    second = Node(node.home)

    with pytest.raises(AssertionError, match="is in use by pid"):
        second.start()


def test_a_busy_port_is_named_with_its_owner_and_a_free_one(node: Node, tmp_path: Path) -> None:
    other = Node(tmp_path / "other", port=node.port)

    with pytest.raises(AssertionError, match=rf"port {node.port} is in use.*port \d+ is free"):
        other.start()


def test_readyz_is_200_once_ready_was_printed(node: Node) -> None:
    assert wait_for(lambda: node.get("/status")["ready"])
