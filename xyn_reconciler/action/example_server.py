"""An outside system that knows a few answers by heart: a real HTTP server on this machine.

It speaks the answers of an example in their order and compares each request with the one that
was declared. One that is different, or one too many, is answered 500 and remembered.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from xyn_reconciler.desired.values import equal

_SHOWN: Final = 300


class Exchanges:
    """The requests that have to come, and their answers, in order."""

    def __init__(self, declared: Sequence[Mapping[str, Any]]) -> None:
        self._declared = declared
        self.came = 0
        self.differences: list[str] = []
        self.url = ""
        """What the next request asks for, before it was sent here instead."""

    def take(self, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Give the answer to a request; ``None`` where it is not the one that was declared."""
        self.came += 1
        if self.came > len(self._declared):
            self.differences.append(
                f"request {self.came}, {_named(asked)}, is one more than there are answers"
            )
            return None
        declared = self._declared[self.came - 1]
        found = list(differences(declared.get("request") or {}, asked))
        self.differences += [f"request {self.came}: {each}" for each in found]
        return None if found else declared["response"]

    def missing(self) -> Iterator[str]:
        """Say what did not come."""
        if self.came < len(self._declared):
            yield f"answers to {len(self._declared)} are declared, and {self.came} came"


def _named(asked: Mapping[str, Any]) -> str:
    return f"{asked['method']} {asked['url']}" if "method" in asked else "of the tool"


def differences(wanted: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Say in what a request is not the one that was declared; pure."""
    for key, value in wanted.items():
        if key in ("headers", "with"):
            given = asked.get(key) or {}
            for name, one in value.items():
                at = name.lower() if key == "headers" else name
                yield from _differ(f"{key}.{name}", one, given.get(at), there=at in given)
        elif key in ("query", "form"):
            told = {name: _texts(one) for name, one in value.items()}
            yield from _differ(key, told, asked.get(key), there=key in asked)
        else:
            yield from _differ(key, value, asked.get(key), there=key in asked)
    if "method" not in wanted and asked.get("method", "GET") != "GET":
        yield from _differ("method", "GET", asked["method"], there=True)


def _differ(place: str, wanted: Any, found: Any, *, there: bool) -> Iterator[str]:  # noqa: ANN401 - any JSON values
    if not there:
        yield f"{place}: expected {short(wanted)}, found none"
    elif isinstance(wanted, dict) and isinstance(found, dict):
        for key in (*wanted, *(each for each in found if each not in wanted)):
            if key not in wanted:
                yield f"{place}.{key}: expected none, found {short(found[key])}"
            else:
                yield from _differ(
                    f"{place}.{key}", wanted[key], found.get(key), there=key in found
                )
    elif not equal(wanted, found):
        yield f"{place}: expected {short(wanted)}, found {short(found)}"


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - a text, number or boolean, or a list of them
    return [
        one if isinstance(one, str) else json.dumps(one)
        for one in (value if isinstance(value, list) else [value])
    ]


def short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


@contextmanager
def serving(exchanges: Exchanges) -> Iterator[str]:
    """Serve them; gives ``http://127.0.0.1:PORT``."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            # Before the method is looked up, so that every one is answered.
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            answer = exchanges.take(_asked(self, exchanges.url))
            undeclared = {"status": 500, "body": "this request was not declared"}
            _send(self, undeclared if answer is None else answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing: the differences are what there is to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="example", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _asked(handler: BaseHTTPRequestHandler, url: str) -> dict[str, Any]:
    path, _, query = handler.path.partition("?")
    body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
    text = body.decode("utf-8", "replace")
    asked: dict[str, Any] = {
        "method": handler.command,
        "path": path,
        "url": url.partition("?")[0],
        "query": parse_qs(query, keep_blank_values=True),
        "headers": {name.lower(): value for name, value in handler.headers.items()},
        "body": text,
    }
    kind = handler.headers.get("content-type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        asked["form"] = parse_qs(text, keep_blank_values=True)
    with contextlib.suppress(ValueError):  # A body that is no JSON has no json to compare.
        asked["json"] = json.loads(text)
    return asked


def _send(handler: BaseHTTPRequestHandler, answer: Mapping[str, Any]) -> None:
    headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    body = (answer.get("body") or "").encode()
    if "json" in answer:
        body = json.dumps(answer["json"]).encode()
        headers.setdefault("content-type", "application/json")
    handler.send_response(answer.get("status", 200))
    for name, value in headers.items():
        handler.send_header(name, value)
    bodyless = handler.command == "HEAD" or answer.get("status") in (204, 304)
    if not bodyless:
        handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    if not bodyless:
        handler.wfile.write(body)
