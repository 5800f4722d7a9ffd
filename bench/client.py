"""Ask a node over HTTP on one kept connection, as a sender of many events does."""

import http.client
import json
import select
from typing import Any, Final

from bench.place import BenchError

_CREATED: Final = 201


class Client:
    """One connection to a node; not to be shared by threads."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._kept: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        status, answer = self.ask("GET", path)
        if status != http.client.OK:
            raise BenchError(f"GET {path} answered {status}: {answer[:600]!r}")
        return json.loads(answer)

    def emit(self, name: str, run: str) -> None:
        """Post an event; it is committed when this returns."""
        body = json.dumps({"event_name": name, "data": {"run": run, "padding": "y" * 200}})
        status, answer = self.ask("POST", "/api/v1/events", body.encode())
        if status != _CREATED:
            raise BenchError(f"an event was answered {status}: {answer[:600]!r}")

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Give status and body of the answer; ``ConnectionError`` where there is none."""
        connection = self._connection()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(str(error)) from error

    def _connection(self) -> http.client.HTTPConnection:
        # The server closes what is idle for long; its end shows as something to read.
        if self._kept is not None and (
            self._kept.sock is None or select.select([self._kept.sock], [], [], 0)[0]
        ):
            self.close()
        if self._kept is None:
            self._kept = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        return self._kept
