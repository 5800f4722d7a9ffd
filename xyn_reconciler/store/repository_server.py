"""Serve the state repository over HTTP: git's own programs behind three paths.

``git upload-pack`` and ``git receive-pack --stateless-rpc`` do the work, so a
push meets the same hook over HTTP, a file path and ssh. (dulwich's server was
measured to answer ``ok`` to pushes that it drops.) Knows no web framework: the
web process hands a :class:`GitRequest` in and streams the :class:`GitResponse`.

What a push must never meet is a process killed in the middle of moving a ref,
since the lock file that it leaves refuses every later push: a child is asked to
end (git then takes its locks away) and killed only when it does not.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Protocol
from urllib.parse import parse_qs

from xyn_reconciler.store import git_command
from xyn_reconciler.store.git import PUSH_BYTES, Repository

CHUNK = 64 * 1024

ASK_BYTES = 8 * 1024 * 1024
"""Largest body of a fetch: what the client wants and has."""

SERVICE_SECONDS = 600.0
"""A fetch or push that takes longer is ended."""

CHILDREN = 8
"""git programs at a time; further requests wait for their turn."""

TURN_SECONDS = 60.0
_GRACE_SECONDS = 10.0

_SERVICES = {"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}
_NEVER_CACHED = (
    ("Cache-Control", "no-cache, max-age=0, must-revalidate"),
    ("Expires", "Fri, 01 Jan 1980 00:00:00 GMT"),
    ("Pragma", "no-cache"),
)


class Body(Protocol):
    """What a request's body has to offer; ``wsgi.input`` does."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class GitRequest:
    """One HTTP request below ``/git/state.git``."""

    method: str
    path: str
    """What follows ``/git/state.git``: ``/info/refs``."""
    query: str
    headers: Mapping[str, str]
    """Names in any case; Git-Protocol, Content-Type and Content-Encoding are looked at."""
    body: Body
    ticket: str | None = None
    """One-time ticket that stands for the principal; the hook hands it to the node."""
    hides_records: bool = False
    """Whether who asks may not read records: then nothing below ``refs/xyn`` is served."""


@dataclass(slots=True)
class GitResponse:
    """Call ``close()`` (a WSGI server does) also when the body was not read to its end."""

    status: int
    headers: list[tuple[str, str]]
    body: "Iterator[bytes] | _Output" = field(default_factory=lambda: iter(()))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        """End the git program, if one still runs."""
        if isinstance(self.body, _Output):
            self.body.close()


class GitHttp:
    """The smart HTTP protocol of one repository. Safe from any thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._turns = threading.BoundedSemaphore(CHILDREN)

    def handle(self, request: GitRequest) -> GitResponse:
        """Answer one request; never raises for what a client can do wrong."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        service = request.path.removeprefix("/")
        if service == "info/refs":
            return self._advertise(request, headers)
        if service not in _SERVICES:
            # The files of the dumb protocol would bypass hidden refs and quarantine.
            return _refuse(404, "only the smart HTTP protocol of git is served here")
        if request.method != "POST":
            return _refuse(405, "this takes POST", ("Allow", "POST"))
        if headers.get("content-type") != f"application/x-{service}-request":
            return _refuse(415, f"the body has to be application/x-{service}-request")
        return self._serve(service, request, headers)

    def _advertise(self, request: GitRequest, headers: Mapping[str, str]) -> GitResponse:
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "this takes GET", ("Allow", "GET, HEAD"))
        service = parse_qs(request.query).get("service", [""])[0]
        if service not in _SERVICES:
            return _refuse(403, "only the smart HTTP protocol of git is served here")
        env = self._environment(service, request, headers)
        command = self._command(service, request, "--http-backend-info-refs")
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env,
            timeout=SERVICE_SECONDS,
            check=False,
        )
        if done.returncode:
            return _refuse(500, "git could not list the refs of this repository")
        announced = b"" if env.get("GIT_PROTOCOL") else _packet(f"# service={service}\n") + b"0000"
        kind = ("Content-Type", f"application/x-{service}-advertisement")
        return GitResponse(200, [kind, *_NEVER_CACHED], iter([announced + done.stdout]))

    def _serve(self, service: str, request: GitRequest, headers: Mapping[str, str]) -> GitResponse:
        """Take the whole body first: a slow or vanishing sender never holds a git program."""
        limit = PUSH_BYTES + ASK_BYTES if service == "git-receive-pack" else ASK_BYTES
        spooled = tempfile.TemporaryFile()  # noqa: SIM115 - the child's standard input
        with contextlib.ExitStack() as unless_started:
            unless_started.callback(spooled.close)
            try:
                spool(request.body, spooled, headers.get("content-encoding", "identity"), limit)
            except BodyTooLargeError:
                return _refuse(413, f"the body is over {limit:,} bytes")
            except (zlib.error, ValueError):
                return _refuse(400, "the body cannot be decompressed")
            if not self._turns.acquire(timeout=TURN_SECONDS):
                return _refuse(503, "too many pushes and fetches at once", ("Retry-After", "5"))
            unless_started.callback(self._turns.release)
            env = self._environment(service, request, headers)
            child = subprocess.Popen(
                self._command(service, request),
                stdin=spooled,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
            )
            unless_started.pop_all()
        spooled.close()
        pushed = self._repository if service == "git-receive-pack" else None
        output = _Output(child, pushed, self._turns)
        kind = ("Content-Type", f"application/x-{service}-result")
        return GitResponse(200, [kind, *_NEVER_CACHED], output)

    def _command(self, service: str, request: GitRequest, *more: str) -> list[str]:
        hidden = ["-c", "transfer.hideRefs=refs/xyn"] if request.hides_records else []
        program, path = git_command.git_program(), str(self._repository.path)
        return [program, *hidden, _SERVICES[service], "--stateless-rpc", *more, path]

    def _environment(
        self, service: str, request: GitRequest, headers: Mapping[str, str]
    ) -> dict[str, str]:
        more = {}
        protocol = headers.get("git-protocol", "")
        # A push speaks version 0 whatever the client would like.
        # In version 2 git serves any commit whose name one knows, hidden or not.
        asks_version_2 = "version=2" in protocol.split(":") and not request.hides_records
        if service == "git-upload-pack" and asks_version_2:
            more["GIT_PROTOCOL"] = "version=2"
        if request.ticket is not None and service == "git-receive-pack":
            more["XYN_TICKET"] = request.ticket
        return git_command.environment(self._repository.path, more)


class BodyTooLargeError(Exception):
    """The body is over its limit, packed or unpacked."""


def spool(body: Body, target: IO[bytes], encoding: str, limit: int) -> None:
    """Copy a body into a file, unpacked, and rewind the file; memory stays at some chunks.

    ``encoding`` is the Content-Encoding: ``identity``, ``gzip`` or ``x-gzip``.
    Raises :class:`BodyTooLargeError`, ``ValueError`` or ``zlib.error``.
    """
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise ValueError(encoding)
    unpack = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    written = 0
    while chunk := body.read(CHUNK):
        waiting = chunk
        while waiting:
            if unpack is None:
                part, waiting = waiting, b""
            else:
                part = unpack.decompress(waiting, CHUNK)
                waiting = unpack.unconsumed_tail
            written += len(part)
            if written > limit:
                raise BodyTooLargeError
            target.write(part)
    if unpack is not None and not unpack.eof:
        raise ValueError("the compressed body ends too early")
    target.flush()
    target.seek(0)


class _Output:
    """The child's output as it comes; of a push, the verdict only once it is durable."""

    def __init__(
        self,
        child: "subprocess.Popen[bytes]",
        pushed: Repository | None,
        turns: threading.BoundedSemaphore,
    ) -> None:
        self._child = child
        self._pushed = pushed
        self._turns = turns
        self._closed = threading.Lock()
        self._timer = threading.Timer(SERVICE_SECONDS, self._end)
        self._timer.daemon = True
        self._timer.start()
        self._parts = self._fetched() if pushed is None else self._after_sync(pushed)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the child and give its turn to the next; more than one call is fine."""
        if not self._closed.acquire(blocking=False):
            return
        self._timer.cancel()
        try:
            self._end()
            if self._child.stdout is not None:
                self._child.stdout.close()
        finally:
            self._turns.release()

    def _end(self) -> None:
        if self._child.poll() is not None:
            return
        for number, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
                return

    def _fetched(self) -> Iterator[bytes]:
        stream = self._stream()
        # Not stream.read(): it would wait for a whole chunk.
        while chunk := os.read(stream.fileno(), CHUNK):
            yield chunk
        self._child.wait()

    def _after_sync(self, repository: Repository) -> Iterator[bytes]:
        """Pass progress on at once, the report once folders are synced (git syncs none)."""
        stream = self._stream()
        held = []
        while (packet := _read_packet(stream)) is not None:
            if packet[4:5] == _PROGRESS:
                yield packet
            else:
                held.append(packet)
        self._child.wait()
        repository.sync_folders()
        yield b"".join(held)

    def _stream(self) -> IO[bytes]:
        if self._child.stdout is None:
            raise RuntimeError("the child was started without a pipe")
        return self._child.stdout


_PROGRESS = b"\x02"
"""Side band 2: what git prints after ``remote:``."""


def _read_packet(stream: IO[bytes]) -> bytes | None:
    """One packet with its length in front; None at the end (a torn one is the end too)."""
    head = stream.read(4)
    if len(head) < 4:  # noqa: PLR2004 - four digits of length
        return None
    length = int(head, 16)
    if length <= 4:  # noqa: PLR2004 - flush and its kin have no content
        return head
    content = stream.read(length - 4)
    return head + content if len(content) == length - 4 else None


def _packet(text: str) -> bytes:
    return f"{len(text) + 4:04x}{text}".encode()


def _refuse(status: int, sentence: str, *headers: tuple[str, str]) -> GitResponse:
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return GitResponse(status, [kind, *headers, *_NEVER_CACHED], iter([f"{sentence}\n".encode()]))
