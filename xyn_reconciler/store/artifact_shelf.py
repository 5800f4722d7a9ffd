"""Where the bytes of artifacts lie: in the home's folder, or in a bucket (:mod:`.artifact_s3`).

A name is the sha256 of its bytes (64 lower-case hex digits), and exists whole or
not at all, also after a power cut. :mod:`.artifacts` gives names, keeps limits and
verifies; a shelf only keeps and gives.
"""

import ctypes
import os
import re
import threading
from collections.abc import Collection, Hashable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from xyn_reconciler.model.errors import NotFoundError, UnavailableError
from xyn_reconciler.store.durable import sync_folder

_ONE_BY_ONE: Final = 4
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class ShelfAwayError(UnavailableError):
    """The place where artifacts are kept does not answer."""


class Shelf(Protocol):
    """Safe to share among threads; any call may raise :class:`ShelfAwayError`."""

    def keep(self, unfinished: Path, sha256: str) -> None:
        """Keep a file's bytes, which are of that name, durably; the file may go."""
        ...

    def keep_quickly(self, content: bytes, sha256: str) -> None:
        """Keep bytes; those in a folder are durable no sooner than it is made so."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Open for reading, with ``seek``; ``NotFoundError`` where there is none."""
        ...

    def exists(self, sha256: str) -> bool: ...

    def state(self, sha256: str) -> Hashable:
        """What is another as soon as the bytes were written anew; ``None`` without them."""
        ...

    def remove(self, sha256: str) -> None:
        """Take bytes out for good; harmless without them."""
        ...

    def contents(self) -> Iterator[tuple[str, int]]:
        """Give the name and length of everything that is kept."""
        ...


def is_digest(name: str) -> bool:
    return _DIGEST.fullmatch(name) is not None


class FolderShelf:
    """``<root>/ab/<sha256>``, written beside, in ``tmp``, and renamed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._unfinished = root / "tmp"

    def keep(self, unfinished: Path, sha256: str) -> None:
        kept = self.path(sha256)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        # Also where it was there: whoever made it may not have come to this line yet.
        sync_folder(self.root)
        # And what is there may be damaged: whole bytes come in its place.
        unfinished.replace(kept)
        sync_folder(kept.parent)

    def keep_quickly(self, content: bytes, sha256: str) -> None:
        kept = self.path(sha256)
        unfinished = self._unfinished / f"{sha256}.{os.getpid()}.{threading.get_ident()}"
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

    def make_durable(self, digests: Collection[str]) -> None:
        """Return when these survive a power cut; those that are not there are passed over.

        Few files are synced one by one; for many the whole file system is: it costs no more.
        """
        present = [path for path in map(self.path, digests) if path.is_file()]
        if len(present) > _ONE_BY_ONE:
            _sync_all(self.root)
            return
        for kept in present:
            with kept.open("rb") as file:
                os.fsync(file.fileno())
            for folder in (kept.parent, self.root):
                sync_folder(folder)

    def open(self, sha256: str) -> BinaryIO:
        try:
            return self.path(sha256).open("rb")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NotFoundError(f"the bytes {sha256} are not here") from error

    def exists(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def state(self, sha256: str) -> Hashable:
        try:
            found = self.path(sha256).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def remove(self, sha256: str) -> None:
        kept = self.path(sha256)
        try:
            kept.unlink()
        except FileNotFoundError:
            return
        sync_folder(kept.parent)

    def contents(self) -> Iterator[tuple[str, int]]:
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for entry in os.scandir(folder):
                if is_digest(entry.name):
                    yield entry.name, entry.stat().st_size

    def path(self, sha256: str) -> Path:
        """Give the file of a digest; ``NotFoundError`` for what is none."""
        if not is_digest(sha256):
            raise NotFoundError("an artifact's bytes are named by 64 lower-case hex digits")
        return self.root / sha256[:2] / sha256


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
