"""A server that says what a test writes down, byte by byte: for what aimock cannot do.

Streams that break off, stall, err or never end, in the three APIs that are spoken.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

STALL: Final = b"(stall)"
"""In a reply: say no more until the other side leaves."""


@dataclass
class Speaking:
    """A running one: each request is answered by the next reply, the last one over and over."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of the requests."""
    headers: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the other side closed a stalled connection."""


@contextlib.contextmanager
def speaking(*replies: Sequence[bytes]) -> Iterator[Speaking]:
    """Run one; a reply is the pieces that it sends before it closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Speaking(f"http://127.0.0.1:{server.getsockname()[1]}")
        serving = threading.Thread(target=_serve, args=(server, found, replies), daemon=True)
        serving.start()
        yield found
        # Closing alone wakes nobody: it would go on taking what comes to this port.
        server.shutdown(socket.SHUT_RDWR)
        serving.join(10)


def _serve(server: socket.socket, found: Speaking, replies: Sequence[Sequence[bytes]]) -> None:
    number = 0
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return  # the test is over
        reply = replies[min(number, len(replies) - 1)]
        number += 1
        with connection, contextlib.suppress(OSError):
            _answer(connection, found, reply)


def _answer(connection: socket.socket, found: Speaking, reply: Sequence[bytes]) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    found.headers.append(head.decode())
    found.asked.append(json.loads(body))
    for piece in reply:
        if piece == STALL:
            with contextlib.suppress(OSError):  # the other side may leave in anger
                while connection.recv(65536):
                    continue
            found.left.set()
            return
        connection.sendall(piece)


def refusal(status: int, *headers: str) -> list[bytes]:
    """A reply that is an error."""
    lines = [f"HTTP/1.1 {status} No", "content-length: 2", "connection: close", *headers]
    return ["\r\n".join(lines).encode() + b"\r\n\r\n{}"]


def event(data: Mapping[str, Any]) -> bytes:
    """One event of a stream."""
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def begun(api: str, *pieces: str) -> list[bytes]:
    """The beginning of an answer: some text, and no end."""
    match api:
        case "openai":
            deltas = [
                {
                    "type": "response.output_text.delta",
                    "delta": piece,
                    "item_id": "m1",
                    "output_index": 0,
                    "content_index": 0,
                    "sequence_number": number,
                    "logprobs": [],
                }
                for number, piece in enumerate(pieces, 1)
            ]
            response = {"id": "r1", "object": "response", "status": "in_progress", "output": []}
            said = [{"type": "response.created", "response": response, "sequence_number": 0}]
            return [HEAD, *map(event, [*said, *deltas])]
        case "anthropic":
            message: dict[str, Any] = {
                "id": "m1",
                "type": "message",
                "role": "assistant",
                "model": "c",
                "content": [],
                "stop_reason": None,
                "usage": {"input_tokens": 30, "cache_read_input_tokens": 60, "output_tokens": 1},
            }
            start = {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            }
            deltas = [
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": piece},
                }
                for piece in pieces
            ]
            said = [{"type": "message_start", "message": message}, start]
            return [HEAD, *map(event, [*said, *deltas])]
    return [HEAD, *(event(_chunk({"content": piece})) for piece in pieces)]


def ended(api: str, text: str, usage: Mapping[str, Any]) -> list[bytes]:
    """The end of an answer, after :func:`begun`; ``usage`` as the API tells it."""
    match api:
        case "openai":
            content = [{"type": "output_text", "text": text, "annotations": []}]
            output = [{"type": "message", "id": "m1", "role": "assistant", "content": content}]
            response = {
                "id": "r1",
                "object": "response",
                "status": "completed",
                "output": output,
                "usage": usage,
            }
            last = {"type": "response.completed", "response": response, "sequence_number": 99}
            return [event(last)]
        case "anthropic":
            delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
            return [
                event({"type": "content_block_stop", "index": 0}),
                event(delta),
                event({"type": "message_stop"}),
            ]
    return [
        event(_chunk({}, finish="stop")),
        event({**_chunk({}), "choices": [], "usage": usage}),
        b"data: [DONE]\n\n",
    ]


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "llama4",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
