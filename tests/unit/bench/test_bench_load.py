"""The load generator against a real server of the standard library."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.load import post
from bench.place import BenchError


class Server(ThreadingHTTPServer):
    """Keeps what it was sent, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.status = 201


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_answer_is_counted_once(server: Server) -> None:
    load = post(server.server_port, "/events", b"{}", connections=3, seconds=0.1)

    assert load.answered == len(server.bodies) == len(load.latencies)
    assert load.answered >= 3


def test_another_answer_than_201_ends_the_benchmark(server: Server) -> None:
    server.status = 503

    with pytest.raises(BenchError, match="503"):
        post(server.server_port, "/events", b"{}", connections=1, seconds=0.1)
