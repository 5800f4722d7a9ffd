"""A download that breaks off goes on from there, and only whole bytes get their name."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.http_site import running
from xyn_reconciler.cli.client import Client
from xyn_reconciler.cli.commands.artifacts import _save
from xyn_reconciler.model.errors import ConflictError, UnavailableError, XynError

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ARTIFACT = {"artifact_id": "a", "name": "a.bin", "sha256": SHA256, "byte_length": len(CONTENT)}


@contextmanager
def node(*lengths: int, ranges: bool = True, content: bytes = CONTENT) -> Iterator[Client]:
    """A node that breaks off each answer after so many bytes, and the rest not at all."""
    left = list(lengths)

    class Artifacts(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")
            start = int(asked) if ranges else 0
            if start:
                assert self.headers["If-Range"] == f'"{SHA256}"'
            part = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part[: left.pop(0)] if left else part)
            self.close_connection = True

    with running(Artifacts) as url:
        client = Client(url)
        try:
            yield client
        finally:
            client._http.close()  # noqa: SLF001 - the command's end closes it


def test_it_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    with node(100_000, 50_000) as client:
        _save(client, ARTIFACT, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        (node(0), UnavailableError),
        (node(*[10] * 5), UnavailableError),
        (node(10, ranges=False), ConflictError),
        (node(content=CONTENT[:-1] + b"x"), XynError),
    ],
    ids=["never-began", "never-ends", "another-by-now", "other-bytes"],
)
def test_what_is_not_whole_gets_no_name_and_leaves_what_was_there(
    tmp_path: Path,
    answers: AbstractContextManager[Client],
    error: type[XynError],
) -> None:
    (tmp_path / "a").write_bytes(b"older")

    with answers as client, pytest.raises(error):
        _save(client, ARTIFACT, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
