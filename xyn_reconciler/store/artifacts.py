"""Bytes by their sha256: what runs leave behind that is too big for a row.

Equal bytes are kept once, on a shelf (:mod:`.artifact_shelf`): the home's folder,
or a bucket. The rows that say what they are live in ``tables.py``; whoever writes
such a row puts the bytes first.

The one exception to durability are logs, written several hundred a second: a power
cut may take the newest, until :meth:`ArtifactStore.make_durable`, which the
committer asks for before it records the runs that they are of. A bucket that is away
takes none: they are in the home's folder first.
"""

import contextlib
import errno
import hashlib
import logging
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import BinaryIO, ClassVar, Final, Protocol

from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import InvalidError, NotFoundError, UnavailableError, XynError
from xyn_reconciler.store.artifact_shelf import FolderShelf, Shelf, ShelfAwayError

_log = logging.getLogger(__name__)

_CHUNK: Final = 1024 * 1024
_STALE_SECONDS: Final = 3600.0
_TRUSTED_SECONDS: Final = 60.0
_TRUSTED: Final = 256


class TooLargeError(InvalidError):
    """More bytes than the limit allows; nothing of them is kept."""

    code = "too_large"
    http_status = 413


class DiskFullError(UnavailableError):
    """The disk below the store has no room, whatever the quota says; nothing is kept."""

    code = "disk_full"
    http_status = 507


class DamagedError(XynError):
    """A file whose bytes are no longer those of its name."""

    code: ClassVar[str] = "artifact_damaged"


class Room(Protocol):
    """How much may be kept; ``artifact_room.ArtifactRoom`` is one."""

    def take(self, sha256: str, length: int) -> None:
        """Return once these bytes are counted; raises where there is no room for them."""
        ...


Check = Callable[[str, int], None]
"""Is told sha256 and length before anything is kept, and raises where they are not right."""


class ArtifactStore:
    """What is kept, named by its content; safe to share among threads and processes."""

    def __init__(
        self,
        root: Path,
        *,
        room: Room | None = None,
        elsewhere: Callable[[], Shelf | None] | None = None,
    ) -> None:
        """Without a ``room`` it keeps as many bytes as the disk takes.

        ``elsewhere`` is asked at each use for another shelf than the folder ``root``.
        """
        self.root = root
        self._room = room
        self._folder = FolderShelf(root)
        self._elsewhere = elsewhere
        self._unfinished = root / "tmp"
        self._verified = _Verified()

    @property
    def shelf(self) -> Shelf:
        """Where bytes are put; what is in the home's folder from before stays there."""
        other = None if self._elsewhere is None else self._elsewhere()
        return self._folder if other is None else other

    def prepare(self) -> None:
        """Make the folder, and remove what killed writers left more than an hour ago."""
        self._unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for left in self._unfinished.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()

    def put(
        self, content: bytes | BinaryIO, *, limit: int, check: Check | None = None
    ) -> tuple[str, int]:
        """Keep bytes and give their sha256 (hex) and length.

        A stream is read to its end, never into memory as a whole. Raises
        :class:`TooLargeError` as soon as it holds more than ``limit`` bytes,
        ``QuotaExceededError`` where it is more than there is room for,
        :class:`DiskFullError`, and what ``check`` raises; then nothing is kept.
        """
        stream = BytesIO(content) if isinstance(content, bytes) else content
        with _full_told(), self._staged(stream, limit) as (unfinished, digest, length):
            if check is not None:
                check(digest, length)
            if self._room is not None:
                # Before it is looked whether they are there: from here on nobody takes them out.
                self._room.take(digest, length)
                crash_point("artifact.claimed")
            self.shelf.keep(unfinished, digest)
            crash_point("artifact.kept")
        return digest, length

    def keep_log(self, content: bytes, *, last: bool) -> tuple[str, int]:
        """Keep the log of a run, whatever room there is, and give its sha256 and length.

        A run is never without the story of its end. In the home's folder it stays until the
        ``last`` one of its run is in the bucket: what a run said before it waited can be
        read when it goes on, also where the bucket is away.
        """
        digest = hashlib.sha256(content).hexdigest()
        self._folder.keep_quickly(content, digest)
        try:
            shelf = self.shelf
            if shelf is not self._folder:
                shelf.keep_quickly(content, digest)
                if last:
                    self._folder.remove(digest)
        except ShelfAwayError as error:
            _log.warning("the log %s stays in the home's folder: %s", digest, error.message)
        return digest, len(content)

    @contextlib.contextmanager
    def _staged(self, stream: BinaryIO, limit: int) -> Iterator[tuple[Path, str, int]]:
        """Give the whole of a stream as a file that is on the disk, with sha256 and length."""
        self._unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._unfinished)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                digest, length = _copy(stream, file, limit)
                file.flush()
                os.fsync(file.fileno())
            yield unfinished, digest, length
        finally:
            unfinished.unlink(missing_ok=True)

    def make_durable(self, digests: Iterable[str]) -> None:
        """Return when these survive a power cut; those that are not there are passed over."""
        # What a bucket acknowledged is durable.
        self._folder.make_durable(set(digests))

    def open(self, sha256: str, *, verify: bool = False) -> BinaryIO:
        """Open the bytes for reading, with ``seek``; the caller closes.

        ``verify`` reads them once beforehand, so that not one wrong byte is given;
        what was verified within the last minute and not written since is not read
        again: parts of it are asked for one after another. Raises ``NotFoundError``,
        and :class:`DamagedError` where they are not what their name says.
        """
        try:
            return self._opened(self._folder, sha256, verify=verify)
        except NotFoundError:
            if self.shelf is self._folder:
                raise
        return self._opened(self.shelf, sha256, verify=verify)

    def _opened(self, shelf: Shelf, sha256: str, *, verify: bool) -> BinaryIO:
        state = shelf.state(sha256) if verify else None
        file = shelf.open(sha256)
        if verify and not self._verified.has(sha256, state):
            try:
                _verify(file, sha256)
                file.seek(0)
            except BaseException:
                file.close()
                raise
            self._verified.note(sha256, state)
        return file

    def verify(self, sha256: str) -> None:
        """Read the bytes now, whenever that was done last; raises as :meth:`open` does."""
        with self.open(sha256) as file:
            _verify(file, sha256)

    def exists(self, sha256: str) -> bool:
        return self._folder.exists(sha256) or self.shelf.exists(sha256)

    def contents(self) -> Iterator[tuple[str, int]]:
        """Give the name and length of everything that is kept; some may come twice."""
        for shelf in self._shelves():
            yield from shelf.contents()

    def remove(self, sha256: str) -> None:
        """Take bytes out for good; no row may name them any more. Harmless without them.

        A put of the same bytes at the same moment may lose them: whoever forgets
        content means it. (What merely grew old is taken out by ``artifact_claims``.)
        """
        for shelf in self._shelves():
            shelf.remove(sha256)

    def _shelves(self) -> tuple[Shelf, ...]:
        shelf = self.shelf
        return (shelf,) if shelf is self._folder else (self._folder, shelf)

    def path(self, sha256: str) -> Path:
        """Give the file of a digest in the home's folder."""
        return self._folder.path(sha256)


@contextlib.contextmanager
def _full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = "the disk of the artifact store is full: make room there (xynctl doctor)"
        raise DiskFullError(message) from error


class _Verified:
    """What was found whole lately, by the state that it was in."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until: OrderedDict[tuple[str, Hashable], float] = OrderedDict()

    def has(self, sha256: str, state: Hashable) -> bool:
        with self._lock:
            return self._until.get((sha256, state), 0.0) > time.monotonic()

    def note(self, sha256: str, state: Hashable) -> None:
        if state is None:
            return
        with self._lock:
            self._until[sha256, state] = time.monotonic() + _TRUSTED_SECONDS
            if len(self._until) > _TRUSTED:
                self._until.popitem(last=False)


def _verify(file: BinaryIO, sha256: str) -> None:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise DamagedError(f"the artifact {sha256} was changed on disk; restore it from a copy")


def _copy(stream: BinaryIO, file: BinaryIO, limit: int) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    for chunk in _chunks(stream, limit + 1):
        length += len(chunk)
        if length > limit:
            raise TooLargeError(
                f"an artifact holds at most {limit} bytes here, and this one has more",
                details={"limit": limit},
            )
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest(), length


def _chunks(stream: BinaryIO, most: int) -> Iterator[bytes]:
    while chunk := stream.read(min(_CHUNK, most)):
        yield chunk
