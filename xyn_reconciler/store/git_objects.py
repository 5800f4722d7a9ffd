"""Read objects of a bare repository, and write new ones as one durable pack.

dulwich supplies the formats (deltas, pack index, objects); the files are held
here, because its own store keeps four descriptors for each pack ever looked at
and inflates an object to learn its size. A node writes a pack with every batch
of records, so a few hundred packs between two runs of maintenance are usual:
here an index is a few KiB of memory, and at most :data:`MAPPED_PACKS` files are
mapped. Nothing needs closing; every method may be called from any thread.

Objects come from pushes, so nothing is inflated before its size is known to
be within ``limit``: a few KiB of a hostile pack can stand for gigabytes.
"""

import binascii
import hashlib
import mmap
import os
import secrets
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from dulwich.errors import ApplyDeltaError
from dulwich.object_format import SHA1
from dulwich.pack import apply_delta, pack_object_header, write_pack_index_v2

from xyn_reconciler.model.errors import InvalidError, NotFoundError, XynError

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
_OFFSET_DELTA, _REF_DELTA = 6, 7
_TYPE_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
_TYPES = {name: number for number, name in _TYPE_NAMES.items()}

OBJECT_BYTES = 64 * 1024 * 1024
"""An object larger than this is not read into memory (a push is capped at the same size)."""

MAPPED_PACKS = 64
"""Pack files held mapped at a time, one descriptor each."""

_SMALL_INDEX = 256 * 1024
_INDEX_HEADER = 8 + 256 * 4
_SHA_BYTES = 20
_CHUNK = 64 * 1024
_LOOSE_HEADER = 4096
_COMPRESSION = 1
"""Records are written far more often than read; maintenance packs them tighter."""
_CHAIN = 4096
"""Longest delta chain followed: git's own limit is 4095."""


class CorruptObjectError(XynError):
    """An object is damaged or is not of the kind that was asked for."""

    code = "corrupt_object"


class ObjectTooLargeError(InvalidError):
    """An object is larger than the reader was willing to take into memory."""

    code = "object_too_large"


class ObjectMissingError(NotFoundError):
    """The repository has no such object."""

    code = "object_missing"


class Pack:
    """One pack file and its index (version 2), opened when first asked."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._index: bytes | mmap.mmap | None = None
        self._data: mmap.mmap | None = None

    def offset(self, sha: bytes) -> int | None:
        """Where the object begins in the pack file; None if it is not in here."""
        index = self._index
        if index is None:
            index = self._index = _contents(self._base + ".idx")
            if index[:8] != b"\377tOc\0\0\0\2":
                raise CorruptObjectError(f"{self._base}.idx is not a pack index of version 2")
        first = sha[0]
        low = _number(index, 8 + 4 * (first - 1)) if first else 0
        high = _number(index, 8 + 4 * first)
        while low < high:
            middle = (low + high) // 2
            start = _INDEX_HEADER + 20 * middle
            name = index[start : start + 20]
            if name == sha:
                return self._offset_at(index, middle)
            if name < sha:
                low = middle + 1
            else:
                high = middle
        return None

    @staticmethod
    def _offset_at(index: bytes | mmap.mmap, position: int) -> int:
        count = _number(index, 8 + 4 * 255)
        offset = _number(index, _INDEX_HEADER + 24 * count + 4 * position)
        if offset < 1 << 31:
            return offset
        large = _INDEX_HEADER + 28 * count + 8 * (offset & 0x7FFFFFFF)
        return int(struct.unpack(">Q", index[large : large + 8])[0])

    def close_data(self) -> None:
        """Let the mapping go; a reader that still uses it keeps it alive until it is done."""
        self._data = None

    def _mapping(self) -> mmap.mmap:
        data = self._data
        if data is None:
            with Path(self._base + ".pack").open("rb") as file:
                data = self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return data

    def size(self, offset: int) -> tuple[int, int]:
        """``(type, bytes)`` of an object without inflating it (of a delta, its first bytes)."""
        data = self._mapping()
        kind, size, base, start = self._header(data, offset)
        if kind in _TYPE_NAMES:
            return kind, size
        size = _delta_result_size(_inflate(data, start, min(size, 32), whole=False))
        for _ in range(_CHAIN):
            kind, _size, base, _start = self._header(data, base)
            if kind in _TYPE_NAMES:
                return kind, size
        raise CorruptObjectError(f"a delta chain in {self._base} has no end")

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """``(type, content)``; no part of the delta chain may be larger than ``limit``."""
        data = self._mapping()
        deltas: list[bytes] = []
        for _ in range(_CHAIN):
            kind, size, base, start = self._header(data, offset)
            if size > limit:
                raise ObjectTooLargeError(
                    f"an object of {size:,} bytes is over the limit of {limit:,}"
                )
            content = _inflate(data, start, size)
            if kind in _TYPE_NAMES:
                break
            if _delta_result_size(content) > limit:
                raise ObjectTooLargeError(f"an object is over the limit of {limit:,} bytes")
            deltas.append(content)
            offset = base
        else:
            raise CorruptObjectError(f"a delta chain in {self._base} has no end")
        for delta in reversed(deltas):
            content = b"".join(apply_delta(content, delta))
        return kind, content

    def _header(self, data: mmap.mmap, offset: int) -> tuple[int, int, int, int]:
        """``(type, size, offset of the delta's base, where the deflated bytes begin)``."""
        position = offset + 1
        byte = data[offset]
        kind, size, shift = (byte >> 4) & 7, byte & 15, 4
        while byte & 0x80:
            byte = data[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        if kind == _OFFSET_DELTA:
            byte = data[position]
            position += 1
            distance = byte & 0x7F
            while byte & 0x80:
                byte = data[position]
                position += 1
                distance = ((distance + 1) << 7) | (byte & 0x7F)
            if not 0 < distance < offset:
                raise CorruptObjectError(f"a delta in {self._base} points outside its pack")
            return kind, size, offset - distance, position
        if kind == _REF_DELTA:
            base = self.offset(data[position : position + 20])
            if base is None:
                raise CorruptObjectError(f"a delta in {self._base} has no base")
            return kind, size, base, position + 20
        if kind not in _TYPE_NAMES:
            raise CorruptObjectError(f"an object in {self._base} is of no known type")
        return kind, size, 0, position


class ObjectReader:
    """The objects of some object folders: of a push's quarantine first, then of the repository."""

    def __init__(self, folders: Sequence[Path], *, behind: "ObjectReader | None" = None) -> None:
        self._folders = tuple(folders)
        self._behind = behind
        self._packs: OrderedDict[str, Pack] = OrderedDict()
        self._mapped: OrderedDict[str, Pack] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, sha: str, limit: int = OBJECT_BYTES) -> tuple[int, bytes]:
        """``(type, content)`` of an object.

        Raises :class:`ObjectMissingError`, :class:`ObjectTooLargeError` or
        :class:`CorruptObjectError`.
        """
        return self._find(sha, limit, content=True)

    def size(self, sha: str) -> tuple[int, int]:
        """``(type, bytes)`` of an object, read from its header alone."""
        kind, header = self._find(sha, OBJECT_BYTES, content=False)
        return kind, int(header)

    def __contains__(self, sha: str) -> bool:
        try:
            self.size(sha)
        except ObjectMissingError:
            return False
        return True

    def _find(self, sha: str, limit: int, *, content: bool) -> tuple[int, bytes]:
        """The object, or in place of its content its size in decimal digits."""
        raw = _raw(sha)
        # Twice: a repack may move a loose object into a pack between the two looks.
        for _ in range(2):
            found = self._packed(raw, limit, content=content) or self._loose(
                sha, limit, content=content
            )
            if found is not None:
                return found
        if self._behind is not None:
            return self._behind._find(sha, limit, content=content)  # noqa: SLF001 - the same class
        raise ObjectMissingError(f"no object {sha} in the repository")

    def _packed(self, raw: bytes, limit: int, *, content: bool) -> tuple[int, bytes] | None:
        while (located := self._locate(raw)) is not None:
            name, pack, offset = located
            try:
                if content:
                    return pack.read(offset, limit)
                kind, size = pack.size(offset)
            except FileNotFoundError:
                # Repacked away between the look at its index and its first use.
                self._forget(name)
                continue
            except (IndexError, struct.error, zlib.error, ValueError, ApplyDeltaError) as error:
                raise CorruptObjectError(
                    f"object {raw.hex()} cannot be read: pack {name} is damaged"
                ) from error
            return kind, b"%d" % size
        return None

    def _locate(self, raw: bytes) -> tuple[str, Pack, int] | None:
        with self._lock:
            known = list(reversed(self._packs.items()))
        found = self._probe(known, raw)
        return found if found is not None else self._probe(self._rescan(), raw)

    def _probe(self, packs: Iterable[tuple[str, Pack]], raw: bytes) -> tuple[str, Pack, int] | None:
        for name, pack in packs:
            try:
                offset = pack.offset(raw)
            except FileNotFoundError:
                self._forget(name)
                continue
            if offset is not None:
                self._used(name, pack)
                return name, pack, offset
        return None

    def _used(self, name: str, pack: Pack) -> None:
        with self._lock:
            if name in self._packs:
                self._packs.move_to_end(name)
            self._mapped[name] = pack
            self._mapped.move_to_end(name)
            while len(self._mapped) > MAPPED_PACKS:
                self._mapped.popitem(last=False)[1].close_data()

    def _forget(self, name: str) -> None:
        with self._lock:
            self._packs.pop(name, None)
            self._mapped.pop(name, None)

    def _rescan(self) -> list[tuple[str, Pack]]:
        """Packs that appeared since the last look; those that vanished are dropped."""
        found: dict[str, None] = {}
        for folder in self._folders:
            try:
                names = {found.name for found in (folder / "pack").iterdir()}
            except FileNotFoundError:
                continue
            found.update(
                (str(folder / "pack" / name[:-4]), None)
                for name in names
                if name.endswith(".idx") and f"{name[:-4]}.pack" in names
            )
        with self._lock:
            for name in [name for name in self._packs if name not in found]:
                del self._packs[name]
                self._mapped.pop(name, None)
            fresh = [(name, Pack(name)) for name in found if name not in self._packs]
            self._packs.update(fresh)
        return fresh

    def _loose(self, sha: str, limit: int, *, content: bool) -> tuple[int, bytes] | None:
        for folder in self._folders:
            try:
                with (folder / sha[:2] / sha[2:]).open("rb") as file:
                    return _read_loose(file, sha, limit, content=content)
            except FileNotFoundError:
                continue
        return None


class ObjectBatch:
    """New objects on their way into one pack; adding the same object twice costs nothing."""

    def __init__(self) -> None:
        self._objects: dict[bytes, tuple[int, bytes]] = {}

    def add(self, kind: int, content: bytes) -> bytes:
        """Take one object; returns its raw (20 byte) name."""
        sha = bytes.fromhex(object_name(kind, content))
        self._objects.setdefault(sha, (kind, content))
        return sha

    def write(self, objects: Path) -> None:
        """Make the batch durable: pack, index and their folder are synced when this returns.

        Without the last of the three a power cut forgets the names of files
        that are on the disk (0 of 100 commits survived; with it 200 of 200).
        """
        if not self._objects:
            return
        parts, entries = [b"PACK" + struct.pack(">LL", 2, len(self._objects))], []
        offset = 12
        for sha, (kind, content) in self._objects.items():
            packed = bytes(pack_object_header(kind, None, len(content), SHA1)) + zlib.compress(
                content, _COMPRESSION
            )
            entries.append((sha, offset, binascii.crc32(packed)))
            parts.append(packed)
            offset += len(packed)
        body = b"".join(parts)
        checksum = hashlib.sha1(body, usedforsecurity=False).digest()
        folder = objects / "pack"
        target = folder / f"pack-{checksum.hex()}"
        # git takes a pack for complete when its index is there, so the index comes last.
        with _Fresh(folder, f"{target}.pack") as file:
            file.write(body + checksum)
        with _Fresh(folder, f"{target}.idx") as file:
            write_pack_index_v2(file, sorted(entries), checksum)
        sync_folder(folder)


class _Fresh:
    """A file that appears under its name complete and synced, or not at all."""

    def __init__(self, folder: Path, target: str) -> None:
        # The name is git's own for unfinished packs: its tools and the sweep know it.
        self._temporary = folder / f"tmp_pack_{secrets.token_hex(8)}"
        self._target = target

    def __enter__(self) -> BinaryIO:
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        self._file = os.fdopen(descriptor, "wb")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if kind is None:
                self._temporary.rename(self._target)
        finally:
            self._temporary.unlink(missing_ok=True)


def object_name(kind: int, content: bytes) -> str:
    """The name that Git gives an object."""
    header = b"%s %d\0" % (_TYPE_NAMES[kind], len(content))
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; a folder that is gone needs nothing."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raw(sha: str) -> bytes:
    try:
        raw = bytes.fromhex(sha)
    except ValueError:
        raw = b""
    if len(raw) != _SHA_BYTES:
        raise ObjectMissingError(f"{sha!r} is not the name of a Git object")
    return raw


def _number(buffer: bytes | mmap.mmap, position: int) -> int:
    return int.from_bytes(buffer[position : position + 4], "big")


def _contents(path: str) -> bytes | mmap.mmap:
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size <= _SMALL_INDEX:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _inflate(data: mmap.mmap, start: int, size: int, *, whole: bool = True) -> bytes:
    """``size`` bytes from a deflated stream whose packed length nobody knows."""
    stream = zlib.decompressobj()
    parts: list[bytes] = []
    missing = size
    while missing or (whole and not stream.eof):
        chunk = stream.unconsumed_tail or data[start : start + _CHUNK]
        if not stream.unconsumed_tail:
            start += len(chunk)
        if not chunk:
            break
        # One byte more than is due, so that a stream which goes on is noticed.
        part = stream.decompress(chunk, missing + 1)
        parts.append(part)
        missing -= len(part)
        if missing < 0 or stream.eof:
            break
    if missing > 0 or (whole and missing):
        raise CorruptObjectError("a packed object is not of the size that it claims")
    return b"".join(parts)


def _delta_result_size(delta: bytes) -> int:
    """The second of the two sizes that a delta begins with: of what it makes."""
    position = size = shift = 0
    for _ in range(2):
        size = shift = 0
        byte = 0x80
        while byte & 0x80:
            byte = delta[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
    return size


def _read_loose(file: BinaryIO, sha: str, limit: int, *, content: bool) -> tuple[int, bytes]:
    stream = zlib.decompressobj()
    try:
        head = stream.decompress(file.read(_CHUNK), _LOOSE_HEADER)
        header, _, content_start = head.partition(b"\0")
        name, _, digits = header.partition(b" ")
        kind, size = _TYPES[name], int(digits)
        if not content:
            return kind, b"%d" % size
        if size > limit:
            raise ObjectTooLargeError(
                f"object {sha} of {size:,} bytes is over the limit of {limit:,}"
            )
        parts, missing = [content_start], size - len(content_start)
        while missing > 0 and (chunk := stream.unconsumed_tail or file.read(_CHUNK)):
            part = stream.decompress(chunk, missing)
            parts.append(part)
            missing -= len(part)
    except (KeyError, ValueError, zlib.error) as error:
        raise CorruptObjectError(f"loose object {sha} is damaged") from error
    if missing:
        raise CorruptObjectError(f"loose object {sha} is not of the size that it claims")
    return kind, b"".join(parts)
