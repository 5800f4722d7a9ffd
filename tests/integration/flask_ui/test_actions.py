"""Actions over the API and on pages: which there are, and one of them run by itself."""

import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.http_site import running
from tests.integration.flask_ui.conftest import Web
from tests.integration.flask_ui.guarded import Guarded, guard
from xyn_reconciler.run.clean_stream import OVERLAP, PIECE
from xyn_reconciler.service import identity
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store.git import MAIN

EXECUTE = "/api/internal/actions/execute"
NODE = b"""\
id: seed
env_id: local
mode: active
stage: dev
auth: open
egress: {allow: ["127.0.0.0/8"]}
"""


PACK = """\
id: door
name: Door
version: 0.1.0
settings: {type: object, properties: {url: {type: string}}}
actions:
  door.knock:
    summary: Knock at the door.
    input_schema: {type: object, properties: {at: {type: string}}}
    output_schema: {type: object, properties: {said: {type: string}}}
    idempotent: true
    request: {url: "{{ settings.url }}/{{ inputs.at }}"}
    outputs: {said: "{{ response.body }}"}
    errors: [{status: [404], code: nobody_there, message: nobody is there}]
"""
TOKEN = "gh" + "p_" + "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T"
LARGE = b"." * (PIECE - OVERLAP - 10) + TOKEN.encode() + b"." * PIECE


class Outside(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/large":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(LARGE)
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Set-Cookie", "session=abcdefgh")
        self.send_header("X-Auth-Token", "issued-by-the-other-side")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


@pytest.fixture
def outside() -> Iterator[str]:
    with running(Outside) as url:
        yield url


@pytest.fixture
def client(empty: Web) -> FlaskClient:
    empty.context.repository.commit_files(
        MAIN,
        expected=None,
        changes={"node.yaml": NODE},
        message="Begin\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    assert empty.context.reconciler.reconcile() is not None
    return empty.client()


def tried(web: Web, client: FlaskClient, action: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run an action by itself to its end; gives its step."""
    body = {"action": action, "with": given, "wait_seconds": 0}
    answer = client.post(EXECUTE, json=body)
    assert answer.status_code == 202, answer.text
    run_id = answer.get_json()["run_id"]
    web.work(run_id)
    found: dict[str, Any] = client.get(f"/api/v1/runs/{run_id}/steps/try").get_json()
    return found


def test_every_action_is_listed_with_what_it_is_given(client: FlaskClient) -> None:
    found = {each["name"]: each for each in client.get("/api/v1/actions").get_json()["items"]}

    assert found["http.call"]["capabilities"] == ["artifacts", "network", "secrets"]
    assert found["http.call"]["pack"] is None
    assert list(found) == sorted(found)
    assert found["blueprints.run"]["idempotent"]


def test_an_action_is_shown_with_its_schemas_and_errors(client: FlaskClient) -> None:
    found = client.get("/api/v1/actions/http.call").get_json()

    assert found["input_schema"]["required"] == ["url"]
    assert "egress_denied" in found["errors"]
    assert "headers.set-cookie" in found["redact"]


def test_an_unknown_action_names_the_nearest(client: FlaskClient) -> None:
    shown = client.get("/api/v1/actions/http.cal")
    run = client.post(EXECUTE, json={"action": "http.cal"})

    for answer in (shown, run):
        assert answer.status_code == 404
        assert 'did you mean "http.call"?' in answer.get_json()["error"]["message"]


def test_an_action_by_itself_is_a_run_with_a_page_an_audit_entry_and_outputs(
    empty: Web, client: FlaskClient, outside: str
) -> None:
    step = tried(empty, client, "http.call", {"url": outside})

    run = client.get(f"/api/v1/runs/{step['run_id']}").get_json()
    page = client.get(f"/ui/runs/{step['run_id']}")
    listed = client.get("/ui/runs")
    audit = client.get("/api/v1/audit").get_json()["items"]
    assert (run["status"], run["blueprint_id"], run["actor"]) == (
        "completed",
        "xyn.try",
        "operator",
    )
    assert step["outputs"]["body"] == "ok"
    assert page.status_code == listed.status_code == 200
    assert "xyn.try" in page.text
    assert "/ui/blueprints/xyn.try" not in page.text + listed.text
    assert [each["kind"] for each in audit if each["subject"] == run["run_id"]] == [
        "action.executed"
    ]


def test_what_an_action_says_is_never_kept_is_kept_nowhere(
    empty: Web, client: FlaskClient, outside: str
) -> None:
    step = tried(empty, client, "http.call", {"url": outside})

    page = client.get(f"/ui/runs/{step['run_id']}").text
    with empty.context.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT outputs::text FROM attempts").scalars().all()
    headers = step["outputs"]["headers"]
    assert (headers["set-cookie"], headers["x-auth-token"]) == ("[redacted]", "[redacted]")
    assert headers["content-length"] == "2"
    assert "issued-by-the-other-side" not in page + "".join(map(str, rows))


def test_an_answer_that_becomes_an_artifact_has_no_token_in_it(
    empty: Web, client: FlaskClient, outside: str
) -> None:
    given = {"url": f"{outside}/large", "save_to": "large.txt"}

    outputs = tried(empty, client, "http.call", given)["outputs"]

    address = f"/api/v1/artifacts/{outputs['artifact_id']}"
    with contextlib.closing(client.get(f"{address}/download")) as download:
        kept = download.data
    assert kept == LARGE.replace(TOKEN.encode(), b"[redacted]")
    assert client.get(address).get_json()["sha256"] == hashlib.sha256(kept).hexdigest()
    assert outputs["sha256"] == hashlib.sha256(LARGE).hexdigest()
    assert outputs["bytes"] == len(LARGE)


def test_a_wait_gives_outputs_or_the_actions_own_error(
    empty: Web, client: FlaskClient, outside: str
) -> None:
    def work() -> None:
        done: set[str] = set()
        while len(done) < 2:
            for run in empty.client().get("/api/v1/runs").get_json()["items"]:
                if run["run_id"] not in done:
                    done.add(run["run_id"])
                    empty.work(run["run_id"])
            time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    good = client.post(EXECUTE, json={"action": "http.call", "with": {"url": outside}})
    missing = {"url": f"{outside}/missing"}
    bad = client.post(EXECUTE, json={"action": "http.call", "with": missing})
    worker.join()

    assert (good.status_code, good.get_json()["outputs"]["status"]) == (200, 200)
    assert bad.status_code == 424
    error = bad.get_json()["error"]
    assert (error["code"], error["details"]["status"]) == ("http_status", 404)
    assert str(uuid.UUID(error["details"]["run_id"])) == error["details"]["run_id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"action": "http.call", "with": {"ur": "x"}}, 422, "invalid_request"),
        ({"action": "http.call", "with": []}, 422, "invalid_fields"),
        ({"action": "http.call", "timeout": "soon"}, 422, "invalid_fields"),
        ({"action": "http.call", "wait_seconds": 1e9}, 422, "invalid_fields"),
        ({"with": {}}, 422, "invalid_fields"),
    ],
)
def test_what_does_not_fit_makes_no_run(
    client: FlaskClient, body: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post(EXECUTE, json=body)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)
    assert client.get("/api/v1/runs").get_json()["items"] == []


def test_an_expression_is_rendered_as_in_a_step(
    empty: Web, client: FlaskClient, outside: str
) -> None:
    good = tried(empty, client, "http.call", {"url": outside + "/{{ run.run_id }}"})
    bad = tried(empty, client, "http.call", {"url": outside + "/{{ nothing }}"})

    assert good["status"] == "completed"
    assert good["inputs"]["url"] == f"{outside}/{good['run_id']}"
    assert (bad["status"], bad["error"]["code"]) == ("failed", "undefined_value")


def test_it_is_cancelled_as_any_run(empty: Web, client: FlaskClient, outside: str) -> None:
    body = {"action": "http.call", "with": {"url": outside}, "wait_seconds": 0}
    run_id = client.post(EXECUTE, json=body).get_json()["run_id"]

    client.post(f"/api/v1/runs/{run_id}/cancel")
    empty.work(run_id)

    assert client.get(f"/api/v1/runs/{run_id}").get_json()["status"] == "cancelled"


def test_an_action_of_a_pack_is_one_of_them(empty: Web, client: FlaskClient, outside: str) -> None:
    context = empty.context
    files = {
        "packs/door/pack.yaml": PACK.encode(),
        "packs/door/settings.yaml": f"url: {outside}\n".encode(),
    }
    context.repository.commit_files(
        MAIN,
        expected=context.repository.resolve(MAIN),
        changes=files,
        message="Add a door\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    assert context.reconciler.reconcile() is not None
    identity.renew_rules(context)

    shown = client.get("/api/v1/actions/door.knock").get_json()
    good = tried(empty, client, "door.knock", {"at": "front"})
    bad = tried(empty, client, "door.knock", {"at": "missing"})

    assert (shown["pack"], shown["installed"]) == ("door", True)
    assert good["outputs"] == {"said": "ok"}
    assert bad["error"]["code"] == "nobody_there"


# ── who may ──────────────────────────────────────────────────────────────────────────────────────


def execute(guarded: Guarded, actor: str | None) -> int:
    headers = {} if actor is None else guarded.acting(actor)
    body = {"action": "http.call", "with": {"url": "http://127.0.0.1:9"}, "wait_seconds": 0}
    return guarded.client().post(EXECUTE, json=body, headers=headers).status_code


def test_only_operators_and_no_agents_run_an_action_by_itself(empty: Web) -> None:
    guarded = guard(empty)

    statuses = {actor: execute(guarded, actor) for actor in ("ada", "pager", "grace", "bot", None)}

    assert statuses == {"ada": 202, "pager": 202, "grace": 403, "bot": 403, None: 401}


def test_on_prod_it_needs_a_rule_that_allows_it(empty: Web) -> None:
    assert execute(guard(empty, stage="prod"), "ada") == 403


def test_nobody_else_runs_it_again(empty: Web) -> None:
    guarded = guard(empty)
    body = {"action": "http.call", "with": {"url": "http://127.0.0.1:9"}, "wait_seconds": 0}
    made = guarded.client().post(EXECUTE, json=body, headers=guarded.acting("ada")).get_json()
    guarded.web.work(made["run_id"])
    address = f"/api/v1/runs/{made['run_id']}/rerun"

    refused = guarded.client().post(address, headers=guarded.acting("grace"))
    allowed = guarded.client().post(address, headers=guarded.acting("ada"))

    assert (refused.status_code, allowed.status_code) == (403, 201)
