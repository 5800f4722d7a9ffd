"""The network below an HTTP request: only where egress allows, never longer than it may.

Every connection of a request, redirects included, is made here, so none can
go around the rule. All reads and writes are cut into slices short enough that
a cancel is noticed, and they end at the deadline of the attempt whatever the
other side does: one byte a second is no way to hold a worker.
"""

import contextlib
import errno
import functools
import ipaddress
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import httpcore2
import httpx2

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.egress import Address, is_global, permitted, resolve
from xyn_reconciler.action.watch import go_on
from xyn_reconciler.model.errors import PermanentError, TemporaryError

SLICE_SECONDS: Final = 0.25

Result = TypeVar("Result")


class Transport(httpx2.BaseTransport):
    """Sends requests of one attempt; proxies and other settings of the environment play no part."""

    def __init__(
        self, context: ActionContext, tls: ssl.SSLContext, server_name: str | None = None
    ) -> None:
        """``server_name`` is asked for and checked instead of the host of the URL."""
        self._server_name = server_name
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls, network_backend=Dialer(context), max_connections=1, retries=0
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"sni_hostname": self._server_name or _host(request)},
        )
        with _translated():
            response = self._pool.handle_request(sent)
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions={"certificate": _certificate(response)},
        )

    def close(self) -> None:
        self._pool.close()


def _certificate(response: httpcore2.Response) -> Any:  # noqa: ANN401 - of ssl
    """What the other side showed and was checked, as ``ssl`` has it; nothing without a check."""
    secured = response.extensions["network_stream"].get_extra_info("ssl_object")
    return None if secured is None else secured.getpeercert()


def _host(request: httpx2.Request) -> str:
    """The name as certificates have it: without the last dot, which is DNS's own (RFC 6066, 3)."""
    return request.url.raw_host.decode("ascii").removesuffix(".")


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - httpcore's union of its streams
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        # A server that closes early or talks nonsense may talk sense the next time.
        raise TemporaryError("connection", f"the connection failed: {error}") from error


class Dialer(httpcore2.NetworkBackend):
    """Resolves once, asks the egress rule, and connects to exactly what was allowed."""

    def __init__(self, context: ActionContext) -> None:
        self._context = context

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the attempt's deadline is the only one
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> httpcore2.NetworkStream:
        return Stream(self.dial(host, port), self._context)

    def dial(self, host: str, port: int) -> socket.socket:
        """Give a connected socket; the caller closes it."""
        addresses = resolve(host, port, timeout=self._context.seconds_left())
        allowed = permitted(host, port, addresses, self._context.egress)
        return self._connected(allowed, host, port)

    def _connected(self, addresses: Sequence[Address], host: str, port: int) -> socket.socket:
        for number, address in enumerate(addresses):
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                # The last one has all the time that is left; those before it a share.
                share = self._context.seconds_left() / (len(addresses) - number)
                _connect(connection, (str(address), port), share, self._context)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except OSError as error:
                connection.close()
                reason = error
            except BaseException:
                connection.close()
                raise
        raise TemporaryError("connection", f"{host}:{port} cannot be reached: {reason}")


def _connect(
    connection: socket.socket, where: tuple[str, int], seconds: float, context: ActionContext
) -> None:
    until = time.monotonic() + seconds
    connection.settimeout(0)
    refused = connection.connect_ex(where)
    while refused == errno.EINPROGRESS:
        go_on(context)
        if time.monotonic() > until:
            raise TimeoutError("no answer in time")
        waiting = select.poll()
        waiting.register(connection, select.POLLOUT)
        if waiting.poll(SLICE_SECONDS * 1000):
            refused = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused:
        raise OSError(refused, os.strerror(refused))


def _refuse_alert(error: OSError) -> None:
    """Raise where the two do not agree on how to secure it: no other attempt would."""
    ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ends):
        raise PermanentError(
            "tls_failed", f"the connection cannot be secured: {error.reason or error}"
        ) from error


class Stream(httpcore2.NetworkStream):
    """A connection whose every wait ends with the attempt."""

    def __init__(self, connection: socket.socket, context: ActionContext) -> None:
        connection.settimeout(SLICE_SECONDS)
        self._socket = connection
        self._context = context

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - see Dialer
        try:
            return self._in_slices(lambda: self._socket.recv(max_bytes))
        except OSError as error:
            _refuse_alert(error)
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - see Dialer
        left = memoryview(buffer)
        try:
            while left:
                left = left[self._in_slices(functools.partial(self._socket.send, left)) :]
        except OSError as error:
            _refuse_alert(error)
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - see Dialer
    ) -> httpcore2.NetworkStream:
        self._refuse_unchecked(ssl_context)
        try:
            wrapped = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            self.close()
            raise httpcore2.ConnectError(str(error)) from error
        # From now on the socket is the wrapped one's.
        secured = Stream(wrapped, self._context)
        try:
            secured._in_slices(wrapped.do_handshake)
        except BaseException as error:
            secured.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                message = f"the server's certificate is not trusted: {error.verify_message}"
                raise PermanentError("tls_failed", message) from error
            if isinstance(error, OSError):
                _refuse_alert(error)
                raise httpcore2.ConnectError(str(error)) from error
            raise
        return secured

    def _refuse_unchecked(self, tls: ssl.SSLContext) -> None:
        """Whom nobody vouches for may be anybody, wherever anybody can be in between."""
        peer = ipaddress.ip_address(self._socket.getpeername()[0])
        if tls.verify_mode == ssl.CERT_NONE and is_global(peer):
            self.close()
            raise PermanentError(
                "tls_failed",
                f"verify: false is for addresses that egress.allow names, and {peer} is on the"
                " public network; give the authority of its certificate as tls.ca",
            )

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        return self._socket if info == "socket" else None

    def _in_slices(self, act: Callable[[], Result]) -> Result:
        while True:
            go_on(self._context)
            try:
                return act()
            except TimeoutError:
                continue
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
