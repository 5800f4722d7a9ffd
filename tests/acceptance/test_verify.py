"""``xynctl verify`` and the audit, as somebody uses them who does not trust the machine."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.running import XYNCTL, Node, clean_environment, git, wait_for
from xyn_reconciler.node.home import Home

pytestmark = pytest.mark.acceptance


def push(node: Node, clone: Path, name: str) -> None:
    if not clone.exists():
        git(clone.parent, "clone", "-q", node.git_url, clone.name)
    (clone / "blueprints" / f"{name}.yaml").write_text(
        f"id: bp.test.{name}\nplan:\n  - {{id: a, kind: transform, set: {{x: 1}}}}\n"
    )
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", f"Add {name}")
    git(clone, "push", "-q", "origin", "HEAD:main")


def findings(node: Node, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    done = node.xynctl("verify", "-o", "json", *arguments, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def verified(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*XYNCTL, "verify", "--home", str(folder)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def checkpoint(node: Node) -> str:
    page = subprocess.run(
        ["curl", "-sf", f"{node.url}/ui/health"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"Checkpoint: \S+ main [^<]+", page)
    return "" if found is None else found[0]


def test_a_node_is_whole_until_somebody_goes_past_it(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node()
    node.start()
    wait_for(lambda: checkpoint(node))
    kept = checkpoint(node)
    push(node, tmp_path / "clone", "one")
    node.wait_for_run(node.run_of(node.emit("demo.hello"))["run_id"], "completed", "waiting")

    assert findings(node, "--against", kept) == []
    listed = node.xynctl("audit", "list", "--kind", "ref", "-o", "json").stdout
    assert [each["entry"]["how"] for each in json.loads(listed)] == ["push", "init"]
    assert kept in Home(node.home).log("all").read_text()

    assert node.stop() == 0
    assert findings(node, "--against", kept) == []
    subprocess.run(
        ["git", "clone", "-q", "--mirror", str(node.home / "state.git"), str(tmp_path / "mirror")],
        check=True,
    )
    assert verified(tmp_path / "mirror").stdout.startswith("whole: ")

    git(node.home / "state.git", "update-ref", "refs/heads/main", "refs/heads/main~1")
    (found,) = findings(node, code=1)
    assert found["ref"] == "refs/heads/main"
    assert "moved it back" in found["wrong"]


def test_a_line_that_is_no_checkpoint_is_a_wrong_use(node: Node) -> None:
    done = node.xynctl("verify", "--against", "seed", check=False)

    assert done.returncode == 2
    assert "this is no checkpoint" in done.stderr


def test_a_folder_that_is_neither_home_nor_mirror_is_said(tmp_path: Path) -> None:
    done = verified(tmp_path)

    assert done.returncode == 3
    assert "neither a node's home nor a mirror" in done.stderr
