"""``http.call`` against a real server on this machine, which egress allows for it."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.attempts import an_attempt
from tests.http_site import running
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.http_call import HttpCall
from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

BIG = 2_000_000


class Answers(BaseHTTPRequestHandler):
    """What the server does is in the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length).decode()
        path, _, query = self.path.partition("?")
        match path.strip("/").split("/"):
            case ["status", code, *rest]:
                extra = {"retry-after": rest[0]} if rest else {}
                self.answer(int(code), b"oh", extra)
            case ["to", code, *target]:
                self.answer(int(code), b"", {"location": "/".join(target) or f"/echo?{query}"})
            case ["loop"]:
                self.answer(302, b"", {"location": "/loop"})
            case ["big"]:
                self.answer(200, b"x" * BIG, {})
            case ["bomb"]:
                self.answer(200, gzip.compress(b"x" * BIG * 10), {"content-encoding": "gzip"})
            case ["gzip"]:
                packed = gzip.compress(b'{"a": 1}')
                self.answer(
                    200, packed, {"content-encoding": "gzip", "content-type": "application/json"}
                )
            case ["drip"]:
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                for _ in range(1000):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            case ["close"]:
                self.close_connection = True
            case _:
                seen = {
                    "method": self.command,
                    "path": self.path,
                    "headers": {key.lower(): value for key, value in self.headers.items()},
                    "body": body,
                }
                self.answer(200, json.dumps(seen).encode(), {"content-type": "application/json"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the library's names

    def answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running(Answers) as url:
        yield url


@pytest.fixture
def context() -> ActionContext:
    return an_attempt(secret={"env/TOKEN": "t0ken"}.get)


def call(context: ActionContext, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - the action's inputs
    return HttpCall().run(inputs, context)


def failure(act: Callable[[], object]) -> StepError:
    with pytest.raises(StepError) as caught:
        act()
    return caught.value


def test_it_sends_what_it_is_given_and_gives_status_headers_and_json(
    server: str, context: ActionContext
) -> None:
    outputs = call(
        replace(context, idempotency_key="k1"),
        url=f"{server}/a?x=1",
        method="POST",
        query={"tag": ["a", "b"], "on": True},
        headers={"X-One": "1"},
        json={"host": "web1"},
        bearer_ref="env/TOKEN",
    )

    seen = outputs["json"]
    assert outputs["status"] == 200
    assert outputs["headers"]["content-type"] == "application/json"
    assert json.loads(outputs["body"]) == seen
    assert seen["method"] == "POST"
    assert seen["path"] == "/a?x=1&tag=a&tag=b&on=true"
    assert json.loads(seen["body"]) == {"host": "web1"}
    assert seen["headers"]["idempotency-key"] == "k1"
    assert seen["headers"]["authorization"] == "Bearer t0ken"
    assert seen["headers"]["x-one"] == "1"
    assert seen["headers"]["host"] == server.removeprefix("http://")


def test_a_form_is_sent_as_a_browser_would(server: str, context: ActionContext) -> None:
    seen = call(context, url=server, method="POST", form={"a": "1 2", "b": True})["json"]

    assert seen["body"] == "a=1+2&b=true"
    assert seen["headers"]["content-type"] == "application/x-www-form-urlencoded"


def test_what_egress_does_not_allow_is_refused_with_the_line_to_add(
    server: str, context: ActionContext
) -> None:
    port = server.rpartition(":")[2]

    error = failure(lambda: call(replace(context, egress=()), url=server))

    assert error.failure_code == "egress_denied"
    assert f'egress: {{allow: ["127.0.0.1:{port}"]}}' in error.message


def test_a_name_is_checked_by_what_it_resolves_to(server: str, context: ActionContext) -> None:
    url = server.replace("127.0.0.1", "localhost")
    port = server.rpartition(":")[2]

    error = failure(lambda: call(replace(context, egress=()), url=url))
    outputs = call(replace(context, egress=(f"localhost:{port}",)), url=url)

    assert error.failure_code == "egress_denied"
    assert outputs["json"]["headers"]["host"] == f"localhost:{port}"


def test_a_redirect_off_the_allowed_network_is_refused(server: str, context: ActionContext) -> None:
    port = int(server.rpartition(":")[2])
    only = replace(context, egress=(f"127.0.0.1:{port}",))
    target = f"http://127.0.0.2:{port}/"

    error = failure(lambda: call(only, url=f"{server}/to/302/{target}"))

    assert error.failure_code == "egress_denied"


@pytest.mark.parametrize(
    ("code", "method", "then", "body"),
    [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "PUT", "GET", ""),
        (302, "PUT", "PUT", "x"),
        (307, "POST", "POST", "x"),
        (308, "POST", "POST", "x"),
    ],
)
def test_a_redirect_keeps_method_and_body_only_where_http_says_so(
    server: str, context: ActionContext, code: int, method: str, then: str, body: str
) -> None:
    seen = call(context, url=f"{server}/to/{code}", method=method, body="x")["json"]

    assert (seen["method"], seen["body"]) == (then, body)


def test_credentials_do_not_travel_to_another_origin(server: str, context: ActionContext) -> None:
    other = server.replace("127.0.0.1", "localhost")

    seen = call(
        replace(context, egress=("127.0.0.0/8", "::1")),
        url=f"{server}/to/307/{other}/echo",
        headers={"Cookie": "a=b", "X-Functions-Key": "k", "Accept-Language": "de"},
        bearer_ref="env/TOKEN",
    )["json"]

    assert {"authorization", "cookie", "x-functions-key"}.isdisjoint(seen["headers"])
    assert seen["headers"]["accept-language"] == "de"


def test_redirects_end_after_five(server: str, context: ActionContext) -> None:
    assert failure(lambda: call(context, url=f"{server}/loop")).failure_code == "too_many_redirects"


def test_a_proxy_of_the_environment_is_not_used(
    server: str, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert call(context, url=server)["status"] == 200


@pytest.mark.parametrize("path", ["big", "bomb"])
def test_an_answer_beyond_the_cap_is_refused_packed_or_not(
    server: str, context: ActionContext, path: str
) -> None:
    error = failure(lambda: call(context, url=f"{server}/{path}"))

    assert error.failure_code == "too_large"
    assert isinstance(error, PermanentError)


def test_a_packed_answer_is_unpacked(server: str, context: ActionContext) -> None:
    assert call(context, url=f"{server}/gzip")["json"] == {"a": 1}


@pytest.mark.parametrize("path", ["drip", "silent"])
def test_the_deadline_holds_however_slowly_the_other_side_answers(
    server: str, context: ActionContext, path: str
) -> None:
    hurried = replace(context, deadline=time.monotonic() + 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}" if path == "silent" else server
        error = failure(lambda: call(hurried, url=f"{url}/{path}"))

    assert error.failure_code == "timeout"
    assert isinstance(error, TemporaryError)


def test_a_cancel_ends_a_request_that_is_under_way(server: str, context: ActionContext) -> None:
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()

    error = failure(
        lambda: call(replace(context, cancelled=cancelled.is_set), url=f"{server}/drip")
    )

    assert error.failure_code == "cancelled"


@pytest.mark.parametrize(
    ("path", "temporary", "delay"),
    [
        ("status/500", True, None),
        ("status/503/7", True, 7.0),
        ("status/429/99999999", True, 3600.0),
        ("status/429/soon", True, None),
        ("status/404", False, None),
        ("status/400", False, None),
    ],
)
def test_only_429_and_5xx_are_worth_another_try(
    server: str, context: ActionContext, path: str, delay: float | None, *, temporary: bool
) -> None:
    error = failure(lambda: call(context, url=f"{server}/{path}"))

    assert error.failure_code == "http_status"
    assert isinstance(error, TemporaryError) == temporary
    if isinstance(error, TemporaryError):
        assert (error.delay.total_seconds() if error.delay else None) == delay


def test_an_expected_status_is_success(server: str, context: ActionContext) -> None:
    outputs = call(context, url=f"{server}/status/404", expect_status=[200, 404])

    assert (outputs["status"], outputs["json"]) == (404, None)


def test_a_connection_that_fails_is_worth_another_try(context: ActionContext, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    refused = failure(lambda: call(context, url=f"http://127.0.0.1:{port}/"))
    closed = failure(lambda: call(context, url=f"{server}/close"))

    assert refused.failure_code == closed.failure_code == "connection"
    assert isinstance(refused, TemporaryError)
    assert isinstance(closed, TemporaryError)


def test_a_name_that_does_not_resolve_is_worth_another_try(context: ActionContext) -> None:
    error = failure(lambda: call(context, url="http://nobody.invalid/"))

    assert error.failure_code == "host_unresolved"
    assert isinstance(error, TemporaryError)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil"},
        {"content-length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"X-A": "b\r\nX-C: d"},
        {"X-A\r\nX-B": "c"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": "\u0100"},
    ],
)
def test_a_header_cannot_smuggle_another_message(
    server: str, context: ActionContext, headers: dict[str, str]
) -> None:
    error = failure(lambda: call(context, url=server, headers=headers))

    assert error.failure_code == "invalid_header"


def test_a_query_of_any_text_is_sent_or_refused_as_such(
    server: str, context: ActionContext
) -> None:
    sent = call(context, url=f"{server}/echo", query={"a\ud800": "b\udfff"})["json"]["path"]
    error = failure(lambda: call(context, url=server, query={"a": "x" * 200_000}))

    assert sent == "/echo?a%3F=b%3F"
    assert error.failure_code == "invalid_url"


def test_a_missing_secret_is_named_and_nothing_is_sent(server: str, context: ActionContext) -> None:
    error = failure(lambda: call(context, url=server, bearer_ref="env/NOT_THERE"))

    assert error.failure_code == "secret_not_found"
