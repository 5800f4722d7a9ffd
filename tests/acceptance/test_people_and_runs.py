"""What people are asked and told while runs go on: forms, runs within runs, interrupted steps."""

import contextlib
import http.server
import threading
from collections.abc import Iterator

import httpx2
import psutil
import pytest

from tests.running import Node, git, wait_for

pytestmark = pytest.mark.acceptance

ASKING = """\
id: bp.test.asking
inputs: {n: {type: integer, default: 1}}
plan:
  - id: ok
    kind: gate
    mode: manual
    form: {reason: {type: string, minLength: 3}, hours: {type: integer, default: 2}}
outputs: {form: "{{ steps.ok.outputs.form }}", n: "{{ inputs.n }}"}
"""
CALLING = """\
id: bp.test.calling
plan:
  - id: sub
    kind: action_task
    action: blueprints.run
    with: {blueprint: bp.test.asking, inputs: {n: 21}}
outputs: {form: "{{ steps.sub.outputs.outputs.form }}"}
"""
ENDLESS = """\
id: bp.test.endless
plan:
  - {id: again, kind: action_task, action: blueprints.run, with: {blueprint: bp.test.endless}}
"""
POSTING = """\
id: bp.test.posting
inputs: {url: {type: string}}
plan:
  - {id: post, kind: action_task, action: http.call, with: {url: "{{ inputs.url }}", method: POST}}
  - {id: end, kind: transform, set: {x: 1}}
"""


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, hanging: str) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("asking")
    node = Node(folder / "home").start()
    git(folder, "clone", "-q", node.git_url, "clone")
    clone = folder / "clone"
    for name, text in {
        "asking": ASKING,
        "calling": CALLING,
        "endless": ENDLESS,
        "posting": POSTING,
    }.items():
        (clone / "blueprints" / f"{name}.yaml").write_text(text)
    settings = (clone / "node.yaml").read_text()
    address = hanging.removeprefix("http://").rstrip("/")
    (clone / "node.yaml").write_text(settings.replace("allow: []", f'allow: ["{address}"]'))
    git(clone, "add", "--all")
    git(clone, "commit", "-q", "-m", "Ask people")
    git(clone, "push", "-q", "origin", "HEAD:main")
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def hanging() -> Iterator[str]:
    """A server that answers no request before the tests are over."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            over.wait(60)
            with contextlib.suppress(OSError):
                self.send_response(204)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    over.set()
    server.shutdown()
    server.server_close()


def started(node: Node, blueprint: str, *options: str) -> str:
    return node.xynctl("run", "start", blueprint, "-o", "name", *options).stdout.strip()


def page(node: Node, path: str) -> str:
    return httpx2.get(f"{node.url}/ui{path}", trust_env=False).text


def test_a_run_and_the_run_that_its_step_started_lead_to_each_other(asking: Node) -> None:
    outer = started(asking, "bp.test.calling")
    asking.wait_for_run(outer, "waiting")
    (inner,) = asking.get("/runs", parent_run_id=outer)["items"]
    inner_id = inner["run_id"]

    assert inner["parent_run_id"] == outer
    assert "a run that it started" in page(asking, f"/runs/{outer}")
    assert f"/ui/runs/{inner_id}" in page(asking, f"/runs/{outer}")
    assert f"/ui/runs/{outer}/steps/{inner['parent_step_id']}" in page(asking, f"/runs/{inner_id}")
    asking.xynctl("gate", "approve", inner_id, "ok", "--field", "reason=night shift")
    done = asking.wait_for_run(outer, "completed", "failed")
    assert done["outputs"] == {"form": {"reason": "night shift", "hours": 2}}


def test_runs_that_start_themselves_end_with_a_reason(asking: Node) -> None:
    first = started(asking, "bp.test.endless")

    error = asking.wait_for_run(first, "failed")["error"]

    assert error["code"] == "sub_run_failed"
    assert error["message"].endswith("10 runs lie behind this one: is it a loop?")


def test_a_gates_form_is_asked_for_on_the_page_and_by_the_command(asking: Node) -> None:
    run_id = started(asking, "bp.test.asking")
    asking.wait_for_run(run_id, "waiting")
    shown = asking.xynctl("gate", "show", run_id, "ok").stdout
    short = {"decision": "approve", "input.reason": "no", "input.hours": "7"}

    refused = httpx2.post(f"{asking.url}/ui/runs/{run_id}/gates/ok", data=short, trust_env=False)
    wrong = asking.xynctl("gate", "approve", run_id, "ok", "--field", "hours=many", check=False)
    stale = asking.xynctl("gate", "approve", run_id, "ok", "--digest", "0" * 64, check=False)
    full = {**short, "input.reason": "night shift"}
    httpx2.post(f"{asking.url}/ui/runs/{run_id}/gates/ok", data=full, trust_env=False)

    assert "reason" in shown
    assert "lets through" in shown
    assert refused.status_code == 422
    assert 'name="input.hours"' in refused.text
    assert 'value="7"' in refused.text, "what was typed is not lost"
    assert (wrong.returncode, stale.returncode) == (2, 4)
    done = asking.wait_for_run(run_id, "completed")
    assert done["outputs"]["form"] == {"reason": "night shift", "hours": 7}


@pytest.mark.parametrize(
    ("choice", "status"), [("done", "completed"), ("fail", "failed"), ("retry", "waiting")]
)
def test_a_step_whose_worker_died_says_so_on_its_page_with_the_choices(
    asking: Node, hanging: str, choice: str, status: str
) -> None:
    run_id = interrupted(asking, hanging)

    text = page(asking, f"/runs/{run_id}/steps/post")
    hint = asking.xynctl("run", "show", run_id).stderr
    form = {"resolution": choice}
    httpx2.post(f"{asking.url}/ui/runs/{run_id}/steps/post/resolve", data=form, trust_env=False)

    assert "nobody knows whether it took effect" in text
    assert all(f'value="{one}"' in text for one in ("retry", "done", "fail"))
    assert f"xynctl run resolve {run_id} post retry|done|fail" in hint
    if status == "waiting":
        wait_for(lambda: asking.get(f"/runs/{run_id}/steps/post")["attempt"] == 2)
        asking.xynctl("run", "cancel", run_id)
        asking.wait_for_run(run_id, "cancelled")
    else:
        asking.wait_for_run(run_id, status)


def interrupted(node: Node, hanging: str) -> str:
    """A run whose worker was killed under a request that may have had its effect."""
    run_id = started(node, "bp.test.posting", "--input", f"url={hanging}")
    wait_for(lambda: node.get(f"/runs/{run_id}/steps/post")["status"] == "running")
    for process in workers(node):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert node.wait_for_run(run_id, "waiting")["wait_reason"] == "interrupted"
    return run_id


def workers(node: Node) -> list[psutil.Process]:
    return [one for one in node.family() if one.name() == "xyn-worker"]
