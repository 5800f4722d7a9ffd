"""The benchmark's kept connection, to a server that closes what is idle."""

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from bench.client import Client

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Closing:
    """Answers one request a connection, as if it meant to keep it, and closes it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        # It wakes the thread that waits for one more; closing alone does not.
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(ANSWER)


@pytest.fixture
def closing() -> Iterator[Closing]:
    server = Closing()
    yield server
    server.stop()


def test_a_connection_that_was_closed_while_idle_is_opened_again(closing: Closing) -> None:
    client = Client(closing.port)
    first = client.ask("GET", "/")
    assert client._kept is not None  # noqa: SLF001 - its end has to have come
    select.select([client._kept.sock], [], [], 5)  # noqa: SLF001 - as above

    second = client.ask("GET", "/")

    client.close()
    assert first == second == (200, b"{}")


def test_a_server_that_is_gone_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]

    with pytest.raises(ConnectionError):
        Client(port).ask("GET", "/")
