"""Compare two revisions of a managed repository by the git program."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.store import git_command
from xyn_reconciler.store.managed_repository import Look, ManagedRepository, TooMuchError

MOST_CHANGED_BYTES: Final = 32_000_000
"""Bytes on both sides of a diff."""

_EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

Change = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """One file that differs; lines are ``None`` for what is no text."""

    path: str
    change: Change
    added: int | None
    removed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What differs between two revisions."""

    old: str | None
    new: str
    files: list[FileDiff]
    patch: bytes


def compare(
    managed: ManagedRepository, old: str | None, new: str, paths: Sequence[str], look: Look
) -> Diff:
    """Compare two revisions; None as ``old`` is the empty tree. :class:`TooMuchError`."""
    repository = managed.repository
    sizes = 0
    for revision in (new, *filter(None, [old])):
        managed.files(revision)
    for change in repository.changes(old, new):
        for blob in filter(None, (change.old_blob, change.new_blob)):
            with contextlib.suppress(NotFoundError):  # a submodule: its commit is elsewhere
                sizes += repository.size(blob)
        if sizes > MOST_CHANGED_BYTES:
            raise TooMuchError(f"the files that differ have over {MOST_CHANGED_BYTES:,} bytes")
    options = ["--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index"]
    ends = ["--end-of-options", old or _EMPTY_TREE, new, "--", *paths]
    # What a tree's own .gitattributes hides from people is shown all the same.
    environment = git_command.environment(repository.path, {"GIT_ATTR_SOURCE": _EMPTY_TREE})

    def asked(*more: str) -> bytes:
        command = ["diff", *options, *more, *ends]
        return git_command.run(repository.path, command, env=environment, look=look).stdout

    counted = _counts(asked("--numstat", "-z"))
    kinds = _kinds(asked("--name-status", "-z"))
    return Diff(
        old=old,
        new=new,
        files=[
            FileDiff(path=_shown(path), change=kinds[path], added=added, removed=removed)
            for path, (added, removed) in counted.items()
            if path in kinds
        ],
        patch=asked("--patch"),
    )


def _counts(said: bytes) -> dict[bytes, tuple[int | None, int | None]]:
    found: dict[bytes, tuple[int | None, int | None]] = {}
    for line in filter(None, said.split(b"\0")):
        added, removed, path = line.split(b"\t", 2)
        text = added != b"-"
        found[path] = (int(added), int(removed)) if text else (None, None)
    return found


def _kinds(said: bytes) -> dict[bytes, Change]:
    words = said.split(b"\0")
    kinds: dict[bytes, Change] = {b"A": "added", b"D": "removed"}
    return {
        path: kinds.get(kind[:1], "changed")
        for kind, path in zip(words[0::2], words[1::2], strict=False)
    }


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace")
