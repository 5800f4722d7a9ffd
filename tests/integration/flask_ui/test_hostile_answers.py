"""What other systems answer is of any shape: a step ends, and every page still opens."""

import http.server
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from flask.testing import FlaskClient

from tests.http_site import running
from tests.integration.flask_ui.conftest import NODE, Web
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store.git import MAIN

ANSWERS: Final[dict[str, bytes]] = {
    "infinity": b'{"a": 1e999, "b": [-1e999]}',
    "nan": b'{"a": NaN}',
    "digits": b'{"a": ' + b"9" * 4300 + b"}",
    "many-digits": b'{"a": ' + b"9" * 50_000 + b"}",
    "small": b'{"a": 1e-999, "b": -0.0, "c": 1E400}',
    "deep-900": b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}",
    "deep-200000": b"[" * 200_000,
    "surrogates": b'{"\\ud800": "\\udfff", "b": "\\u0000"}',
    "zero": b"a\x00b",
    "twice": b'{"a": 1, "a": 2}',
    "templates": b'{"a": "{{ steps }} {% raw %}", "{{ x }}": 1}',
    "wide": b"[" + b"1," * 200_000 + b"1]",
    "keys": b"{" + b",".join(b'"%d": 0' % n for n in range(60_000)) + b"}",
    "bom": b'\xef\xbb\xbf{"a": 1}',
    "not-utf8": b'{"a": "\xff\xfe"}',
    "text": b'"text"',
    "empty": b"",
    "bidi": '{"\u202e": "\u2028\u0085\x7f<img src=x>"}'.encode(),
}
BLUEPRINT: Final = """\
id: bp.hostile
inputs: {{url: {{type: string}}}}
plan:
  - id: call
    kind: action_task
    action: http.call
    with: {{url: "{{{{ inputs.url }}}}"}}
    retry: {{max_attempts: 1}}
  - id: word
    kind: transform
    set: {{whole: "{{{{ steps.call.outputs }}}}", part: "{{{{ steps.call.outputs.json }}}}"}}
outputs: {{all: "{{{{ steps.call.outputs.json }}}}"}}
"""


class Hostile(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = ANSWERS[self.path[1:]]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Odd", "\x1b[2J<img src=x>\xff")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hostile() -> Iterator[str]:
    with running(Hostile) as url:
        yield url


@pytest.fixture
def asking(empty: Web, hostile: str) -> Web:
    node = NODE + f'egress: {{allow: ["{hostile.removeprefix("http://")}"]}}\n'.encode()
    empty.context.repository.commit_files(
        MAIN,
        expected=None,
        changes={"node.yaml": node, "blueprints/a.yaml": BLUEPRINT.format().encode()},
        message="Ask\n",
        author="Ada <ada@example.net>",
        now=utc_now(),
    )
    judgement = empty.context.reconciler.reconcile()
    assert judgement is not None
    assert not judgement.problems, judgement.problems
    return empty


def strict(text: str) -> Any:  # noqa: ANN401 - JSON
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_no_answer_of_any_shape_hurts_a_run_or_a_page(asking: Web, hostile: str) -> None:
    client = asking.client()
    ends = {name: ended(asking, client, f"{hostile}/{name}") for name in ANSWERS}

    assert all(ends.values()), ends


def ended(web: Web, client: FlaskClient, url: str) -> str:
    body = {"blueprint_ref": "bp.hostile", "inputs": {"url": url}}
    started = client.post("/api/v1/runs", json=body)
    assert started.status_code == 201, started.text
    run_id = started.get_json()["run_id"]
    web.work(run_id)
    for address in (f"/api/v1/runs/{run_id}", f"/api/v1/runs/{run_id}/steps"):
        answer = client.get(address)
        assert answer.status_code == 200, (url, answer.text[:300])
        strict(answer.text)
    for page in (f"/ui/runs/{run_id}", f"/ui/runs/{run_id}/steps/call", "/ui/runs", "/ui/events"):
        answer = client.get(page)
        assert answer.status_code == 200, (url, page, answer.text[:300])
        assert "<img src=x" not in answer.text
    run = client.get(f"/api/v1/runs/{run_id}").get_json()
    assert run["status"] in ("completed", "failed"), (url, run)
    assert (run["error"] or {}).get("code") != "internal_error", (url, run)
    return str(run["status"])
