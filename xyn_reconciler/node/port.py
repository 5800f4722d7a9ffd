"""Find out who has a port before it is asked for.

The trap: with ``SO_REUSEPORT`` a second server binds a taken port without an
error and the two share its connections, so an answer is looked for first.
"""

import contextlib
import errno
import socket
from typing import Final

import psutil

from xyn_reconciler.model.errors import ConflictError

_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})
_TRIES: Final = 200


def check_port(port: int) -> None:
    """Raise ``ConflictError`` that names the owner of a busy port, and a free one."""
    if is_busy(port):
        message = (
            f"port {port} is in use{_owner(port)}; "
            f"port {free_port(port + 1)} is free: --port {free_port(port + 1)} (or XYN_PORT)"
        )
        raise ConflictError(message, details={"port": port, "free_port": free_port(port + 1)})


def is_busy(port: int) -> bool:
    """Whether anything listens on the port, on either loopback or on every address."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(0.5)
            if probe.connect_ex((address, port)) == 0:
                return True
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except PermissionError:
            return True
        except OSError as error:
            if error.errno in _TAKEN:
                return True
    return False


def free_port(start: int) -> int:
    """Give the first port from ``start`` on that nothing has."""
    for port in range(start, min(start + _TRIES, 65536)):
        if not is_busy(port):
            return port
    raise ConflictError(f"no free port between {start} and {start + _TRIES}")


def _owner(port: int) -> str:
    """Name the process that listens, where this user may know it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid is not None
            ):
                process = psutil.Process(connection.pid)
                return f" by {process.name()} (pid {process.pid})"
    return ""
