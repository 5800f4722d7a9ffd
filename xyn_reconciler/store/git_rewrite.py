"""Write a chain of record commits anew with other content in some of their files.

For ``event forget`` alone: nothing else ever changes history. The new chain is
written beside the old one, durably; moving the ref is the caller's, and making
the old chain vanish is :mod:`.git_purge`'s.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from xyn_reconciler.store import git_trees
from xyn_reconciler.store.git_commits import Commit, serialize_commit
from xyn_reconciler.store.git_objects import COMMIT, ObjectBatch, ObjectReader
from xyn_reconciler.store.recent import Recent

_AT_ONCE: Final = 5000
"""Commits in one pack at most: it bounds memory, and most months have fewer."""

_TREES_KEPT: Final = 512


def rewrite(
    path: Path, chain: Sequence[tuple[Commit, Sequence[str]]], files: Mapping[str, bytes]
) -> dict[str, str]:
    """Write commits anew, with other content in the files given.

    ``path`` is the repository's, ``chain`` the commits of one ref, oldest
    first, each with the paths that it added: a record is added once and never
    changed. Commits before the first with one of the files keep their names;
    all others keep message, author and time. Returns old name to new name.
    """
    objects = ObjectReader([path / "objects"])
    trees: Recent[str, git_trees.Lines] = Recent(_TREES_KEPT)

    def read(sha: str) -> git_trees.Lines:
        return trees.get(sha) or trees.put(sha, git_trees.parse(objects.read(sha)[1]))

    moved: dict[str, str] = {}
    changed: dict[str, bytes | None] = {}
    batch = ObjectBatch()
    for commit, added in chain:
        changed |= {name: files[name] for name in added if name in files}
        if not changed:
            continue
        tree, _ = git_trees.edit(read, commit.tree, changed, batch)
        parents = [moved.get(parent, parent) for parent in commit.parents]
        content = serialize_commit(
            tree, parents, commit.message, commit.author, commit.committed_at
        )
        moved[commit.sha] = batch.add(COMMIT, content).hex()
        if len(moved) % _AT_ONCE == 0:
            batch.write(path / "objects")
            batch = ObjectBatch()
    batch.write(path / "objects")
    return moved
