"""Merges and reverts without a checkout, by ``git merge-tree --write-tree``.

Renames and modes merge as everywhere in git (dulwich's own merge has false
cleans). Nothing moves here: what comes out is a tree that is durable, to be
judged and then committed by :meth:`.git.Repository.write_commit`. The trap: a merge
without a conflict may still be wrong (two steps of one id), so judge the tree.
"""

import datetime as dt
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.store import git_command
from xyn_reconciler.store.git import Repository

_CONFLICTS: Final = 1
_UNRELATED: Final = 1
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
    related = git_command.run(repository.path, ["merge-base", ours, theirs], accept=(0, _UNRELATED))
    if related.returncode == _UNRELATED:
        raise InvalidError(f"{theirs} cannot be merged into {ours}: they share no history")
    done = git_command.run(
        repository.path,
        ["merge-tree", "--write-tree", "-z", "--end-of-options", ours, theirs],
        accept=(0, _CONFLICTS),
    )
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


def lacking(repository: Repository, held: str, other: str, *, limit: int) -> list[str]:
    """Give the newest commits that ``other`` contains and ``held`` does not, newest first."""
    done = git_command.run(
        repository.path,
        ["rev-list", f"--max-count={limit}", "--end-of-options", other, f"^{held}"],
    )
    return done.stdout.decode().split()


def revisions_named(repository: Repository, beginning: str, tip: str) -> list[str]:
    """Give the commits in ``tip`` whose name begins so."""
    return [sha for sha in _commits(repository, [tip]) if sha.startswith(beginning)]


def merges_of(repository: Repository, head: str, tip: str) -> list[str]:
    """Give the merges in ``tip`` that brought ``head`` into it, the newest first."""
    found = _commits(repository, ["--merges", "--ancestry-path", tip, f"^{head}"])
    return [sha for sha in found if head in repository.commit(sha).parents[1:]]


def reverts_of(repository: Repository, revisions: Collection[str], tip: str) -> list[str]:
    """Give the commits in ``tip`` that say that they take one of these back, the newest first.

    ``git revert`` says so in its message.
    """
    if not revisions:
        return []
    found = _commits(repository, ["--fixed-strings", *(f"--grep={sha}" for sha in revisions), tip])
    return [sha for sha in found if taken_back(repository.commit(sha).message) & {*revisions}]


def taken_back(message: str) -> set[str]:
    """Give the commits that a message says it takes back."""
    return set(_TAKEN_BACK.findall(message))


_TAKEN_BACK: Final = re.compile(r"^(?:This reverts commit|Reverts:) ([0-9a-f]{40})\b", re.MULTILINE)


def _commits(repository: Repository, arguments: Sequence[str]) -> list[str]:
    return git_command.run(repository.path, ["rev-list", *arguments]).stdout.decode().split()
