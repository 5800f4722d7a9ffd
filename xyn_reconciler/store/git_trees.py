"""Trees: parse, walk, compare and edit them, whatever was pushed.

Everything here works on tree objects as bytes and is iterative and bounded: a
tree made by hand may be ten thousand levels deep, or name the same subtree ten
times on each of ten levels (4 KiB that unfold to 10^10 paths). Duplicate and
unsorted entries are kept as they stand, for :mod:`xyn_reconciler.desired.tree_rules`
to refuse by name.
"""

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from xyn_reconciler.model.errors import InvalidError, XynError
from xyn_reconciler.store.git_objects import BLOB, TREE, CorruptObjectError, ObjectBatch

FILE_MODE = 0o100644
TREE_MODE = 0o040000

MAX_DEPTH = 64
"""Directories below this level are named but not entered."""

MAX_TREES = 100_000
"""Tree objects that one walk visits: not before the tree rules have had enough of them."""


class TreeTooLargeError(InvalidError):
    """A tree unfolds to more directories than any repository may have."""

    code = "tree_too_large"


class PathTakenError(XynError):
    """Something stands at the path already.

    Not a ConflictError: that one says "read the ref and try again", and here
    another try would end the same way.
    """

    code = "path_taken"
    http_status = 409
    exit_code = 4


class Item(NamedTuple):
    """One line of a tree object."""

    mode: int
    sha: str


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a directory, as it stands in the tree object."""

    path: bytes
    """From the root, as bytes: names need not be UTF-8."""
    mode: int
    """As in Git: 0o100644 file, 0o100755 executable, 0o040000 directory, 0o120000 link, ..."""
    sha: str
    size: int | None = None
    """Bytes, where the caller asked for sizes and the entry is a file."""

    @property
    def name(self) -> bytes:
        """The last part of the path (a hostile name may itself hold a slash: see Directory)."""
        return self.path.rpartition(b"/")[2]

    @property
    def text(self) -> str | None:
        """The path as text; None if it is not UTF-8."""
        try:
            return self.path.decode()
        except UnicodeDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory with its entries ``(name, mode, sha, size)``, in the order of the object."""

    path: bytes
    """From the root; empty for the root itself."""
    entries: tuple[tuple[bytes, int, str, int | None], ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path that differs between two revisions; ``None`` stands for "not there"."""

    path: bytes
    old_blob: str | None
    new_blob: str | None
    mode: int | None
    """Of the new entry."""

    @property
    def text(self) -> str | None:
        """The path as text; None if it is not UTF-8."""
        try:
            return self.path.decode()
        except UnicodeDecodeError:
            return None


Lines = list[tuple[bytes, int, str]]
ReadTree = Callable[[str], Lines]


def parse(content: bytes) -> Lines:
    """``(name, mode, hex sha)`` per line of a tree object, in its order, duplicates and all."""
    try:
        return [(name, mode, sha.decode()) for name, mode, sha in parse_tree(content, 20)]
    except (ObjectFormatException, ValueError) as error:
        raise CorruptObjectError("a tree object is damaged") from error


def walk(read: ReadTree, root: str) -> Iterator[TreeEntry]:
    """Every entry below ``root`` that is not a directory, in Git's path order.

    Raises :class:`TreeTooLargeError` after :data:`MAX_TREES` directories.
    """
    waiting: list[tuple[bytes, int, str, int]] = [(b"", TREE_MODE, root, 0)]
    visited = 0
    while waiting:
        path, mode, sha, depth = waiting.pop()
        if not stat.S_ISDIR(mode):
            yield TreeEntry(path, mode, sha)
            continue
        visited += 1
        if visited > MAX_TREES or depth > MAX_DEPTH:
            raise TreeTooLargeError(
                f"the tree has more than {MAX_TREES:,} directories, or {MAX_DEPTH} levels"
            )
        waiting.extend(
            (_join(path, name), mode, child, depth + 1) for name, mode, child in reversed(read(sha))
        )


def directories(read: ReadTree, old: str | None, new: str) -> Iterator[Directory]:
    """Every directory of ``new`` that ``old`` has not got at the same path, with all its entries.

    O(changed): what lies below an unchanged tree is not visited. Raises
    :class:`TreeTooLargeError` after :data:`MAX_TREES`.
    """
    waiting: list[tuple[bytes, str | None, str, int]] = [(b"", old, new, 0)]
    visited = 0
    while waiting:
        path, before, after, depth = waiting.pop()
        if before == after:
            continue
        visited += 1
        if visited > MAX_TREES:
            raise TreeTooLargeError(f"the tree has more than {MAX_TREES:,} directories")
        lines = read(after)
        yield Directory(path, tuple((name, mode, sha, None) for name, mode, sha in lines))
        if depth >= MAX_DEPTH:
            continue
        known = _subtrees(read, before)
        waiting.extend(
            (_join(path, name), known.get(name), sha, depth + 1)
            for name, mode, sha in reversed(lines)
            if stat.S_ISDIR(mode)
        )


def changes(read: ReadTree, old: str | None, new: str | None) -> list[FileChange]:
    """Files that differ between two trees, sorted by path; O(changed)."""
    found: list[FileChange] = []
    waiting: list[tuple[bytes, str | None, str | None, int]] = [(b"", old, new, 0)]
    visited = 0
    while waiting:
        path, before, after, depth = waiting.pop()
        if before == after:
            continue
        visited += 1
        if visited > 2 * MAX_TREES or depth > MAX_DEPTH:
            message = (
                f"{path[:200]!r}: the change spans more directories than a repository may have"
            )
            raise TreeTooLargeError(message)
        old_items, new_items = _items(read, before), _items(read, after)
        for name in old_items.keys() | new_items.keys():
            left, right = old_items.get(name), new_items.get(name)
            if left == right:
                continue
            here = _join(path, name)
            old_tree, old_file = _split(left)
            new_tree, new_file = _split(right)
            if old_tree is not None or new_tree is not None:
                waiting.append((here, old_tree, new_tree, depth + 1))
            if old_file != new_file:
                found.append(
                    FileChange(
                        here,
                        old_file.sha if old_file else None,
                        new_file.sha if new_file else None,
                        new_file.mode if new_file else None,
                    )
                )
    return sorted(found, key=lambda change: change.path)


def edit(
    read: ReadTree,
    root: str | None,
    files: Mapping[str, bytes | None],
    batch: ObjectBatch,
    *,
    only_new: bool = False,
) -> tuple[str, dict[str, Lines]]:
    """Put files into a tree (``None`` takes one out); reads only the trees on their paths.

    Returns the new root and the trees that were made, for the caller's cache.
    A file keeps its mode; a directory left empty vanishes. Raises
    :class:`PathTakenError` where a file stands in the way of a directory or the
    other way round, and with ``only_new`` where a file is there already.
    """
    editing = _Edit(read, root)
    for path, content in files.items():
        *parents, name = _parts(path)
        folder, key = editing.folder(tuple(parents)), name.encode()
        there = folder.get(key)
        if there is not None and (only_new or stat.S_ISDIR(there.mode)):
            raise PathTakenError(
                f"{path} is there already" if only_new else f"{path} is a directory"
            )
        if content is None:
            folder.pop(key, None)
        else:
            # What was a link becomes a file: its text is no longer where the link points.
            mode = there.mode if there and stat.S_ISREG(there.mode) else FILE_MODE
            folder[key] = Item(mode, batch.add(BLOB, content).hex())
    return editing.write(batch)


class _Edit:
    """The directories that one edit has opened, by their path's parts."""

    def __init__(self, read: ReadTree, root: str | None) -> None:
        self._read = read
        self._opened: dict[tuple[str, ...], dict[bytes, Item]] = {(): _items(read, root)}

    def folder(self, parts: tuple[str, ...]) -> dict[bytes, Item]:
        if parts not in self._opened:
            there = self.folder(parts[:-1]).get(parts[-1].encode())
            if there is not None and not stat.S_ISDIR(there.mode):
                raise PathTakenError(f"{'/'.join(parts)} is a file, not a directory")
            self._opened[parts] = _items(self._read, there.sha if there else None)
        return self._opened[parts]

    def write(self, batch: ObjectBatch) -> tuple[str, dict[str, Lines]]:
        made: dict[str, Lines] = {}
        # Deepest first, so that each parent is written with its children's new names.
        for parts in sorted(self._opened, key=len, reverse=True):
            lines = _sorted(self._opened[parts])
            if parts and not lines:
                self._opened[parts[:-1]].pop(parts[-1].encode(), None)
                continue
            sha = batch.add(TREE, _serialize(lines)).hex()
            made[sha] = lines
            if parts:
                self._opened[parts[:-1]][parts[-1].encode()] = Item(TREE_MODE, sha)
        return sha, made


def _sorted(items: Mapping[bytes, Item]) -> Lines:
    """In Git's order: a directory sorts as if its name ended with a slash."""
    return sorted(
        ((name, item.mode, item.sha) for name, item in items.items()),
        key=lambda line: line[0] + b"/" if stat.S_ISDIR(line[1]) else line[0],
    )


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if any(part in ("", ".", "..", ".git") or "\0" in part for part in parts):
        raise InvalidError(f"{path!r} is not a path of a file in the repository")
    return parts


def _serialize(lines: Lines) -> bytes:
    return b"".join(b"%o %s\0%s" % (mode, name, bytes.fromhex(sha)) for name, mode, sha in lines)


def _items(read: ReadTree, sha: str | None) -> dict[bytes, Item]:
    return {} if sha is None else {name: Item(mode, blob) for name, mode, blob in read(sha)}


def _subtrees(read: ReadTree, sha: str | None) -> dict[bytes, str]:
    if sha is None:
        return {}
    return {name: tree for name, mode, tree in read(sha) if stat.S_ISDIR(mode)}


def _split(item: Item | None) -> tuple[str | None, Item | None]:
    """``(tree, None)`` for a directory, ``(None, item)`` for anything else."""
    if item is None:
        return None, None
    return (item.sha, None) if stat.S_ISDIR(item.mode) else (None, item)


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name
