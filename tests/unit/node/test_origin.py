"""What a clone asks its origin for, and what it says where that does not help."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.http_site import running
from xyn_reconciler.model.errors import NotFoundError, UnavailableError
from xyn_reconciler.node.origin import bytes_of

SHA256 = "ab" * 32


@contextmanager
def origin(status: int = 200, content: bytes = b"", length: int | None = None) -> Iterator[Any]:
    """A server that answers so; gives its address and what was asked of it."""
    asked: list[tuple[str, str | None]] = []

    class Origin(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

    with running(Origin) as url:
        yield url.rpartition(":")[2], asked


def read(address: str) -> bytes:
    opened = bytes_of(address)
    assert opened is not None
    with opened(SHA256) as file:
        return file.read()


@pytest.mark.parametrize("path", ["/git/state.git", "/behind/a/proxy/git/state.git"])
def test_bytes_come_from_the_node_of_the_repository(path: str) -> None:
    with origin(content=b"hello" * 1000) as (port, asked):
        assert read(f"http://127.0.0.1:{port}{path}") == b"hello" * 1000

    base = path.removesuffix("/git/state.git")
    assert asked == [(f"{base}/api/v1/artifacts/by-sha256/{SHA256}", None)]


def test_name_and_token_of_the_address_are_brought_along_and_never_told() -> None:
    with origin(status=403) as (port, asked), pytest.raises(UnavailableError) as caught:
        read(f"http://ada:to%2Fken@127.0.0.1:{port}/git/state.git")

    given = base64.b64encode(b"ada:to/ken").decode()
    assert asked[0][1] == f"Basic {given}"
    assert "answers 403" in caught.value.message
    assert "ken@" not in caught.value.message


@pytest.mark.parametrize(
    "address", ["/srv/state.git", "git@example.net:state.git", "https://example.net/ops/state.git"]
)
def test_a_repository_that_is_no_nodes_has_no_bytes(address: str) -> None:
    assert bytes_of(address) is None


@pytest.mark.parametrize("status", [404, 410])
def test_what_the_origin_has_not_is_nowhere(status: int) -> None:
    with origin(status=status) as (port, _), pytest.raises(NotFoundError, match="neither here"):
        read(f"http://127.0.0.1:{port}/git/state.git")


def test_an_origin_that_breaks_off_or_is_away_is_asked_again_later() -> None:
    with origin(content=b"half", length=8) as (port, _):
        address = f"http://127.0.0.1:{port}/git/state.git"
        with pytest.raises(UnavailableError, match="does not answer"):
            read(address)
    with pytest.raises(UnavailableError, match=f"at the origin http://127.0.0.1:{port}"):
        read(address)
