"""A pack written by `pack new`, pushed, and at work on a node: its program and its smoke test."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.neighbours import confinement
from tests.running import PLAIN, XYNCTL, Node, clean_environment, git, wait_for

pytestmark = pytest.mark.acceptance

MORE = """\
  acme.slow:
    summary: Take a long time, and say so.
    input_schema: {type: object}
    output_schema: {type: object}
    run: {file: actions/slow.sh}
  acme.leak:
    summary: Say what nobody should.
    input_schema: {type: object}
    output_schema: {type: object}
    run: {file: actions/leak.py, secrets: [env/ACME_TOKEN]}
smoke: {action: acme.title, with: {host: web-1}}
"""

SLOW = "#!/bin/sh\necho began >&2\nsleep 6123 &\nwait\n"

LEAK = """
from xyn_kit import Request, action, log

@action
def leak(request: Request) -> dict[str, object]:
    log("the token is", *request.secrets.values())
    return {"told": list(request.secrets.values()), "given": len(request.secrets)}

leak()
"""

TOKEN = "canary-of-a-pack-1234"

EXAMPLE = "action: acme.slow\nexpect: {}\n"


def sleepers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] == ["sleep", "6123"]
    ]


def test_a_new_pack_works_on_a_node_and_its_programs_end_with_their_run(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    confinement()
    node = make_node(ACME_TOKEN=TOKEN).start()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", node.git_url, str(clone))
    subprocess.run([*XYNCTL, "pack", "new", "acme"], cwd=clone, env=clean_environment(), check=True)
    folder = clone / "packs" / "acme"
    pack = (folder / "pack.yaml").read_text()
    (folder / "pack.yaml").write_text(pack.replace("events:", f"{MORE}events:"))
    (folder / "actions" / "slow.sh").write_text(SLOW)
    (folder / "actions" / "leak.py").write_text(LEAK)
    (folder / "examples" / "slow.yaml").write_text(EXAMPLE)
    git(clone, "add", ".")
    git(clone, "commit", "-m", "A pack")
    git(clone, "push", "origin", "HEAD:main")

    tried = node.xynctl("action", "try", "acme.title", "--with", '{"host": "db", "text": "full"}')
    leaked = json.loads(node.xynctl("action", "try", "acme.leak").stdout)
    live = node.xynctl("pack", "test", "--live", "acme")
    answer = httpx2.post(
        f"{node.url}/api/internal/actions/execute",
        json={"action": "acme.slow", "wait_seconds": 0},
        **PLAIN,
    )
    run_id = answer.json()["run_id"]
    wait_for(sleepers)
    node.xynctl("run", "cancel", run_id)
    run = node.wait_for_run(run_id, "cancelled")

    assert json.loads(tried.stdout) == {"title": "db: full"}
    assert leaked["given"] == 1
    assert TOKEN not in str(leaked)
    logs = [
        httpx2.get(f"{node.url}/api/v1/artifacts/{each['artifact_id']}/download", **PLAIN).text
        for each in node.get("/artifacts")["items"]
    ]
    assert any("the token is" in log for log in logs)
    assert not any(TOKEN in log for log in logs)
    assert live.stdout == "passed   acme\n"
    assert run["status"] == "cancelled"
    assert sleepers() == []
