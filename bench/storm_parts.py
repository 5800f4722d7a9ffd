"""Who takes part in the storm beside the node: senders, a killer, a reader of pages, a counter.

All of them are threads of one process.
"""

import contextlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import psutil

from bench.place import BenchError
from bench.storm_http import ask

SENDERS: Final = 4
GIVE_UP_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.25


class Effects:
    """An HTTP server that counts what it was asked to do, by idempotency key."""

    def __init__(self) -> None:
        seen = self.seen = Counter[str]()
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                with lock:
                    seen[self.headers.get("Idempotency-Key", "")] += 1
                with contextlib.suppress(OSError):  # whoever asked may have been killed
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its names
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Sender:
    """Posts bodies as Alertmanager does: each again until it is answered with 2xx."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self.answered: list[dict[str, Any]] = []
        """What each body was answered, in their order."""

    def send(self, bodies: Sequence[bytes]) -> None:
        """Send them all; :class:`BenchError` if one is not taken in within a minute."""
        with ThreadPoolExecutor(SENDERS) as threads:
            for answer in threads.map(self._until_answered, bodies):
                self.answered.append(answer)

    def _until_answered(self, body: bytes) -> dict[str, Any]:
        until = time.monotonic() + GIVE_UP_SECONDS
        while True:
            status, answer = ask("POST", self._port, self._path, body)
            if status == http.client.ACCEPTED:
                found: dict[str, Any] = json.loads(answer)
                return found
            if time.monotonic() > until:
                raise BenchError(f"a notification was answered {status}: {answer[:600]!r}")
            time.sleep(0.5)


class Killer:
    """SIGKILL for a random worker at random moments, each while the server is being called."""

    def __init__(
        self, supervisors: Sequence[int], effects: Effects, moments: Sequence[int]
    ) -> None:
        self._supervisors = [psutil.Process(pid) for pid in supervisors]
        self._effects = effects
        self._moments = sorted(moments)
        self.killed = 0

    def run(self, stop: threading.Event) -> None:
        """Kill one each time so many calls have come in, until there is no moment left."""
        while self.killed < len(self._moments) and not stop.wait(0.01):
            if self._effects.seen.total() >= self._moments[self.killed] and self._kill_one():
                self.killed += 1

    def _kill_one(self) -> bool:
        """Whether one lived; where none does, the moment is put off."""
        workers = [each for top in self._supervisors for each in top.children() if _is_worker(each)]
        if not workers:
            return False
        try:
            random.choice(workers).kill()
        except psutil.NoSuchProcess:
            return False
        return True


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "xyn-worker"
    return False


class Reader:
    """Somebody who looks at the pages all the while."""

    PAGES: Final = ("/ui/events", "/ui/runs", "/ui/health", "/ui/events/stream", "/ui/blueprints")

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked = 0
        self.seconds: list[float] = []
        """What each answer took."""
        self.refused: list[str] = []

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_SECONDS):
            page = self.PAGES[self.asked % len(self.PAGES)]
            self.asked += 1
            began = time.monotonic()
            status, answer = ask("GET", self._port, page, None)
            if status == http.client.OK:
                self.seconds.append(time.monotonic() - began)
            else:
                self.refused.append(f"{page}: {status} {answer[:200]!r}")


@contextlib.contextmanager
def alongside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Let something run in a thread of its own for as long as the context lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
