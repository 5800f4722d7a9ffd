"""Bytes by their sha256: what runs leave behind that is too big for a row.

``<root>/ab/<sha256>``, written beside and renamed, so a name that exists
holds exactly its bytes, also after a power cut, and equal bytes are kept once.
The rows that say what they are live in ``tables.py``; whoever writes such a
row puts the bytes first.

The one exception are logs, written several hundred a second: a power cut may
take the newest, until :meth:`ArtifactStore.make_durable`, which the committer
asks for before it records the runs that they are of.
"""

import ctypes
import hashlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, ClassVar

from xyn_reconciler.model.errors import InvalidError, NotFoundError, XynError
from xyn_reconciler.store.artifact_room import ArtifactRoom
from xyn_reconciler.store.durable import sync_folder

_CHUNK = 1024 * 1024
_STALE_SECONDS = 3600.0
_ONE_BY_ONE = 4
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TooLargeError(InvalidError):
    """More bytes than the limit allows; nothing of them is kept."""

    code = "too_large"
    http_status = 413


class DamagedError(XynError):
    """A file whose bytes are no longer those of its name."""

    code: ClassVar[str] = "artifact_damaged"


class ArtifactStore:
    """A folder of files named by their content; safe to share among threads and processes."""

    def __init__(self, root: Path, *, room: ArtifactRoom | None = None) -> None:
        """Without a ``room`` it keeps as many bytes as the disk takes.

        Logs are kept in any case: a run is never without the story of its end.
        """
        self.root = root
        self._room = room
        self._unfinished = root / "tmp"

    def prepare(self) -> None:
        """Make the folder, and remove what killed writers left more than an hour ago."""
        self._unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for left in self._unfinished.iterdir():
            try:
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()
            except FileNotFoundError:
                continue

    def put(
        self, content: bytes | BinaryIO, *, limit: int, durable: bool = True
    ) -> tuple[str, int]:
        """Keep bytes and give their sha256 (hex) and length.

        A stream is read to its end, never into memory as a whole. Raises
        :class:`TooLargeError` as soon as it holds more than ``limit`` bytes, and
        ``QuotaExceededError`` where it is more than there is room for.
        Without ``durable`` a power cut may take them back.
        """
        if not durable and isinstance(content, bytes) and len(content) <= limit:
            if self._room is not None:
                self._room.note(len(content))
            return self._put_quickly(content), len(content)
        stream = BytesIO(content) if isinstance(content, bytes) else content
        return self._put_durably(stream, limit)

    def _put_durably(self, stream: BinaryIO, limit: int) -> tuple[str, int]:
        self._unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._unfinished)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                digest, length = _copy(stream, file, limit)
                if self._room is not None and not self.exists(digest):
                    self._room.take(length)
                file.flush()
                os.fsync(file.fileno())
            self._keep(unfinished, self.path(digest))
        finally:
            unfinished.unlink(missing_ok=True)
        return digest, length

    def make_durable(self, digests: Iterable[str]) -> None:
        """Return when these bytes survive a power cut; those that are not there are passed over.

        A few files are made so one by one, many by writing out the whole file
        system once: it costs about as much as a few files.
        """
        present = [path for path in map(self.path, set(digests)) if path.is_file()]
        if len(present) > _ONE_BY_ONE:
            _sync_all(self.root)
            return
        for kept in present:
            with kept.open("rb") as file:
                os.fsync(file.fileno())
            for folder in (kept.parent, self.root):
                sync_folder(folder)

    def _put_quickly(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        kept = self.path(digest)
        unfinished = self._unfinished / f"{digest}.{os.getpid()}.{threading.get_ident()}"
        try:
            _write(unfinished, content)
        except FileNotFoundError:
            self._unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(unfinished, content)
        try:
            unfinished.rename(kept)
        except FileNotFoundError:
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            unfinished.rename(kept)
        return digest

    def open(self, sha256: str, *, verify: bool = False) -> BinaryIO:
        """Open the bytes for reading; the caller closes.

        ``verify`` reads them once beforehand. Raises ``NotFoundError``, and
        :class:`DamagedError` where they are not what their name says.
        """
        try:
            file = self.path(sha256).open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(f"no artifact has the content {sha256}") from error
        if verify:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                file.close()
                raise DamagedError(
                    f"the artifact {sha256} was changed on disk; restore it from a copy"
                )
            file.seek(0)
        return file

    def exists(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def remove(self, sha256: str) -> None:
        """Take bytes out for good; no row may name them any more. Harmless without them.

        A put of the same bytes at the same moment may lose them: whoever forgets
        content means it.
        """
        kept = self.path(sha256)
        try:
            kept.unlink()
        except FileNotFoundError:
            return
        sync_folder(kept.parent)

    def path(self, sha256: str) -> Path:
        """Give the file of a digest; anything but 64 lower-case hex digits is no digest."""
        if not _DIGEST.fullmatch(sha256):
            raise NotFoundError("an artifact is named by 64 lower-case hex digits")
        return self.root / sha256[:2] / sha256

    def _keep(self, unfinished: Path, kept: Path) -> None:
        if not kept.parent.is_dir():
            kept.parent.mkdir(mode=0o700, exist_ok=True)
        # Also where it was there: whoever made it may not have come to this line yet.
        sync_folder(self.root)
        if not kept.exists():
            unfinished.replace(kept)
        sync_folder(kept.parent)


def _write(path: Path, content: bytes) -> None:
    # Below pathlib, which costs more than the file does.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _sync_all(folder: Path) -> None:
    """Write out the file system that a folder is on (Linux; elsewhere every file system)."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


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
