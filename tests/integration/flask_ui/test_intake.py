"""The door in front of Flask answers as Flask does."""

import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from flask_ui.app import create_app
from flask_ui.intake import Door
from tests.integration.flask_ui.conftest import SOURCE, Web
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store.git import MAIN

EVENT = {"event_name": "demo.unheard", "data": {"x": 1}}
JSON = "application/json"
OF_THE_MOMENT = {"event_id", "event_ids", "occurred_at", "created_at"}

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/api/v1/events", {"json": EVENT}),
    ("/api/v1/events", {"json": {"event_name": "Not a name"}}),
    ("/api/v1/events", {"json": {"event_name": "xyn.run.failed"}}),
    ("/api/v1/events", {"data": b"{", "content_type": JSON}),
    ("/api/v1/events", {"data": b"[]", "content_type": "text/plain"}),
    ("/api/v1/events", {"json": EVENT, "headers": {"Idempotency-Key": "a b"}}),
    ("/api/v1/events", {"json": EVENT, "headers": {"Host": "evil.example"}}),
    ("/api/v1/events", {"json": EVENT, "headers": {"Origin": "http://evil.example"}}),
    ("/api/v1/events", {"json": EVENT, "headers": {"Content-Encoding": "gzip"}}),
    ("/api/v1/events?much=more", {"json": EVENT}),
    ("/hooks/plain", {"json": {"note": "hello"}}),
    ("/hooks/nobody", {"json": {}}),
    ("/hooks/no%20name", {"json": {}}),
]


@pytest.fixture
def undoored(web: Web) -> FlaskClient:
    """The same application without its door."""
    app = create_app(web.context)
    assert isinstance(app.wsgi_app, Door)
    vars(app)["wsgi_app"] = lambda *call: flask.Flask.wsgi_app(app, *call)
    return app.test_client()


@pytest.mark.parametrize(("path", "request_"), REQUESTS)
def test_with_and_without_the_door_the_answer_is_the_same(
    client: FlaskClient, undoored: FlaskClient, path: str, request_: dict[str, Any]
) -> None:
    named = {
        "X-Correlation-Id": "one-and-the-same",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        **request_.get("headers", {}),
    }

    with_it = client.post(path, **{**request_, "headers": named})
    without = undoored.post(path, **{**request_, "headers": named})

    assert with_it.status_code == without.status_code
    assert _lasting(with_it.data) == _lasting(without.data)
    assert _named(with_it.headers) == _named(without.headers)


@pytest.mark.parametrize("path", ["/hooks/plain", "/api/v1/events"])
def test_an_error_of_our_own_is_answered_and_not_shown(
    client: FlaskClient, web: Web, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(web.context.intake, "take_in_together", _fail)

    answer = client.post(path, json=EVENT)

    assert answer.status_code == 500
    assert answer.get_json()["error"]["code"] == "internal_error"
    assert b"open-sesame" not in answer.data


@pytest.mark.parametrize("door", ["client", "undoored"])
def test_what_is_logged_of_a_request_carries_its_correlation_id(
    request: pytest.FixtureRequest,
    web: Web,
    logged: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    door: str,
) -> None:
    client: FlaskClient = request.getfixturevalue(door)
    monkeypatch.setattr(web.context.intake, "take_in_together", _fail)

    for name in ("first", "second"):
        client.post("/hooks/plain", json={}, headers={"X-Correlation-Id": name})

    assert [(line["message"], line["correlation_id"]) for line in logged()] == [
        (message, name)
        for name in ("first", "second")
        for message in ("a request failed unexpectedly", "POST /hooks/plain 500")
    ]


def _fail(*_: object) -> None:
    raise RuntimeError("open-sesame")


def _lasting(body: bytes) -> dict[str, Any]:
    return {name: value for name, value in json.loads(body).items() if name not in OF_THE_MOMENT}


def _named(headers: Any) -> dict[str, str]:  # noqa: ANN401 - werkzeug's
    """Without the length: ids and times differ, and with them how long a number is."""
    return {name: value for name, value in headers.items() if name != "Content-Length"}


def test_a_source_is_used_as_it_is_active_at_the_moment(web: Web) -> None:
    client = web.client()
    moved = SOURCE.replace(b"plain.note", b"plain.other")
    changes: list[dict[str, bytes | None]] = [
        {"sources/plain.yaml": None, "sources/moved.yaml": moved},
        {"sources/moved.yaml": None},
    ]

    statuses = [client.post("/hooks/plain", json={}).status_code]
    for change in changes:
        web.context.repository.commit_files(
            MAIN,
            expected=web.context.repository.resolve(MAIN),
            changes=change,
            message="Another source\n",
            author="Ada <ada@example.net>",
            now=utc_now(),
        )
        assert web.context.reconciler.reconcile() is not None
        statuses.append(client.post("/hooks/plain", json={}).status_code)

    assert statuses == [202, 202, 404]
    listed = client.get("/api/v1/events?outside_only=true").get_json()["items"]
    assert [each["event_name"] for each in listed] == ["plain.other", "plain.note"]
