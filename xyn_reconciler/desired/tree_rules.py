"""What a tree of the desired state may look like: plain files and directories with sane names.

Pure: directories in, problems out. A push to ``main`` or a draft is held to it
before any file is read. The rule behind all of it: what is committed here must
come out the same in a clone on any system, and a line that names a file
(``path:line:column``) must mean one file. A hostile tree is made by hand, so
nothing is taken for granted that git itself would never write: duplicates,
disorder, ``..``, slashes in names, depth, trees that unfold without end.

O(changed): hand over only the directories that changed, each with all of its
entries, since a name collides with its siblings alone.
"""

import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from xyn_reconciler.model.errors import Problem

Entry = tuple[bytes, int, str, int | None]
"""Name, mode, object, size in bytes (None where nobody asked)."""


class Directory(Protocol):
    """One directory: its path from the root (empty for the root) and all that is in it."""

    @property
    def path(self) -> bytes: ...

    @property
    def entries(self) -> tuple[Entry, ...]: ...


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """Caps on what a state repository may hold."""

    depth: int = 16
    """Directories above a file. Deeper than any layout of packs needs."""
    name_bytes: int = 200
    """Of one name; below the 255 of every file system, so that tools may append to it."""
    path_bytes: int = 400
    directory_entries: int = 10_000
    """Advice is ~100 (the tree diff stays O(changed)); this is where it stops to work at all."""
    entries: int = 100_000
    """Entries looked at in one check: all that changed, with their siblings."""
    file_bytes: int = 4 * 1024 * 1024
    """Prompts and pack files are text; larger things are artifacts."""
    problems: int = 200
    """After this many the rest is cut: a pusher reads a screen, not a hundred thousand lines."""


LIMITS = TreeLimits()

_FILE_MODES = (0o100644, 0o100755)
_MODE_WORDS = {0o120000: "a symbolic link", 0o160000: "a submodule"}
# Windows cannot make files of these names, whatever their extension.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?")
# A colon would make path:line:column ambiguous; Windows takes none of them.
_RESERVED = frozenset('<>:"|?*\\')
# .git and .gitmodules as NTFS also knows them: by their 8.3 names.
_SHORT_GIT = re.compile(r"gi\w{0,4}~\d+")
_SHOWN = 300
"""Characters of a path that are worth printing."""


def check_tree(directories: Iterable[Directory], limits: TreeLimits = LIMITS) -> list[Problem]:
    """Everything that is wrong with these directories, sorted.

    Each problem stands at ``path:1:1`` of the entry that it names (``.`` is the
    root). Reads no further than the caps allow: then the last problem has the
    code ``too_many_entries`` or ``too_many_problems``.
    """
    problems: list[Problem] = []
    seen = 0
    for directory in directories:
        # The directory counts too: an empty one costs a visit as well.
        seen += 1 + len(directory.entries)
        if seen > limits.entries:
            message = f"a change touches at most {limits.entries:,} entries, siblings included"
            return [*sorted(problems), _problem(directory.path, "too_many_entries", message)]
        problems.extend(_check_directory(directory, limits))
        if len(problems) > limits.problems:
            message = f"more than {limits.problems} names have to be mended; the rest is not shown"
            kept = sorted(problems)[: limits.problems]
            return [*kept, _problem(b"", "too_many_problems", message)]
    return sorted(problems)


def name_problem(name: bytes) -> tuple[str, str] | None:
    """``(code, message)`` for a name that no file or directory here may have, else None."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return "name_not_utf8", "the name is not UTF-8: rename it"
    if "/" in text or text in ("", ".", ".."):
        return "name_not_allowed", "no directory can hold this name; the tree was made by hand"
    return _reserved_name(text) or _odd_characters(text)


def _reserved_name(text: str) -> tuple[str, str] | None:
    # HFS+ ignores invisible characters in a name, NTFS spaces and dots at its end.
    plain = "".join(c for c in text if unicodedata.category(c) != "Cf").casefold()
    bare = plain.rstrip(" .")
    if bare == ".git" or _SHORT_GIT.fullmatch(bare):
        return "name_not_allowed", "a system may take this name for a file of git's: rename it"
    if bare == ".gitmodules":
        return "name_not_allowed", "submodules are no part of the desired state: remove it"
    if _DEVICES.fullmatch(plain):
        return "name_not_allowed", "Windows keeps this name for a device: rename it"
    return None


def _odd_characters(text: str) -> tuple[str, str] | None:
    if text != text.strip(" ") or text.endswith("."):
        message = "a name may not begin or end with a space, nor end with a dot: rename it"
        return "name_not_allowed", message
    for character in text:
        kind = unicodedata.category(character)
        # C: control, invisible and bidi, no character at all. Z: what looks like a space.
        if kind[0] == "C" or (kind[0] == "Z" and character != " ") or character in _RESERVED:
            shown = character if character in _RESERVED else f"U+{ord(character):04X}"
            return "name_not_allowed", f"{shown} may not stand in a name: rename it"
    return None


def _check_directory(directory: Directory, limits: TreeLimits) -> Iterator[Problem]:
    path, entries = directory.path, directory.entries
    depth = path.count(b"/") + 1 if path else 0
    if depth > limits.depth:
        # One finding where the limit is passed, not one for each level below it.
        if depth == limits.depth + 1:
            message = f"more than {limits.depth} directories deep: move it up"
            yield _problem(path, "too_deep", message)
        return
    if len(entries) > limits.directory_entries:
        message = f"a directory has at most {limits.directory_entries:,} entries: divide it"
        yield _problem(path, "too_many_entries", message)
        return
    yield from _check_order(path, entries)
    first: dict[str, bytes] = {}
    for name, mode, _sha, size in entries:
        here = path + b"/" + name if path else name
        found = (
            name_problem(name)
            or _mode_problem(mode)
            or _length_problem(here, name, limits)
            or _size_problem(size, limits)
        )
        if found is not None:
            yield _problem(here, *found)
            continue
        key = _caseless(name.decode())
        if key in first:
            yield _problem(here, *_collision(name, first[key]))
        first.setdefault(key, name)


def _check_order(path: bytes, entries: tuple[Entry, ...]) -> Iterator[Problem]:
    keys = [name + b"/" if stat.S_ISDIR(mode) else name for name, mode, _sha, _size in entries]
    if keys != sorted(keys):
        message = "the entries are out of order; the tree was made by hand"
        yield _problem(path, "tree_not_sorted", message)


def _collision(name: bytes, other: bytes) -> tuple[str, str]:
    if name == other:
        return "duplicate_entry", "the directory holds this name twice; the tree was made by hand"
    message = f"where case and accents are not told apart this is {other.decode()}: rename one"
    return "name_collision", message


def _mode_problem(mode: int) -> tuple[str, str] | None:
    if mode in _FILE_MODES or mode == stat.S_IFDIR:
        return None
    what = _MODE_WORDS.get(mode, f"of the mode {mode:o}")
    return "not_a_plain_file", f"this is {what}; only plain files and directories are taken"


def _length_problem(here: bytes, name: bytes, limits: TreeLimits) -> tuple[str, str] | None:
    if len(name) > limits.name_bytes:
        message = f"a name has at most {limits.name_bytes} bytes, this has {len(name)}"
        return "name_too_long", message
    if len(here) > limits.path_bytes:
        message = f"a path has at most {limits.path_bytes} bytes, this has {len(here)}"
        return "name_too_long", message
    return None


def _size_problem(size: int | None, limits: TreeLimits) -> tuple[str, str] | None:
    if size is None or size <= limits.file_bytes:
        return None
    message = f"a file has at most {limits.file_bytes:,} bytes, this has {size:,}"
    return "file_too_large", f"{message}: keep it as an artifact"


def _caseless(name: str) -> str:
    """One form for all names that some file system takes for the same (Unicode 3.13, D145)."""
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFD", folded)


def _problem(path: bytes, code: str, message: str) -> Problem:
    """A problem that can be printed whatever the path holds: bytes and controls are spelled out."""
    text = path.decode("utf-8", "backslashreplace") or "."
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}..."
    return Problem(shown, 1, 1, code, message)
