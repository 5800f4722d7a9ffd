"""The hooks of a push and the node's end of them.

git runs ``pre-receive`` with the pushed objects under quarantine; the hook is a
tiny client that hands them to the running node over a unix socket, shows each
line that the node says on the pusher's terminal, and ends with its verdict. So
a push is judged in the process that has everything loaded: a hook that imports
the application costs five to twenty times the push (measured). No node, no
push: nothing else could judge it.

The wire: one line of JSON from the hook, then lines of JSON from the node,
``{"say": "..."}`` any number of times and at last ``{"accept": true}``.
"""

import contextlib
import json
import os
import shlex
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from xyn_reconciler.model.errors import ConflictError, InvalidError, UnavailableError, XynError
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.ref_rules import RefUpdate
from xyn_reconciler.store.socket_folder import socket_folder

HOOKS = ("pre-receive", "post-receive")
SOCKET_NAME = "hook.sock"

REQUEST_BYTES = 8 * 1024 * 1024
"""Longest request line: some 50,000 refs in one push."""

HOOK_SECONDS = 300
"""The hook gives up when the node says nothing for so long."""

PUSHES_AT_ONCE = 32
_ACCEPT_PAUSE = 0.1

_NOTHING = "0" * 40


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What one hook of one push asks."""

    kind: str
    """``pre-receive`` (nothing has moved, a no refuses it all) or ``post-receive`` (it has)."""
    updates: tuple[RefUpdate, ...]
    environment: Mapping[str, str]
    """git's quarantine variables: give them to :meth:`Repository.quarantined`."""
    options: tuple[str, ...]
    """``git push -o``."""
    ticket: str | None
    """Stands for the principal of a push over HTTP; None over the file path and ssh."""


Handler = Callable[[PushRequest, Callable[[str], None]], bool]
"""``handler(request, say)``: ``say`` shows a line to the pusher; True accepts."""


def hook_socket(run_folder: Path) -> Path:
    """Where the socket of a home lies: in ``run_folder``, or where a short path can be had."""
    return socket_folder(run_folder, SOCKET_NAME) / SOCKET_NAME


def install_hooks(repository: Repository, socket_path: Path) -> None:
    """Write both hooks afresh; at every start, since interpreter and home may have moved."""
    folder = repository.path / "hooks"
    folder.mkdir(exist_ok=True)
    client = folder / "xyn_push_hook.py"
    _replace(client, _CLIENT.replace("@SOCKET@", repr(str(socket_path))), 0o644)
    for kind in HOOKS:
        words = [sys.executable, "-I", "-S", str(client), kind]
        script = _SCRIPT.replace("@PYTHON@", shlex.quote(sys.executable))
        _replace(folder / kind, script.replace("@COMMAND@", shlex.join(words)), 0o755)


class HookServer:
    """Answers the hooks, each connection in a thread of its own; only to this user's processes."""

    def __init__(self, socket_path: Path, handler: Handler, *, repository: Repository) -> None:
        self._path = socket_path
        self._handler = handler
        self._repository = repository
        self._slots = threading.BoundedSemaphore(PUSHES_AT_ONCE)
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def start(self) -> None:
        """Listen; :class:`ConflictError` where another node answers already."""
        if _answers(self._path):
            raise ConflictError(f"another node already answers on {self._path}")
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen(PUSHES_AT_ONCE)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._thread = threading.Thread(
            target=self._accept, args=(listener,), name="push-hooks", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Take no more pushes; those under way are answered by their own threads."""
        if self._listener is None or self._thread is None:
            return
        self._closing.set()
        # Closing alone does not wake a thread that waits in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self._listener = None
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            self._slots.acquire()
            try:
                connection, _ = listener.accept()
            except OSError:
                self._slots.release()
                # Out of descriptors, say: a pause, and the next push is taken again.
                if self._closing.wait(_ACCEPT_PAUSE):
                    return
                continue
            threading.Thread(
                target=self._serve, args=(connection,), name="push-hook", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as lines:
                if _peer_uid(connection) == os.geteuid():
                    connection.settimeout(HOOK_SECONDS)
                    self._answer(connection, lines.readline(REQUEST_BYTES))
        except OSError:
            # The pusher went away; receive-pack takes a hook that is gone for a no.
            return
        finally:
            self._slots.release()

    def _answer(self, connection: socket.socket, line: bytes) -> None:
        def say(line: str) -> None:
            send({"say": line})

        def send(message: dict[str, Any]) -> None:
            connection.sendall(json.dumps(message).encode() + b"\n")

        try:
            request = parse_request(line)
            if request.kind == "post-receive":
                # Before anything builds on the new revision: a power cut must not unmake it.
                self._repository.sync_folders()
            accepted = self._handler(request, say)
        except OSError:
            raise
        except Exception as error:
            known = error.message if isinstance(error, XynError) else "an error of the node"
            say(f"xyn: the push could not be checked: {known}")
            send({"accept": False})
            raise
        send({"accept": accepted})


def parse_request(line: bytes) -> PushRequest:
    """Read the hook's line; :class:`InvalidError` when it is not one."""
    try:
        read = json.loads(line)
        updates = tuple(
            RefUpdate(ref, _object(old), _object(new)) for old, new, ref in read["updates"]
        )
        request = PushRequest(
            kind=str(read["kind"]),
            updates=updates,
            environment={str(key): str(value) for key, value in read["environment"].items()},
            options=tuple(map(str, read["options"])),
            ticket=read["ticket"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError("the push hook's request cannot be read") from error
    if request.kind not in HOOKS:
        raise InvalidError(f"there is no hook {request.kind!r}")
    return request


def _object(name: str) -> str | None:
    return None if name == _NOTHING else name


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _peer_uid(connection: socket.socket) -> int:
    """Whose process is at the other end, as the kernel says."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", credentials)[1])
    # Elsewhere the 0700 folder around the socket is the guard.
    return os.geteuid()


def _replace(path: Path, text: str, mode: int) -> None:
    """Write beside and rename: a push may be running the old one just now."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8", errors="surrogateescape")
        fresh.chmod(mode)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UnavailableError(f"the hook {path} cannot be written: {error.strerror}") from error


_SCRIPT = """\
#!/bin/sh
# Written by `xynctl up` at every start; changes here are lost.
if [ ! -x @PYTHON@ ]; then
    echo "xyn: the program that served this repository is gone; start it with: xynctl up" >&2
    exit 1
fi
exec @COMMAND@
"""

_CLIENT = '''\
"""Hands a push to the running node and ends with its verdict. Written by `xynctl up`."""

import json
import os
import socket
import sys

SOCKET = @SOCKET@
ABSENT = "xyn: the node of this repository is not running; start it and push again: xynctl up"
LOST = "xyn: the node stopped while it looked at this push; start it and push again: xynctl up"
GIT = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY")


def show(line):
    text = "".join(c if c.isprintable() else "?" for c in line.replace("\\t", "    "))
    sys.stderr.buffer.write(text.encode("utf-8", "replace") + b"\\n")
    sys.stderr.buffer.flush()


def options():
    count = os.environ.get("GIT_PUSH_OPTION_COUNT", "0")
    return [os.environ.get("GIT_PUSH_OPTION_%d" % n, "") for n in range(min(int(count), 64))]


def main(kind):
    # Not splitlines(): the name of a ref may hold U+2028.
    lines = sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\\n").split("\\n")
    request = {
        "kind": kind,
        "updates": [line.split(" ", 2) for line in lines],
        "environment": {n: os.path.abspath(os.environ[n]) for n in GIT if n in os.environ},
        "options": options(),
        "ticket": os.environ.get("XYN_TICKET"),
    }
    node = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    node.settimeout(@SECONDS@)
    try:
        node.connect(SOCKET)
    except OSError:
        show(ABSENT)
        return 1
    try:
        node.sendall(json.dumps(request).encode() + b"\\n")
        for line in node.makefile("rb"):
            answer = json.loads(line)
            if "say" in answer:
                show(answer["say"])
            elif "accept" in answer:
                return 0 if answer["accept"] is True else 1
    except (OSError, ValueError):
        pass
    show(LOST)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
'''.replace("@SECONDS@", str(HOOK_SECONDS))
