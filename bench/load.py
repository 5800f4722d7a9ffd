"""Post one body over and over on a few kept connections, for a bounded time, on loopback.

One thread and no HTTP library: the generator shares the cores with what it
measures, so it has to be light, and it is the same for floor and Xyn.
"""

import contextlib
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Final

from bench.place import BenchError

_CHUNK: Final = 64 * 1024
_SILENCE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it."""

    answered: int
    seconds: float
    latencies: list[float]

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    sent_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)


def post(port: int, path: str, body: bytes, *, connections: int, seconds: float) -> Load:
    """Post for ``seconds``; every answer has to be 201, else :class:`BenchError`."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    latencies: list[float] = []
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        clients = [_open(port, selector, stack) for _ in range(connections)]
        began = time.monotonic()
        until = began + seconds
        for client in clients:
            _send(client, request)
        waiting = len(clients)
        while waiting:
            ready = selector.select(_SILENCE_SECONDS)
            if not ready:
                raise BenchError(f"no answer within {_SILENCE_SECONDS:.0f} s")
            for key, _ in ready:
                client = key.data
                if not _answered(client):
                    continue
                now = time.monotonic()
                latencies.append(now - client.sent_at)
                if now < until:
                    _send(client, request)
                else:
                    waiting -= 1
        took = time.monotonic() - began
    return Load(len(latencies), took, latencies)


def _open(port: int, selector: selectors.BaseSelector, stack: contextlib.ExitStack) -> _Client:
    connection = socket.create_connection(("127.0.0.1", port), timeout=_SILENCE_SECONDS)
    client = _Client(stack.enter_context(connection))
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(client.socket, selectors.EVENT_READ, client)
    return client


def _send(client: _Client, request: bytes) -> None:
    client.received.clear()
    client.sent_at = time.monotonic()
    client.socket.sendall(request)


def _answered(client: _Client) -> bool:
    """Read what is there; whether the answer is whole."""
    chunk = client.socket.recv(_CHUNK)
    if not chunk:
        raise BenchError("the server closed a connection")
    client.received += chunk
    head, separator, rest = client.received.partition(b"\r\n\r\n")
    if not separator:
        return False
    if not head.startswith(b"HTTP/1.1 201 "):
        raise BenchError(f"answered {bytes(client.received[:600])!r}")
    return len(rest) >= _content_length(bytes(head))


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    raise BenchError("an answer without a length")
