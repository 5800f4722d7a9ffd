"""Secrets as people keep them: set from stdin, used by steps, opened by age, seen nowhere else."""

import json
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.http_site import running
from tests.neighbours import neighbour
from tests.running import Node, git, wait_for

pytestmark = pytest.mark.acceptance

PATH = "sys/local/integrations/checkmk"
VALUE = "it's open sesame & <please>"
BLUEPRINT = """\
id: bp.call
triggers:
  - event_type: call.now
plan:
  - id: call
    kind: action_task
    action: http.call
    with:
      url: "{{ event.data.url }}"
      bearer_ref: sys/local/integrations/checkmk
"""


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent, as badly behaved services do."""

    seen: list[str] = []  # noqa: RUF012 - of the one server of a test

    def do_GET(self) -> None:
        said = self.headers.get("Authorization", "")
        self.seen.append(said)
        body = json.dumps({"you_sent": said, "again": said.encode().hex()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def echo() -> Iterator[str]:
    Echo.seen = []
    with running(Echo) as url:
        yield url


@pytest.fixture
def node(own_node: Node) -> Node:
    """All tests keep the same secret in the same place."""
    return own_node


def clone_of(node: Node, folder: Path) -> Path:
    git(folder, "clone", node.git_url, "work")
    return folder / "work"


def push(work: Path, **files: str) -> "subprocess.CompletedProcess[str]":
    for name, text in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(work, "pull", "--rebase", "origin", "main", check=False)
    git(work, "add", ".")
    git(work, "commit", "-m", "Try")
    return git(work, "push", "origin", "HEAD:main", check=False)


def test_a_secret_is_set_used_told_and_nowhere_to_be_seen(
    node: Node, echo: str, tmp_path: Path
) -> None:
    node.xynctl("secret", "set", PATH, stdin=f"{VALUE}\n")
    port = echo.rpartition(":")[2]
    work = clone_of(node, tmp_path)
    text = (work / "node.yaml").read_text().replace("allow: []", f'allow: ["127.0.0.1:{port}"]')
    pushed = push(work, **{"blueprints/call.yaml": BLUEPRINT, "node.yaml": text})
    assert pushed.returncode == 0, pushed.stderr

    run = node.run_of(node.emit("call.now", {"url": echo}))
    node.wait_for_run(run["run_id"], "completed")

    assert Echo.seen == [f"Bearer {VALUE}"]
    steps = json.dumps(node.get(f"/runs/{run['run_id']}/steps"))
    assert "open sesame" not in steps
    assert VALUE.encode().hex() not in steps
    (used,) = [each for each in node.get("/audit")["items"] if each["kind"] == "secret.used"]
    assert (used["subject"], used["entry"]["step"], used["entry"]["outcome"]) == (
        PATH,
        "call",
        "granted",
    )
    users = json.loads(node.xynctl("secret", "who-uses", PATH, "-o", "json").stdout)
    assert json.dumps(users).count("bp.call") == 1
    refused = node.xynctl("secret", "rm", PATH, check=False)
    assert refused.returncode != 0
    assert "bp.call" in refused.stderr
    listed = node.xynctl("secret", "list").stdout
    assert PATH in listed
    assert "sesame" not in listed + node.log()


def test_the_age_command_opens_what_xynctl_wrote(node: Node, tmp_path: Path) -> None:
    age = neighbour("age", "age")
    key = "-----BEGIN K-----\nline one\nline two\n-----END K-----\n"
    node.xynctl("secret", "set", "team/noc/ssh", stdin=key)
    work = clone_of(node, tmp_path)

    opened = subprocess.run(
        [age, "-d", "-i", node.home / "age.key", work / "secrets/team/noc/ssh.age"],
        capture_output=True,
        check=True,
    )

    assert json.loads(opened.stdout)["value"] == key
    assert (node.home / "age.key").stat().st_mode & 0o777 == 0o600


def test_a_value_as_an_argument_is_refused_and_stdin_is_named(node: Node) -> None:
    refused = node.xynctl("secret", "set", PATH, "hunter2-hunter2", check=False)

    assert refused.returncode != 0
    assert "stdin" in refused.stderr
    assert "hunter2" not in refused.stderr


def test_plain_text_and_copied_files_are_refused_at_the_push_also_of_drafts(
    node: Node, tmp_path: Path
) -> None:
    node.xynctl("secret", "set", PATH, stdin=VALUE)
    work = clone_of(node, tmp_path)
    sealed = (work / f"secrets/{PATH}.age").read_text()

    copied = push(work, **{"secrets/team/noc/mine.age": sealed})
    git(work, "reset", "--hard", "HEAD~1")
    plain = push(work, **{"secrets/team/noc/mine.age": "hunter2-hunter2\n"})
    draft = git(work, "push", "origin", "HEAD:draft/plain", check=False)
    git(work, "reset", "--hard", "HEAD~1")
    told = push(work, **{"prompts/told.md": f"the password is {VALUE}\n"})

    assert copied.returncode != 0
    assert "copied" in copied.stderr
    for refused in (plain, draft):
        assert refused.returncode != 0
        assert "secret_not_encrypted" in refused.stderr
        assert "hunter2" not in refused.stderr
    assert told.returncode != 0
    assert "holds a secret of this node" in told.stderr


def test_a_clone_names_what_it_cannot_open_and_rekey_lets_it_in_and_out_again(
    node: Node, make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node.xynctl("secret", "set", PATH, stdin=VALUE)
    other = make_node("other")
    cloned = other.xynctl("clone", node.url, str(other.home))
    recipient = next(line for line in cloned.stderr.split() if line.startswith("age1")).rstrip(",")
    other.start()
    other_id = other.get("/status")["node_id"]

    def shut() -> str:
        found = [c for c in other.get("/status")["conditions"] if c["type"] == "SecretsReadable"]
        return "" if not found or found[0]["status"] else str(found[0]["message"])

    assert PATH in wait_for(shut)
    work = clone_of(node, tmp_path)
    definition = f"id: {other_id}\nmode: shadow\nrecipient: {recipient}\n"
    assert push(work, **{f"nodes/{other_id}.yaml": definition}).returncode == 0
    node.xynctl("secret", "rekey")
    other.xynctl("reconcile", check=False)
    wait_for(lambda: not shut(), seconds=60)

    git(work, "pull", "origin", "main")
    git(work, "rm", f"nodes/{other_id}.yaml")
    assert push(work).returncode == 0
    gone = node.xynctl("secret", "rekey")

    assert f"rotate {PATH}" in gone.stdout
