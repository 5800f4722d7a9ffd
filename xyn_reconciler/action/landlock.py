"""Landlock: this process, and all that it starts, may touch these paths and no others.

A thin layer over three system calls (Linux 5.13, ``Documentation/userspace-api/landlock.rst``),
by ctypes alone: :mod:`~xyn_reconciler.action.guard` uses it between ``fork`` and ``exec``, in
an interpreter without packages. It holds for root too, and nothing takes it off again. What
it does not cover (sockets by path, ``chmod``, signals before ABI 6) is
:mod:`~xyn_reconciler.action.seccomp`'s.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from typing import Final

LEAST_ABI: Final = 3
"""Linux 6.2: before it, a file that may not be written could be truncated."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 10, 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
WRITE: Final = (
    _READ_FILE
    | _READ_DIR
    | _WRITE_FILE
    | _TRUNCATE
    | _REMOVE_DIR
    | _REMOVE_FILE
    | _MAKE_DIR
    | _MAKE_REG
    | _MAKE_FIFO
    | _MAKE_SYM
    | _REFER
)
"""Everything below a folder but to execute, and to make sockets and devices."""

_FS_BY_ABI: Final = {3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET: Final = 0b11
"""Bind and connect, TCP."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets, and signals."""


def abi() -> int:
    """Give the version of Landlock that the kernel has; 0 where it has none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(_call(_CREATE_RULESET, None, 0, _VERSION), 0)


def restrict(read: Iterable[str], write: Iterable[str]) -> None:
    """Allow reading and executing below ``read``, all but executing below ``write``.

    And nothing else: no other path, no TCP, no signal to anybody outside. Paths that are not
    there are left out. Raises ``OSError``. The caller has set ``no_new_privs``.
    """
    version = abi()
    handled = _FS_BY_ABI[5 if version >= 5 else 3]  # noqa: PLR2004 - ABI 5 knows ioctl on devices
    rules = struct.pack(
        "=QQQ",
        handled,
        _NET if version >= 4 else 0,  # noqa: PLR2004 - ABI 4 knows TCP
        _SCOPES if version >= 6 else 0,  # noqa: PLR2004 - ABI 6 knows scopes
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8  # noqa: PLR2004 - as above
    ruleset = _checked(_call(_CREATE_RULESET, rules, size, 0), "landlock_create_ruleset")
    try:
        for paths, allowed in ((read, READ), (write, WRITE)):
            for path in paths:
                _allow(ruleset, path, allowed & handled)
        _checked(_call(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib is not loaded here
            allowed &= _OF_FILES
        rule = struct.pack("=Qi", allowed, place)
        _checked(_call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"landlock_add_rule {path}")
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), *map(_argument, arguments)))


def _argument(value: int | bytes | None) -> "ctypes.c_long | ctypes.c_char_p":
    return ctypes.c_long(value) if isinstance(value, int) else ctypes.c_char_p(value)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
