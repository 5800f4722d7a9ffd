"""Serve one application on several addresses of one port, in one process, with granian.

Granian binds one address a server and keeps its application in worker
processes, which go on answering when the one above them is killed. Here its
thread-based server is used, one for each address, in this process alone: there
is no child to be left behind, and both loopback addresses share one application
and one pool of connections.

The traps: granian's own sockets have ``SO_REUSEPORT``, by which a second server
binds a taken port without an error, so sockets are bound here; and its
thread-based server refuses an interpreter with a GIL, although WSGI workers
only wait in those threads for Rust to call them (granian 2.8, ``server/mt.py``).
"""

import contextlib
import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # not in its stub's __all__
from granian.server.mt import MTServer

from xyn_reconciler.model.errors import ConflictError

DRAIN_SECONDS: Final = 5.0
"""What is under way may finish for so long after SIGTERM."""

THREADS: Final = 512
"""Requests at a time for each address; made when they are needed, gone when they are not.

As many as a storm may hold: Alertmanager posts every group at once, they wait
together for one commit, and pages must not stand in that line. Pushes hold one
each for as long as they take.
"""

CONNECTIONS: Final = 1024
"""Open connections for each address, most of them idle: a page that watches, a client that
keeps its own alive, one that says nothing. Beyond these, others wait to be let in."""

HEADER_SECONDS: Final = 20
"""Who has not said by then what it wants is hung up on.

Granian counts from the answer before as well, so it is also how long a client's idle connection
stays. Clients let go of theirs earlier (httpx after 5 s, aiohttp after 15): one that both give up
at the same moment costs the client its next request.
"""

SWITCH_SECONDS: Final = 0.0005
"""Whoever has an answer of the database waits so long for the interpreter, at most.

One thread commits for many (``trigger.gather``); at Python's own 5 ms it stands behind each of
those that it has just answered, and all wait for it.
"""

BACKLOG: Final = 1024
_ABSENT: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

Application = Callable[..., Any]


class _Server(MTServer):
    """A server of one address, on a socket that it is given."""

    def __init__(self, bound: socket.socket) -> None:
        host, port = bound.getsockname()[:2]
        super().__init__(
            "xyn",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            http=HTTPModes.http1,
            runtime_mode=RuntimeModes.mt,
            websockets=False,
            blocking_threads=THREADS,
            backpressure=CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
            backlog=BACKLOG,
            log_level=LogLevels.warning,
        )
        self._bound = bound

    def _init_shared_socket(self) -> None:
        is_unix = False
        held = SocketHolder(self._bound.detach(), is_unix, BACKLOG)  # type: ignore[call-arg]  # ty: ignore[too-many-positional-arguments]  # its stub lacks them
        self._shd = held  # type: ignore[assignment]  # typed by its first value, None

    def begin(self, application: Application) -> None:
        self._init_shared_socket()
        self._spawn_workers(self._spawn_wsgi_worker, application)  # type: ignore[no-untyped-call]  # as granian ships it

    def end(self, seconds: float) -> None:
        for worker in self.wrks:
            worker.join(seconds)  # type: ignore[no-untyped-call]  # as granian ships it

    def ask_to_end(self) -> None:
        for worker in self.wrks:
            worker.terminate()  # type: ignore[no-untyped-call]  # as granian ships it


def bind(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listen on every address that this machine has; ``ConflictError`` where the port is taken."""
    bound: list[socket.socket] = []
    with contextlib.ExitStack() as unless_all:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                listener = socket.socket(family, socket.SOCK_STREAM)
                unless_all.callback(listener.close)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Inherited by each connection: no answer's end waits for its beginning's receipt.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, port))
                listener.listen(BACKLOG)
            except OSError as error:
                # A machine without IPv6 has no ::1; the other address will do.
                if error.errno in _ABSENT and bound:
                    continue
                raise ConflictError(
                    f"cannot listen on {address} port {port}: {error.strerror}"
                ) from error
            listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            bound.append(listener)
        unless_all.pop_all()
    return bound


def serve(application: Application, sockets: Sequence[socket.socket]) -> None:
    """Answer on the sockets until SIGTERM or SIGINT; then finish what is under way and return."""
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = threading.Event()
    servers = [_Server(bound) for bound in sockets]
    for server in servers:
        server.main_loop_interrupt = stop  # a worker that dies ends the whole, to be started again
        server.begin(application)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    for server in servers:
        server.ask_to_end()
    for server in servers:
        server.end(DRAIN_SECONDS)
