"""Real HTTP servers that stand in for outside systems: a function answers, or a handler."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes


@dataclass(frozen=True)
class Said:
    """An answer; a body of None is none at all."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on loopback, and say nothing of it; gives ``http://127.0.0.1:PORT``."""
    quiet = type("Quiet", (handler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), quiet) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(answer: Callable[[Asked], Said]) -> Iterator[str]:
    """Serve what a function answers; gives the address as :func:`running` does."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _send(self, answer(_asked(self)))

        do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

    with running(Answering) as url:
        yield url


def _asked(handler: BaseHTTPRequestHandler) -> Asked:
    where = urlsplit(handler.path)
    return Asked(
        handler.command,
        where.path,
        dict(parse_qsl(where.query, keep_blank_values=True)),
        {name.lower(): value for name, value in handler.headers.items()},
        handler.rfile.read(int(handler.headers.get("content-length") or 0)),
    )


def _send(handler: BaseHTTPRequestHandler, said: Said) -> None:
    body = b"" if said.body is None else json.dumps(said.body).encode()
    handler.send_response(said.status)
    for name, value in said.headers.items():
        handler.send_header(name, value)
    if body:
        handler.send_header("Content-Type", said.content_type)
    if said.status != 204:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
