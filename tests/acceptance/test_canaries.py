"""Forty canaries, put where a person or a system could put a secret; then everything is searched.

Half are variables of the node, half are age files. Each goes in through fields of its own,
in the forms in which values travel. What is searched afterwards, for every canary in all
its forms: each object of the repository, each row of the database, artifacts, logs, and
pages as they are crawled.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.canaries import (
    COUNT,
    PLUMAGE,
    Cage,
    Parrot,
    caged,
    database_text,
    encoded,
    files_text,
    pages,
    plain_ascii,
    repository_text,
    searched,
)
from tests.http_site import running
from tests.running import Node, git, wait_for

pytestmark = pytest.mark.acceptance

BLUEPRINTS: Final = {
    "blueprints/say.yaml": """\
id: bp.canary
inputs: {said: {type: string, default: nothing}}
triggers:
  - event_type: canary.sings
plan:
  - id: word
    kind: transform
    set: {said: "{{ inputs.said }}", again: "{{ inputs.said }} and {{ inputs.said }}"}
  - id: ask
    kind: gate
    mode: manual
    needs: [word]
    form: {note: {type: string}}
outputs: {said: "{{ steps.word.outputs.said }}"}
""",
    "blueprints/call.yaml": """\
id: bp.call
triggers:
  - event_type: canary.calls
plan:
  - id: call
    kind: action_task
    action: http.call
    with:
      url: "{{ event.data.url }}"
      method: POST
      headers: {x-said: "{{ event.data.header }}"}
      json: {said: "{{ event.data.body }}"}
      bearer_ref: sys/local/canary/c20
""",
    "blueprints/fail.yaml": """\
id: bp.fail
triggers:
  - event_type: canary.fails
plan:
  - id: fail
    kind: action_task
    action: http.call
    with: {url: "{{ event.data.url }}"}
""",
    "sources/nest.yaml": """\
id: nest
verify: {scheme: none}
event_type: canary.flies
delivery_id: "{{ headers['x-delivery'] | default('none') }}"
data: "{{ body }}"
""",
}


@pytest.fixture
def parrot() -> Iterator[str]:
    with running(Parrot) as url:
        yield url


def events(cage: Cage) -> None:
    for number in range(COUNT):
        value = cage.values[number]
        data = {
            "text": f"<{value}> {PLUMAGE}",
            "in_form": encoded(value, number),
            value: "as a key",
            "deep": [{"list": [1, {"of": f"x{value}y"}]}],
            "authorization": f"Bearer {value}",
        }
        assert cage.post("/events", {"event_name": "canary.tells", "data": data}).is_success
    cage.post(
        "/events",
        {
            "event_name": "canary.tells",
            "data": {"a": 1},
            "resource": {"type": cage.next(), "id": cage.next()},
        },
    )
    cage.post("/events", {"event_name": cage.next(), "data": {}})
    cage.post(
        "/events",
        {"event_name": "canary.tells", "data": {}},
        **{
            "Idempotency-Key": plain_ascii(cage.next())[:255],
            "X-Correlation-Id": plain_ascii(cage.next()),
            "User-Agent": plain_ascii(cage.next()),
            "X-Api-Key": plain_ascii(cage.next()),
            "Referer": f"http://127.0.0.1/{plain_ascii(cage.next())}",
            "Cookie": f"a={plain_ascii(cage.next())}",
        },
    )
    cage.send("POST", "/api/v1/events", content=f"not json {cage.next()}".encode())
    ce = {
        "ce-id": plain_ascii(cage.next()),
        "ce-source": f"/s/{plain_ascii(cage.next())}",
        "ce-specversion": "1.0",
        "ce-type": "canary.tells",
        "ce-subject": plain_ascii(cage.next()),
        "Content-Type": "application/json",
    }
    cage.send("POST", "/api/v1/events", headers=ce, content=json.dumps({"v": cage.next()}))


def deliveries(cage: Cage) -> None:
    for body in (json.dumps({"v": cage.next(), cage.next(): 1}), f"broken {cage.next()}"):
        cage.send(
            "POST",
            f"/hooks/nest?token={plain_ascii(cage.next())}",
            headers={
                "Content-Type": "application/json",
                "X-Delivery": plain_ascii(cage.next()),
                "X-Gitlab-Token": plain_ascii(cage.next()),
                "Authorization": f"Basic {base64.b64encode(cage.next().encode()).decode()}",
            },
            content=body.encode(),
        )
    cage.send("POST", f"/hooks/{plain_ascii(cage.next())}", content=b"{}")


def questions(cage: Cage) -> None:
    """Addresses, queries, and whatever an error repeats."""
    for path in ("/api/v1/runs", "/api/v1/events", "/ui/events", "/ui/runs", "/api/v1/audit"):
        cage.send("GET", path, params={"q": cage.next(), "cursor": cage.next()})
        cage.send("GET", f"{path}/{plain_ascii(cage.next())}")
    cage.send("GET", "/ui/policy", params={"actor": cage.next(), "action": "run.start"})
    cage.send(
        "GET", "/api/v1/health", headers={"Authorization": f"Bearer {encoded(cage.next(), 4)}"}
    )
    cage.post("/policy/eval", {"actor": cage.next(), "action": cage.next()})
    cage.post("/policy/break-glass", {"reason": f"because {cage.next()}"})
    cage.send("POST", "/ui/login", data={"token": cage.next()})


def runs(cage: Cage) -> None:
    for _ in range(3):
        started = cage.post(
            "/runs",
            {"blueprint_ref": "bp.canary", "name": cage.next(), "inputs": {"said": cage.next()}},
            **{"X-Correlation-Id": plain_ascii(cage.next())},
        )
        assert started.status_code == 201, started.text
        run_id = started.json()["run_id"]
        cage.node.wait_for_run(run_id, "waiting")
        comment = {"comment": f"yes {cage.next()}", "form": {"note": cage.next()}}
        cage.post(f"/runs/{run_id}/gates/ask/approve", comment)
        cage.node.wait_for_run(run_id, "completed", "failed", "waiting")
    cage.post("/runs", {"blueprint_ref": cage.next(), "inputs": {}})
    cage.post("/runs", {"blueprint_ref": "bp.canary", "inputs": {cage.next(): cage.next()}})


def steps(cage: Cage, parrot: str) -> None:
    for name, url in (
        ("canary.calls", parrot),
        ("canary.fails", f"{parrot}/{plain_ascii(cage.next())}?t={plain_ascii(cage.next())}"),
        ("canary.fails", f"http://127.0.0.1:9/{plain_ascii(cage.next())}"),
    ):
        data = {"url": url, "header": plain_ascii(cage.next()), "body": cage.next()}
        run = cage.node.run_of(cage.node.emit(name, data))
        cage.node.wait_for_run(run["run_id"], "completed", "failed")


def artifacts(cage: Cage) -> None:
    for _ in range(3):
        asked = {
            "name": f"{cage.next()}.txt",
            "kind": "note",
            "content_type": "text/plain",
            "metadata": {cage.next(): cage.next()},
        }
        made = cage.post("/artifacts", asked)
        assert made.is_success, made.text
        # Exact bytes are not changed: what holds a secret is refused whole.
        body = f"{'x' * 70_000}{cage.next()} and {encoded(cage.next(), cage.told)}".encode()
        address = f"/api/v1/artifacts/{made.json()['artifact_id']}/upload"
        assert cage.send("PUT", address, content=body).status_code == 422
        whole = {**asked, "content_base64": base64.b64encode(body).decode()}
        assert cage.post("/artifacts", whole).status_code == 422


def drafts(cage: Cage, work: Path) -> None:
    cage.post(
        "/drafts",
        {
            "name": "plain",
            "kind": "blueprint",
            "content": {"files": {"prompts/x.md": "hello\n"}, "notes": f"note {cage.next()}"},
        },
    )
    for name, files in (
        ("held", {"prompts/y.md": f"say {cage.next()}\n"}),
        (re.sub(r"[^A-Za-z0-9_-]", "", cage.next()), {"prompts/z.md": "hello\n"}),
    ):
        cage.post("/drafts", {"name": name, "kind": "blueprint", "content": {"files": files}})
    found = cage.send("GET", "/api/v1/drafts").json()["items"]
    for each in found:
        address = f"/drafts/{each['draft_id']}"
        cage.post(f"{address}/comment", {"text": f"comment {cage.next()}"})
        head = {"comment": f"voted {cage.next()}"}
        cage.post(f"{address}/reject", head)
    (work / "prompts").mkdir(exist_ok=True)
    (work / "prompts/pushed.md").write_text(f"pushed {cage.next()}\n")
    git(work, "add", ".")
    git(work, "commit", "-m", "Push a file")
    assert git(work, "push", "origin", "HEAD:draft/pushed", check=False).returncode != 0
    git(work, "reset", "--hard", "HEAD~1")
    git(work, "commit", "--allow-empty", "-m", f"Say {cage.next()}")
    assert git(work, "push", "origin", "HEAD:main", check=False).returncode != 0
    git(work, "reset", "--hard", "HEAD~1")


@pytest.fixture
def cage(make_node: Callable[..., Node]) -> Cage:
    return caged(make_node)


def test_no_canary_is_found_anywhere(cage: Cage, parrot: str, tmp_path: Path) -> None:
    node = cage.node
    git(tmp_path, "clone", node.git_url, "work")
    work, port = tmp_path / "work", parrot.rpartition(":")[2]
    for name, text in BLUEPRINTS.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    allowed = f'allow: ["127.0.0.1:{port}", "127.0.0.1:9"]'
    definition = (work / "node.yaml").read_text().replace("allow: []", allowed)
    (work / "node.yaml").write_text(definition)
    git(work, "add", ".")
    git(work, "commit", "-m", "Build the cage")
    git(work, "push", "origin", "HEAD:main")

    events(cage)
    deliveries(cage)
    questions(cage)
    runs(cage)
    steps(cage, parrot)
    artifacts(cage)
    drafts(cage, work)
    wait_for(lambda: node.get("/status")["records_waiting"] == 0)

    assert cage.told > 2 * COUNT
    conditions = {each["type"] for each in node.get("/status")["conditions"]}
    leaks = set[str]()
    for places, sees in (
        (repository_text(node.home), True),
        (database_text(node.home), True),
        (pages(node), True),
        # What an event says is in no file.
        (files_text(node.home), False),
    ):
        hits, seen = searched(cage, places)
        leaks |= hits
        assert seen is sees
    assert not leaks, "\n".join(sorted(leaks))
    assert "SecretCaught" not in conditions, "the last guard had to catch one"
