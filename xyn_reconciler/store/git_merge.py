"""Merges and reverts without a checkout, by ``git merge-tree --write-tree``.

Renames and modes merge as everywhere in git (dulwich's own merge has false
cleans). Nothing moves here: what comes out is a tree that is durable, to be
judged and then committed by :meth:`.git.Repository.write_commit`. The trap: a merge
without a conflict may still be wrong (two steps of one id), so judge the tree.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.store import git_command
from xyn_reconciler.store.git import Repository

_CONFLICTS: Final = 1
_BASE, _OURS, _THEIRS = "1", "2", "3"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that both sides changed; blobs, ``None`` where a side has no such file."""

    path: str
    base: str | None
    ours: str | None
    theirs: str | None


@dataclass(frozen=True, slots=True)
class Merge:
    """The tree, which holds conflict markers where there are ``conflicts``."""

    tree: str
    conflicts: tuple[Conflict, ...]


def merge(repository: Repository, ours: str, theirs: str) -> Merge:
    """Merge commit ``theirs`` into commit ``ours``; ``InvalidError`` without a common ancestor."""
    done = git_command.run(
        repository.path,
        ["merge-tree", "--write-tree", "-z", "--end-of-options", ours, theirs],
        accept=(0, _CONFLICTS, 128),
    )
    if done.returncode not in (0, _CONFLICTS):
        said = done.stderr.decode("utf-8", "replace").strip()
        raise InvalidError(f"{theirs} cannot be merged into {ours}: {said}")
    repository.sync_folders()
    tree, _, rest = done.stdout.decode("utf-8", "surrogateescape").partition("\0")
    listed, _, _ = rest.partition("\0\0") if done.returncode else ("", "", "")
    return Merge(tree, tuple(_conflicts(listed)))


def revert(
    repository: Repository, revision: str, onto: str, *, author: str, now: dt.datetime
) -> Merge:
    """Take back on ``onto`` what ``revision`` (of a merge: against its first parent) changed.

    A merge with a commit that is made up: the tree before, on top of the change.
    ``InvalidError`` for the very first commit, before which there is nothing.
    """
    commit = repository.commit(revision)
    if not commit.parents:
        raise InvalidError(f"{revision} is the first commit: there is nothing before it")
    before = repository.commit(commit.parents[0]).tree
    undone = repository.write_commit(
        tree=before, parents=[commit.sha], message=f"Undo {revision}\n", author=author, now=now
    )
    return merge(repository, onto, undone)


def _conflicts(listed: str) -> Iterator[Conflict]:
    stages: dict[str, dict[str, str]] = {}
    for entry in filter(None, listed.split("\0")):
        about, _, path = entry.partition("\t")
        _mode, blob, stage = about.split(" ")
        stages.setdefault(path, {})[stage] = blob
    for path, blobs in stages.items():
        yield Conflict(path, blobs.get(_BASE), blobs.get(_OURS), blobs.get(_THEIRS))
