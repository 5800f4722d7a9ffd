import base64
import io
import uuid

import pytest
from flask.testing import FlaskClient

from tests.integration.flask_ui.conftest import Web

EVENTS = "/api/v1/events"


def test_an_event_is_taken_in_and_starts_its_run(web: Web) -> None:
    answer = web.client().post(EVENTS, json={"event_name": "demo.hello", "data": {"who": "Ada"}})

    assert answer.status_code == 201
    event = answer.get_json()
    assert (event["event_name"], event["actor"], event["source"]) == (
        "demo.hello",
        "operator",
        "api",
    )
    runs = web.client().get(f"/api/v1/runs?event_id={event['event_id']}").get_json()["items"]
    assert [run["blueprint_id"] for run in runs] == ["bp.demo.greet"]


def test_the_same_key_again_gives_the_same_event_with_200(client: FlaskClient) -> None:
    body = {"event_name": "demo.note", "data": {}}

    first = client.post(EVENTS, json=body, headers={"Idempotency-Key": "k1"})
    again = client.post(EVENTS, json=body, headers={"Idempotency-Key": "k1"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.get_json() == again.get_json()


def test_the_same_key_again_starts_one_run(client: FlaskClient) -> None:
    body = {"blueprint_ref": "bp.demo.greet", "inputs": {"who": "Ada"}}

    first = client.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "k1"})
    again = client.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "k1"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json()["run_id"] == again.get_json()["run_id"]
    assert len(client.get("/api/v1/runs").get_json()["items"]) == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 256])
def test_a_key_that_is_none_is_refused(client: FlaskClient, key: str) -> None:
    answer = client.post(EVENTS, json={"event_name": "a"}, headers={"Idempotency-Key": key})

    assert answer.status_code == 422


def test_the_bytes_of_an_event_come_back_as_they_came(client: FlaskClient) -> None:
    raw = b'{"event_name":  "demo.note", "data": {"b": 1.0, "a": "\\u0000"}}'
    event = client.post(EVENTS, data=raw, content_type="application/json").get_json()

    answer = client.get(f"{EVENTS}/{event['event_id']}/raw")

    assert answer.data == raw
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_cloud_events_come_structured_batched_and_binary(client: FlaskClient) -> None:
    one = {"specversion": "1.0", "id": "1", "source": "/s", "type": "demo.note", "data": {"n": 1}}

    structured = client.post(EVENTS, json=one, content_type="application/cloudevents+json")
    batch = client.post(
        EVENTS,
        json=[{**one, "id": "2"}, {**one, "id": "3"}],
        content_type="application/cloudevents-batch+json",
    )
    binary = client.post(
        EVENTS,
        json={"n": 4},
        headers={
            "ce-specversion": "1.0",
            "ce-id": "4",
            "ce-source": "/s",
            "ce-type": "demo.note",
        },
    )

    assert [structured.status_code, batch.status_code, binary.status_code] == [201, 201, 201]
    assert structured.get_json()["data"]["n"] == 1
    assert len(batch.get_json()["items"]) == 2
    assert binary.get_json()["event_name"] == "demo.note"


def test_lists_are_newest_first_in_pages(client: FlaskClient) -> None:
    for number in range(5):
        client.post(EVENTS, json={"event_name": "demo.note", "data": {"n": number}})

    first = client.get(f"{EVENTS}?event_name=demo.note&limit=3").get_json()
    second = client.get(
        f"{EVENTS}?event_name=demo.note&limit=3&cursor={first['next_cursor']}"
    ).get_json()

    assert [event["data"]["n"] for event in first["items"] + second["items"]] == [4, 3, 2, 1, 0]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=1&limit=2",
        "cursor=!!",
        "cursor=AAAA",
        "run_id=7",
        "colour=red",
    ],
)
def test_a_query_that_does_not_fit_is_422(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{EVENTS}?{query}")

    assert answer.status_code == 422
    assert answer.get_json()["error"]["message"]


def test_a_gate_is_approved_over_the_api(web: Web, waiting_run: str) -> None:
    client = web.client()
    (gate,) = client.get("/api/v1/gates").get_json()["items"]
    assert (gate["run_id"], gate["key"]) == (waiting_run, "approve")

    decided = client.post(
        f"/api/v1/runs/{waiting_run}/gates/approve/approve",
        json={"comment": "go", "effect_digest": gate["effect_digest"]},
    )
    web.work(waiting_run)

    assert decided.get_json()["decision"] == "approved"
    run = client.get(f"/api/v1/runs/{waiting_run}").get_json()
    assert (run["status"], run["outputs"]) == ("completed", {"said": "Hello Ada"})


def test_nobody_approves_what_they_did_not_see(client: FlaskClient, waiting_run: str) -> None:
    answer = client.post(
        f"/api/v1/runs/{waiting_run}/gates/approve/approve", json={"effect_digest": "0" * 64}
    )

    assert answer.status_code == 409
    assert client.get("/api/v1/gates").get_json()["items"]


def test_a_step_is_found_by_its_key_and_by_its_id(client: FlaskClient, waiting_run: str) -> None:
    by_key = client.get(f"/api/v1/runs/{waiting_run}/steps/word").get_json()
    by_id = client.get(f"/api/v1/runs/{waiting_run}/steps/{by_key['step_id']}").get_json()

    assert by_key == by_id
    assert by_key["outputs"] == {"text": "Hello Ada"}
    steps = client.get(f"/api/v1/runs/{waiting_run}/steps").get_json()["items"]
    assert [step["key"] for step in steps] == ["word", "approve", "say"]


def test_a_run_is_cancelled_without_a_body(client: FlaskClient, waiting_run: str) -> None:
    assert client.post(f"/api/v1/runs/{waiting_run}/cancel").status_code == 200


def test_an_artifact_is_made_in_three_ways_and_given_back(client: FlaskClient) -> None:
    direct = client.post(
        "/api/v1/artifacts",
        json={
            "name": "a.txt",
            "content_type": "text/plain",
            "content_base64": base64.b64encode(b"one").decode(),
        },
    )
    form = client.post("/api/v1/artifacts", data={"file": (io.BytesIO(b"two"), "b.txt")})
    announced = client.post("/api/v1/artifacts", json={"name": "c.bin"})
    sent = client.put(
        announced.get_json()["upload_url"], data=b"three", content_type="application/octet-stream"
    )

    made = [direct.get_json(), form.get_json(), sent.get_json()]
    assert [answer.status_code for answer in (direct, form, announced, sent)] == [
        201,
        201,
        201,
        200,
    ]
    contents = [
        client.get(f"/api/v1/artifacts/{artifact['artifact_id']}/download", buffered=True).data
        for artifact in made
    ]
    assert contents == [b"one", b"two", b"three"]
    assert made[1]["name"] == "b.txt"


def test_a_download_is_an_attachment_in_a_sandbox_and_can_be_had_in_parts(
    client: FlaskClient,
) -> None:
    page = base64.b64encode(b"<script>alert(1)</script>").decode()
    artifact = client.post(
        "/api/v1/artifacts",
        json={"name": "x.html", "content_type": "text/html", "content_base64": page},
    ).get_json()

    url = f"/api/v1/artifacts/{artifact['artifact_id']}/download"
    whole = client.get(url, buffered=True)
    part = client.get(url, headers={"Range": "bytes=1-6"}, buffered=True)

    assert whole.headers["Content-Disposition"].startswith("attachment")
    assert whole.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert (part.status_code, part.data) == (206, b"script")
    assert client.get(url, headers={"Range": "bytes=99-"}).status_code == 416


def test_a_delivery_is_answered_with_its_event_ids(client: FlaskClient) -> None:
    answer = client.post("/hooks/plain", json={"text": "hello"})

    assert answer.status_code == 202
    body = answer.get_json()
    assert body["duplicate"] is False
    event = client.get(f"{EVENTS}/{body['event_ids'][0]}").get_json()
    assert (event["event_name"], event["source"]) == ("plain.note", "plain")


def test_a_source_that_trusts_loopback_alone_refuses_others(client: FlaskClient) -> None:
    answer = client.post("/hooks/plain", json={}, environ_base={"REMOTE_ADDR": "192.0.2.7"})

    assert answer.status_code == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_a_proxy_on_this_machine_hands_on_does_not_come_from_this_machine(
    client: FlaskClient, header: str
) -> None:
    answer = client.post("/hooks/plain", json={}, headers={header: "127.0.0.1"})

    assert answer.status_code == 401


def test_an_unknown_source_is_404(client: FlaskClient) -> None:
    assert client.post("/hooks/nobody", json={}).status_code == 404


def test_a_dry_reconcile_says_what_it_would_do(client: FlaskClient) -> None:
    answer = client.post("/api/v1/reconcile", json={"dry_run": True})

    assert answer.status_code == 200
    assert isinstance(answer.get_json(), dict)


def test_health_needs_nothing_and_readiness_says_why_not(empty: Web) -> None:
    client = empty.client()

    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.get_json()["reasons"]


def test_a_node_that_is_well_is_ready(client: FlaskClient) -> None:
    assert client.get("/readyz").get_json() == {"ready": True, "reasons": []}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", f"/api/v1/runs/{uuid.UUID(int=0)}", 404, "not_found"),
        ("GET", "/api/v1/runs/no-uuid", 404, "not_found"),
        ("DELETE", "/api/v1/runs", 405, "method_not_allowed"),
        ("POST", "/api/v1/runs", 415, "unsupported_media_type"),
    ],
)
def test_every_error_has_one_shape(
    client: FlaskClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.open(path, method=method, headers={"X-Correlation-Id": "mine"})

    assert answer.status_code == status
    body = answer.get_json()
    assert set(body) == {"error", "correlation_id"}
    assert set(body["error"]) == {"code", "message", "details"}
    assert (body["error"]["code"], body["correlation_id"]) == (code, "mine")
    assert answer.headers["X-Correlation-Id"] == "mine"


def test_the_correlation_id_of_a_request_is_its_events(client: FlaskClient) -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}

    answer = client.post(EVENTS, json={"event_name": "demo.note"}, headers=headers)

    assert answer.get_json()["correlation_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert answer.headers["traceparent"] == headers["traceparent"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'{"event_name": "A b"}', b'{"event_name": "a", "x": 1}', b"\xff", b""],
)
def test_a_body_that_does_not_fit_is_422(client: FlaskClient, body: bytes) -> None:
    answer = client.post(EVENTS, data=body, content_type="application/json")

    assert answer.status_code == 422
