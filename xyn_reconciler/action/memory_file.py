"""Lend a program a file that is on no disk: a worker that dies leaves no key that it read."""

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def memory_file(content: str) -> Iterator[str]:
    """Give a path that this process and those that it starts can read; on Linux in memory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lent")
        os.fchmod(descriptor, 0o600)  # ssh reads no key that others could.
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(content)
            file.flush()
            yield f"/proc/{os.getpid()}/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace") as file:  # 0600
        file.write(content)
        file.flush()
        yield file.name
