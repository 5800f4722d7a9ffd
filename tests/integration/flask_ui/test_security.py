import gzip
import json
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_ui.access import Access
from flask_ui.app import create_app
from flask_ui.security import EVENT_MAX
from tests.integration.flask_ui.conftest import Web

PAGES = ["/ui/events", "/ui/runs", "/ui/nothing", "/api/v1/health", "/healthz", "/static/app.css"]


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_what_keeps_browsers_honest(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers

    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Correlation-Id"]


def test_pages_are_not_kept_and_files_are(client: FlaskClient) -> None:
    assert client.get("/ui/runs").headers["Cache-Control"] == "no-store"
    assert "max-age" in client.get("/static/app.css", buffered=True).headers["Cache-Control"]


@pytest.mark.parametrize("path", PAGES)
def test_another_host_name_is_misdirected(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"})

    assert answer.status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/events",
        "/hooks/plain",
        "/ui/runs",
        "/git/state.git/git-receive-pack",
        f"/api/v1/runs/{uuid.UUID(int=0)}/cancel",
    ],
)
def test_a_page_of_another_site_changes_nothing(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    before = client.get("/api/v1/events").get_json()

    answer = client.post(path, json={"event_name": "demo.hello"}, headers=headers)

    assert answer.status_code == 403
    assert client.get("/api/v1/events").get_json() == before


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://localhost:x", "\xff", ""])
def test_an_origin_that_is_none_is_another_site(client: FlaskClient, origin: str) -> None:
    answer = client.post("/api/v1/events", json={"event_name": "a.b"}, headers={"Origin": origin})

    assert answer.status_code == 403


def test_nothing_is_changed_by_a_get(web: Web, client: FlaskClient) -> None:
    changing = [
        rule
        for rule in web.app.url_map.iter_rules()
        if any(word in rule.rule for word in ("approve", "reject", "cancel", "forget", "upload"))
    ]

    assert changing
    assert not any("GET" in (rule.methods or ()) for rule in changing)


def test_a_body_over_its_cap_is_refused_before_it_is_read(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/events",
        data=b" " * (EVENT_MAX + 1),
        content_type="application/json",
    )

    assert answer.status_code == 413
    assert answer.get_json()["error"]["code"] == "too_large"


@pytest.mark.parametrize("path", ["/hooks/generic", "/api/v1/events", "/api/v1/runs"])
def test_a_compressed_body_is_refused_in_words_and_not_read_as_broken_json(
    client: FlaskClient, path: str
) -> None:
    answer = client.post(
        path,
        data=gzip.compress(b'{"event_name": "demo.x"}'),
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    )

    assert answer.status_code == 415
    assert answer.get_json()["error"]["code"] == "unsupported_media_type"
    assert "Content-Encoding" in answer.get_json()["error"]["message"]
    assert answer.headers["Accept-Encoding"] == "identity"


def test_a_body_that_says_it_is_not_compressed_is_read(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/events", json={"event_name": "demo.x"}, headers={"Content-Encoding": "identity"}
    )

    assert answer.status_code == 201


def test_a_node_beyond_loopback_wants_its_token_of_everybody(web: Web) -> None:
    access = Access(frozenset({"192.0.2.1"}), token="t" * 16)
    client = create_app(web.context, access=access).test_client()
    headers = {"Host": "192.0.2.1"}

    refused = client.get("/api/v1/health", headers=headers)
    admitted = client.get(
        "/api/v1/health", headers={**headers, "Authorization": f"Bearer {'t' * 16}"}
    )

    assert (refused.status_code, admitted.status_code) == (401, 200)
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert client.get("/ui/events", headers=headers).status_code == 401
    assert client.get("/healthz", headers=headers).status_code == 200


def test_what_strangers_write_is_text_on_every_page(web: Web) -> None:
    client = web.client()
    bad = "<img src=x onerror=alert(1)>\"'"
    event = client.post(
        "/api/v1/events",
        json={
            "event_name": "demo.hello",
            "data": {"who": bad, bad: bad},
            "resource": {"type": bad, "id": bad},
        },
    ).get_json()
    run = client.get(f"/api/v1/runs?event_id={event['event_id']}").get_json()["items"][0]["run_id"]
    web.work(run)
    artifact = client.post("/api/v1/artifacts", json={"name": bad, "kind": bad}).get_json()

    for path in (
        "/ui/events?all=1",
        f"/ui/events/{event['event_id']}",
        f"/ui/runs/{run}",
        f"/ui/runs/{run}/steps/word",
        "/ui/artifacts",
        f"/ui/artifacts/{artifact['artifact_id']}",
    ):
        text = client.get(path).get_data(as_text=True)
        assert "<img src=x" not in text, path
        assert "&lt;img src=x" in text, path


@pytest.mark.parametrize(
    "data", [{"x": "\ud800 \0"}, {"\ud800 \0": 1}, {"x": [{"\udfff": {"\ud800": 1}}]}]
)
def test_lone_surrogates_break_no_page_and_are_not_altered(
    client: FlaskClient, data: dict[str, Any]
) -> None:
    raw = json.dumps({"event_name": "demo.note", "data": data})
    answer = client.post("/api/v1/events", data=raw, content_type="application/json")
    event_id = answer.get_json()["event_id"]

    assert client.get("/ui/events").status_code == 200
    assert client.get(f"/ui/events/{event_id}").status_code == 200
    assert client.get(f"/api/v1/events/{event_id}").get_json()["data"] == data
    listed = client.get("/api/v1/events").get_json()["items"]
    assert next(item for item in listed if item["event_id"] == event_id)["data"] == data


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/ui/events?event_name=a%00&cursor=%00", {}),
        ("GET", "/ui/runs?blueprint_id=%00&status=%00", {}),
        ("GET", "/ui/artifacts?kind=%00", {}),
        ("GET", "/ui/runs/new?blueprint=%00", {}),
        ("POST", "/ui/runs", {"blueprint": "\0"}),
        ("POST", "/ui/runs", {"blueprint": "bp.demo.greet", "input.who": "\0"}),
        ("POST", "/ui/runs/{run}/gates/approve", {"decision": "reject", "comment": "\0"}),
    ],
)
def test_a_zero_byte_is_no_fault_of_ours(
    client: FlaskClient, waiting_run: str, method: str, path: str, body: dict[str, str]
) -> None:
    answer = client.open(path.format(run=waiting_run), method=method, data=body)

    assert answer.status_code < 500


@pytest.mark.parametrize("field", ["name", "kind", "content_type"])
def test_a_zero_byte_in_a_name_is_refused(client: FlaskClient, field: str) -> None:
    answer = client.post("/api/v1/artifacts", json={"name": "a", field: "a\0"})

    assert answer.status_code == 422


def test_a_secret_never_reaches_a_page(web: Web) -> None:
    assert web.context.redactor is not None
    token = "ghp_" + "a1B2" * 9
    event = web.client().post(
        "/api/v1/events", json={"event_name": "demo.note", "data": {"token": token}}
    )

    text = web.client().get(f"/ui/events/{event.get_json()['event_id']}").get_data(as_text=True)
    assert token not in text


def test_a_secret_stays_out_of_every_word_that_a_request_brings(web: Web) -> None:
    client, token = web.client(), "ghp_" + "a1B2" * 9
    named = {"X-Correlation-Id": token}

    event = client.post("/api/v1/events", json={"event_name": "demo.note"}, headers=named)
    artifact = client.post(
        "/api/v1/artifacts", json={"name": token, "kind": token, "content_type": token}
    )
    run = client.post(
        "/api/v1/runs",
        json={"name": token, "blueprint_ref": "bp.demo.greet", "inputs": {"who": "Ada"}},
        headers=named,
    )

    for answer in (event, artifact, run):
        assert answer.status_code == 201, answer.text
        assert token not in answer.text
        assert token not in str(answer.headers)
