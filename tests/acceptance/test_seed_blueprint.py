"""The seed's own blueprint (7.2), as written but for its command, run to its end.

A model that answers, a person at the gate, a real sshd for the fix.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aimock import Aimock, aimock
from tests.running import Node, git
from tests.sshd import Sshd, make_key, sshd

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

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
      cmd: "echo fixed {{inputs.service}}; uname -s"
outputs:
  - name: summary
"""

NODE = """\
id: seed
providers: {{openai: {{enabled: true, base_url: "{url}/v1"}}}}
egress: {{allow: ["127.0.0.1:{port}"]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    plan = {"content": "Restart the service.", "usage": {"input_tokens": 9, "output_tokens": 4}}
    fixture = {"match": {"userMessage": "Analyze alert"}, "response": plan}
    with aimock(tmp_path_factory.mktemp("aimock"), [fixture]) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seed")


@pytest.fixture(scope="module")
def seed(server: Sshd, models: Aimock, folder: Path) -> Iterator[Node]:
    """A node whose user has an ssh configuration, with the provider enabled and the skeleton on."""
    home = folder / "user"
    (home / ".ssh").mkdir(mode=0o700, parents=True)
    (home / ".ssh" / "config").write_text(
        f"Host web-1\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.folder}/user_key\n"
    )
    (home / ".ssh" / "known_hosts").write_text(server.known_hosts())
    environment = {"HOME": str(home), "OPENAI_API_KEY": "sk-a-key-that-no-page-shows"}
    node = Node(folder / "home", environment=environment).start()
    git(folder, "clone", "-q", node.git_url, "clone")
    clone = folder / "clone"
    (clone / "node.yaml").write_text(NODE.format(url=models.url, port=server.port))
    (clone / "blueprints" / "checkmk.yaml").write_text(SKELETON)
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Remedy what Checkmk reports")
    git(clone, "push", "-q", "origin", "HEAD:main")
    yield node
    assert node.stop() == 0


def test_the_seeds_skeleton_asks_a_model_waits_for_a_person_and_runs_the_fix(
    seed: Node, models: Aimock
) -> None:
    asked = len(models.seen())
    run = seed.run_of(seed.emit("checkmk.alert", {"host": "web-1", "service": "a; id $(id)"}))
    waiting = seed.wait_for_run(run["run_id"], "waiting", "failed")
    before = {step["key"]: step for step in steps(seed, run["run_id"])}
    seed.xynctl("gate", "approve", run["run_id"], "approve", "--comment", "go")
    done = seed.wait_for_run(run["run_id"], "completed", "failed")

    after = {step["key"]: step for step in steps(seed, run["run_id"])}
    assert waiting["wait_reason"] == "gate", waiting
    assert before["analyze"]["outputs"] == {"text": "Restart the service."}
    assert before["run_fix"]["status"] == "created"
    assert done["status"] == "completed", done
    assert after["run_fix"]["outputs"]["exit_status"] == 0
    # What came with the event was a word for the shell, not a command.
    assert after["run_fix"]["outputs"]["stdout"] == "fixed a; id $(id)\nLinux\n"
    assert len(models.seen()) == asked + 1


def test_what_was_asked_and_answered_is_kept_and_the_key_is_nowhere(seed: Node) -> None:
    run = seed.run_of(seed.emit("checkmk.alert", {"host": "web-1", "service": "ssh"}))
    seed.wait_for_run(run["run_id"], "waiting", "failed")

    kept = seed.get("/artifacts", run_id=run["run_id"])["items"]

    assert {"prompt", "response"} <= {artifact["kind"] for artifact in kept}
    told = [steps(seed, run["run_id"]), kept, seed.get(f"/runs/{run['run_id']}")]
    assert "sk-a-key" not in json.dumps(told)
    for path in seed.home.rglob("*"):
        if path.is_file() and "postgres" not in path.parts:
            assert b"sk-a-key-that" not in path.read_bytes(), path


def test_a_host_whose_key_changed_is_not_talked_to(
    seed: Node, server: Sshd, folder: Path, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text()
    known = folder / "user" / ".ssh" / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {other}")

    run = seed.run_of(seed.emit("checkmk.alert", {"host": "web-1", "service": "ssh"}))
    seed.wait_for_run(run["run_id"], "waiting", "failed")
    seed.xynctl("gate", "approve", run["run_id"], "approve")
    done = seed.wait_for_run(run["run_id"], "completed", "failed")
    known.write_text(server.known_hosts())

    assert done["status"] == "failed"
    assert done["error"]["code"] == "host_key_changed"
    assert server.fingerprint() in done["error"]["message"]


def steps(node: Node, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.get(f"/runs/{run_id}/steps")["items"]
    return found
