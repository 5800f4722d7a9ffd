"""What ``http.call`` sends and keeps: credentials, bodies of parts, artifacts, odd answers."""

import base64
import datetime as dt
import email.parser
import email.policy
import gzip
import hashlib
import io
import json
import socket
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http_site import running
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.http_call import HttpCall
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.errors import NotFoundError, PermanentError, StepError

SECRETS = {
    "env/TOKEN": "t0ken-t0ken\n",
    "env/PASSWORD": "päss:word",
    "env/SPLIT": "a\r\nX-Evil: yes",
    "env/BYTES": "caf\udce9",
}


class Echo(BaseHTTPRequestHandler):
    """Answers with what ``answers`` has for the path, or tells what it was asked."""

    protocol_version = "HTTP/1.1"
    answers: dict[str, tuple[int, dict[str, str], bytes]]
    seen: list[tuple[str, str, dict[str, str], bytes]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append((self.command, self.path, headers, body))
        status, extra, content = self.answers.get(self.path, (200, {}, b"ok"))
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return

    do_POST = do_PUT = do_GET  # noqa: N815 - the library's names


class Server:
    """One server: its address, what it was asked, what it answers."""

    def __init__(self, url: str, handler: type[Echo]) -> None:
        self.url = url
        self.elsewhere = url.replace("127.0.0.1", "localhost")
        self.seen = handler.seen
        self.answers = handler.answers

    @property
    def headers(self) -> dict[str, str]:
        return self.seen[-1][2]

    @property
    def body(self) -> bytes:
        return self.seen[-1][3]


@pytest.fixture(scope="module")
def only_server() -> Iterator[Server]:
    handler = type("Handler", (Echo,), {"answers": {}, "seen": []})
    with running(handler) as url:
        yield Server(url, handler)


@pytest.fixture
def server(only_server: Server) -> Server:
    only_server.seen.clear()
    only_server.answers.clear()
    return only_server


class Shelf:
    """The artifacts of a test."""

    def __init__(self) -> None:
        self.kept: dict[uuid.UUID, tuple[Artifact, bytes]] = {}
        self.largest = 0

    def keep(
        self,
        *,
        name: str,
        kind: str,
        content_type: str,
        content: bytes | BinaryIO,
        retention: str | None = None,  # noqa: ARG002 - as KeepArtifact has it
    ) -> uuid.UUID:
        parts = [content] if isinstance(content, bytes) else list(_pieces(content))
        self.largest = max(map(len, parts), default=0)
        artifact = Artifact(
            artifact_id=uuid.uuid4(),
            name=name,
            kind=kind,
            content_type=content_type,
            created_at=dt.datetime.now(dt.UTC),
            created_by="test",
            byte_length=sum(map(len, parts)),
        )
        self.kept[artifact.artifact_id] = (artifact, b"".join(parts))
        return artifact.artifact_id

    def open(self, artifact_id: uuid.UUID) -> tuple[Artifact, BinaryIO]:
        if artifact_id not in self.kept:
            raise NotFoundError("not there")
        artifact, content = self.kept[artifact_id]
        return artifact, io.BytesIO(content)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(1_000_000):
        yield piece


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def context(attempt: ActionContext, shelf: Shelf) -> ActionContext:
    return replace(
        attempt,
        secret=SECRETS.get,
        egress=("127.0.0.0/8", "::1"),
        artifact=shelf.keep,
        open_artifact=shelf.open,
    )


def call(context: ActionContext, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - the action's inputs
    return HttpCall().run(inputs, context)


def code(act: Callable[[], object]) -> str:
    with pytest.raises(StepError) as caught:
        act()
    return caught.value.failure_code


def parts(server: Server) -> list[EmailMessage]:
    """Read a multipart body as the standard library does."""
    raw = f"Content-Type: {server.headers['content-type']}\r\n\r\n".encode() + server.body
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(raw)
    return [part for part in message.iter_parts() if isinstance(part, EmailMessage)]


# ── credentials ──────────────────────────────────────────────────────────────────────────────────


def test_basic_authentication_is_a_user_and_a_secret(
    server: Server, context: ActionContext
) -> None:
    auth = {"basic": {"user": "ada", "password_ref": "env/PASSWORD"}}

    call(context, url=server.url, auth=auth)

    scheme, _, pair = server.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "ada:päss:word")


def test_a_secret_goes_into_any_header_without_the_line_end_of_its_file(
    server: Server, context: ActionContext
) -> None:
    auth = {"header": {"name": "X-Vault-Token", "value_ref": "env/TOKEN"}}

    call(context, url=server.url, auth=auth)

    assert server.headers["x-vault-token"] == "t0ken-t0ken"


@pytest.mark.parametrize(
    "auth",
    [
        {"bearer_ref": "env/TOKEN"},
        {"basic": {"user": "ada", "password_ref": "env/PASSWORD"}},
        {"header": {"name": "X-Grafana", "value_ref": "env/TOKEN"}},
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_credential_and_no_key_goes_on_to_another_origin(
    server: Server, context: ActionContext, auth: dict[str, Any], status: int
) -> None:
    server.answers["/from"] = (status, {"location": f"{server.elsewhere}/to"}, b"")

    call(
        replace(context, idempotency_key="k1"),
        url=f"{server.url}/from",
        auth=auth,
        headers={"X-Gitlab-Token": "x", "Cookie": "a=b", "Accept": "text/csv"},
    )

    (_, _, first, _), (_, path, second, _) = server.seen
    private = {"authorization", "x-grafana", "x-gitlab-token", "cookie", "idempotency-key"}
    assert path == "/to"
    assert len(private & first.keys()) == 4
    assert private.isdisjoint(second)
    assert second["accept"] == "text/csv"


def test_credentials_stay_with_a_redirect_within_the_origin(
    server: Server, context: ActionContext
) -> None:
    server.answers["/from"] = (302, {"location": "/to"}, b"")

    call(context, url=f"{server.url}/from", auth={"bearer_ref": "env/TOKEN"})

    assert server.seen[1][1] == "/to"
    assert server.headers["authorization"] == "Bearer t0ken-t0ken"


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"auth": {"bearer_ref": "env/NONE"}}, "secret_not_found"),
        ({"auth": {"basic": {"user": "a", "password_ref": "env/BYTES"}}}, "invalid_secret"),
        ({"auth": {"header": {"name": "Host", "value_ref": "env/TOKEN"}}}, "invalid_header"),
        ({"auth": {"header": {"name": "a b", "value_ref": "env/TOKEN"}}}, "invalid_header"),
        ({"auth": {"bearer_ref": "env/SPLIT"}}, "invalid_header"),
        ({"auth": {"header": {"name": "X", "value_ref": "env/SPLIT"}}}, "invalid_header"),
        ({"auth": {"bearer_ref": "env/TOKEN"}, "bearer_ref": "env/TOKEN"}, "invalid_inputs"),
    ],
)
def test_a_credential_that_cannot_be_sent_is_refused_before_anything_is(
    server: Server, context: ActionContext, inputs: dict[str, Any], expected: str
) -> None:
    assert code(lambda: call(context, url=server.url, **inputs)) == expected
    assert server.seen == []


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


def test_parts_are_texts_and_files_of_texts_and_artifacts(
    server: Server, context: ActionContext, shelf: Shelf
) -> None:
    content = b"\x00--\r\n" * 100_000
    log = shelf.keep(name="run.log", kind="log", content_type="text/plain", content=content)

    call(
        context,
        url=server.url,
        method="POST",
        multipart={
            "note": "héllo",
            "tags": ["a", 1, True],
            "page": {"text": "<p>", "filename": "a.html", "content_type": "text/html"},
            "log": {"artifact_id": str(log)},
        },
    )

    found = parts(server)
    names = [part.get_param("name", header="content-disposition") for part in found]
    contents = [part.get_payload(decode=True) for part in found]
    assert names == ["note", "tags", "tags", "tags", "page", "log"]
    assert contents == ["héllo".encode(), b"a", b"1", b"true", b"<p>", content]
    assert [part.get_filename() for part in found[4:]] == ["a.html", "run.log"]
    assert found[4].get_content_type() == "text/html"
    assert "transfer-encoding" not in server.headers


@pytest.mark.parametrize(
    ("given_name", "sent"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("..", "file"),
        ("/", "file"),
        ('a"; name="b', "a%22; name=%22b"),
        ("a\r\nContent-Type: b", "aContent-Type: b"),
        ("\x00", "file"),
    ],
)
def test_a_filename_has_no_folders_and_breaks_out_of_nothing(
    server: Server, context: ActionContext, given_name: str, sent: str
) -> None:
    call(
        context,
        url=server.url,
        method="POST",
        multipart={"f": {"text": "x", "filename": given_name}},
    )

    assert f'filename="{sent}"\r\n'.encode() in server.body
    assert len(parts(server)) == 1


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(name=st.text(min_size=1, max_size=20), value=st.text(max_size=60))
def test_a_part_of_any_name_and_text_is_one_part(
    server: Server, context: ActionContext, name: str, value: str
) -> None:
    call(context, url=server.url, method="POST", multipart={name: value, "last": "1"})

    boundary = server.headers["content-type"].rpartition("=")[2].encode()
    pieces = server.body.split(b"--" + boundary)
    head, _, content = pieces[1].removeprefix(b"\r\n").partition(b"\r\n\r\n")
    assert len(pieces) == 4
    assert content == value.encode() + b"\r\n"
    assert b"\r" not in head
    assert head.count(b'"') == 2


def test_two_calls_have_two_boundaries(server: Server, context: ActionContext) -> None:
    for _ in range(2):
        call(context, url=server.url, method="POST", multipart={"a": "1"})

    assert server.seen[0][2]["content-type"] != server.seen[1][2]["content-type"]


def test_parts_are_sent_again_where_a_redirect_keeps_the_body(
    server: Server, context: ActionContext, shelf: Shelf
) -> None:
    log = shelf.keep(name="a", kind="log", content_type="text/plain", content=b"x" * 1000)
    server.answers["/from"] = (307, {"location": "/to"}, b"")

    call(
        context,
        url=f"{server.url}/from",
        method="POST",
        multipart={"log": {"artifact_id": str(log)}},
    )

    assert server.seen[0][3] == server.seen[1][3]
    assert len(server.body) > 1000


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"multipart": {"a": {"artifact_id": str(uuid.uuid4())}}}, "artifact_not_found"),
        ({"multipart": {"a": {"artifact_id": "../x"}}}, "artifact_not_found"),
        ({"multipart": {"a": {"text": "x", "content_type": "a/b\r\nX: y"}}}, "invalid_inputs"),
        ({"multipart": {"a": "b"}, "json": 1}, "invalid_inputs"),
        ({"multipart": {"a": "b"}, "headers": {"Content-Type": "text/plain"}}, "invalid_header"),
    ],
)
def test_parts_that_cannot_be_sent_are_refused(
    server: Server, context: ActionContext, inputs: dict[str, Any], expected: str
) -> None:
    assert code(lambda: call(context, url=server.url, method="POST", **inputs)) == expected
    assert server.seen == []


# ── artifacts ────────────────────────────────────────────────────────────────────────────────────


def test_a_large_answer_becomes_an_artifact_a_piece_at_a_time(
    server: Server, context: ActionContext, shelf: Shelf
) -> None:
    content = bytes(range(256)) * 40_000
    packed = {"content-type": "image/png", "content-encoding": "gzip"}
    server.answers["/"] = (200, packed, gzip.compress(content, mtime=0))

    outputs = call(context, url=f"{server.url}/", save_to="picture.png", max_bytes=10)

    artifact, kept = shelf.kept[uuid.UUID(outputs["artifact_id"])]
    assert kept == content
    assert (artifact.name, artifact.content_type) == ("picture.png", "image/png")
    assert outputs["sha256"] == hashlib.sha256(content).hexdigest()
    assert (outputs["bytes"], outputs["body"], outputs["json"]) == (len(content), "", None)
    assert shelf.largest < 200_000


def test_what_is_no_success_becomes_no_artifact(
    server: Server, context: ActionContext, shelf: Shelf
) -> None:
    server.answers["/"] = (404, {}, b"no such picture")

    with pytest.raises(PermanentError) as caught:
        call(context, url=f"{server.url}/", save_to="picture.png")

    assert caught.value.details == {"status": 404, "body": "no such picture"}
    assert shelf.kept == {}


# ── odd answers ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0)),
        ("gzip", gzip.compress(b"onetwo", mtime=0) + b"\0" * 20),
        ("deflate", zlib.compress(b"onetwo")),
        ("deflate", zlib.compress(b"onetwo")[2:-4]),
        ("identity", b"onetwo"),
    ],
)
def test_every_usual_packing_is_unpacked(
    server: Server, context: ActionContext, encoding: str, body: bytes
) -> None:
    server.answers["/"] = (200, {"content-encoding": encoding}, body)

    assert call(context, url=f"{server.url}/")["body"] == "onetwo"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"one" * 100, mtime=0)[:-9]),
        ("gzip", b"not packed at all"),
        ("br", b"one"),
        ("gzip, gzip", b"one"),
    ],
)
def test_a_damaged_or_unknown_packing_is_said(
    server: Server, context: ActionContext, encoding: str, body: bytes
) -> None:
    server.answers["/"] = (200, {"content-encoding": encoding}, body)

    assert code(lambda: call(context, url=f"{server.url}/")) == "bad_body"


def test_an_empty_body_that_is_said_to_be_packed_is_empty(
    server: Server, context: ActionContext
) -> None:
    server.answers["/"] = (200, {"content-encoding": "gzip"}, b"")

    assert call(context, url=f"{server.url}/")["body"] == ""


def test_a_failure_is_told_by_its_status_however_long_its_page(
    server: Server, context: ActionContext
) -> None:
    server.answers["/"] = (404, {}, b"x" * 100_000)

    with pytest.raises(PermanentError) as caught:
        call(context, url=f"{server.url}/", max_bytes=5)

    assert caught.value.failure_code == "http_status"
    assert (caught.value.details or {})["body"] == "xxxxx"


def test_a_redirect_that_is_expected_is_the_answer(server: Server, context: ActionContext) -> None:
    server.answers["/"] = (302, {"location": "/to"}, b"")

    outputs = call(context, url=f"{server.url}/", expect_status=[302])

    assert (outputs["status"], outputs["headers"]["location"]) == (302, "/to")


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "http://[::1", "http://a:b@127.0.0.1/", "http://0x7f.1/", "http:\\\\a"],
)
def test_a_redirect_to_what_is_no_url_is_refused(
    server: Server, context: ActionContext, location: str
) -> None:
    server.answers["/"] = (302, {"location": location}, b"")

    assert code(lambda: call(context, url=f"{server.url}/")) == "invalid_url"


@pytest.mark.parametrize(
    "host", ["[::ffff:127.0.0.1]", "localhost", "127.0.0.1", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_this_machine_is_let_through(
    server: Server, context: ActionContext, host: str
) -> None:
    port = server.url.rpartition(":")[2]

    found = code(lambda: call(replace(context, egress=()), url=f"http://{host}:{port}/"))

    assert found == "egress_denied"
    assert server.seen == []


def test_a_name_is_resolved_once_so_nobody_can_answer_differently_the_second_time(
    server: Server, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.url.rpartition(":")[2])
    answers = iter(["127.0.0.1", "127.0.0.2", "10.0.0.1"])
    asked = []

    def resolver(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    only = replace(context, egress=(f"127.0.0.1:{port}",))

    first = call(only, url=f"http://rebind.example:{port}/")
    second = code(lambda: call(only, url=f"http://rebind.example:{port}/"))

    assert first["body"] == "ok"
    assert asked == ["rebind.example"] * 2
    assert second == "egress_denied"
    assert len(server.seen) == 1


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "utf-7", "base64", "x"])
def test_a_charset_that_is_none_of_texts_is_read_as_utf_8(
    server: Server, context: ActionContext, charset: str
) -> None:
    kind = f"text/plain; charset={charset}"
    server.answers["/"] = (200, {"content-type": kind}, "+AG- ä\\x41".encode())

    assert call(context, url=f"{server.url}/")["body"] == "+AG- ä\\x41"


def test_a_timeout_that_is_a_slip_is_refused(server: Server, context: ActionContext) -> None:
    assert code(lambda: call(context, url=server.url, timeout="99999d")) == "invalid_inputs"
    assert server.seen == []


def test_the_timeout_of_a_call_is_shorter_than_the_steps(context: ActionContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = code(lambda: call(context, url=url, timeout="200ms"))

    assert found == "timeout"
    assert time.monotonic() < context.deadline


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        ("Fri, 31 Dec 2100 23:59:59 -0000", 3600.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("²", None),
        ("-5", None),
    ],
)
def test_any_retry_after_is_read_or_passed_over(
    server: Server, context: ActionContext, value: str, delay: float | None
) -> None:
    server.answers["/"] = (503, {"retry-after": value}, b"")

    with pytest.raises(StepError) as caught:
        call(context, url=f"{server.url}/")

    found = getattr(caught.value, "delay", None)
    assert caught.value.failure_code == "http_status"
    assert (None if found is None else found.total_seconds()) == delay


def test_white_space_around_a_header_is_none_of_it(server: Server, context: ActionContext) -> None:
    call(context, url=server.url, headers={"X-A": " b \t"})

    assert server.headers["x-a"] == "b"


def test_json_that_begins_with_a_byte_order_mark_is_read(
    server: Server, context: ActionContext
) -> None:
    kind = {"content-type": "application/json"}
    server.answers["/"] = (200, kind, b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())

    assert call(context, url=f"{server.url}/")["json"] == {"a": 1}
