import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from tests.running import free_port
from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.node.port import check_port, is_busy
from xyn_reconciler.node.port import free_port as next_free_port

HAS_IPV6 = os.path.exists("/proc/net/if_inet6")  # noqa: PTH110 - a question, no path is kept


@contextlib.contextmanager
def listening(address: str, port: int, *, reuse: bool = False) -> Iterator[None]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address, port))
        listener.listen()
        yield


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104 - in a test
def test_a_port_is_busy_on_whichever_address_it_is_bound(address: str) -> None:
    if ":" in address and not HAS_IPV6:
        pytest.skip("no IPv6 here")
    port = free_port()

    with listening(address, port):
        assert is_busy(port)
    assert not is_busy(port)


def test_a_server_that_would_share_its_port_is_seen_too() -> None:
    port = free_port()

    with listening("127.0.0.1", port, reuse=True):
        assert is_busy(port)


def test_a_busy_port_is_refused_with_its_owner_and_a_free_one() -> None:
    port = free_port()

    with listening("127.0.0.1", port), pytest.raises(ConflictError) as refused:
        check_port(port)

    assert refused.value.details is not None
    free = refused.value.details["free_port"]
    assert f"port {port} is in use by " in refused.value.message
    assert f"(pid {os.getpid()})" in refused.value.message
    assert f"--port {free}" in refused.value.message
    assert not is_busy(free)


def test_the_next_free_port_is_not_the_busy_one() -> None:
    port = free_port()

    with listening("127.0.0.1", port):
        assert next_free_port(port) > port
