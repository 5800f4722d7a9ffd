"""A draft merged with ``main``, without a checkout: its tree, what that changes, how it is judged.

Checks, assessments and promotions work on this. Nothing moves: the merge is a
commit that no ref names, made the same way every time, and kept in memory by its two
sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.reconcile.judge import Judgement
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.review.assess import Blobs
from xyn_reconciler.store import git_merge
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.git_merge import Conflict
from xyn_reconciler.store.recent import Recent

_KEPT: Final = 64
_BROUGHT: Final = 1000
_AUTHOR: Final = "Xyn <xyn@localhost>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What comes of merging; with conflicts the tree holds their markers."""

    main: str
    head: str
    commit: str
    """Of the merged tree; the head itself where ``main`` only has to move forward."""
    conflicts: tuple[Conflict, ...]
    differing: Mapping[str, Blobs]
    """The paths that it would change in ``main``."""
    brings: tuple[str, ...]
    """The newest commits that ``main`` would have then, and lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The states before and after, and what is wrong with the latter."""

    before: DesiredState
    judgement: Judgement


class Merging:
    """Merges and judges; one per process, safe from any thread."""

    def __init__(self, repository: Repository, reconciler: Reconciler) -> None:
        self._repository = repository
        self._reconciler = reconciler
        self._merged: Recent[tuple[str, str], Merged] = Recent(_KEPT)

    def of(self, main: str, head: str) -> Merged:
        """Merge ``head`` into ``main``; ``InvalidError`` where they have no common ancestor."""
        key = (main, head)
        found = self._merged.get(key)
        if found is None:
            found = self._merged.put(key, self._merge(main, head))
        return found

    def judge(self, merged: Merged) -> Judged:
        """Judge the merged tree against what is active at the moment."""
        before = self._reconciler.judge(self._repository, merged.main)
        judgement = self._reconciler.judge(self._repository, merged.commit)
        return Judged(before=before.state, judgement=judgement)

    def _merge(self, main: str, head: str) -> Merged:
        repository = self._repository
        conflicts: tuple[Conflict, ...] = ()
        if repository.is_ancestor(main, head):
            commit = head
        elif repository.is_ancestor(head, main):
            commit = main
        else:
            done = git_merge.merge(repository, main, head)
            conflicts = done.conflicts
            sides = [repository.commit(main), repository.commit(head)]
            commit = repository.write_commit(
                tree=done.tree,
                parents=[main, head],
                message="Merge to be looked at\n",
                author=_AUTHOR,
                now=max(each.committed_at for each in sides),
            )
        return Merged(
            main=main,
            head=head,
            commit=commit,
            conflicts=conflicts,
            differing={
                change.path.decode("utf-8", "backslashreplace"): (change.old_blob, change.new_blob)
                for change in repository.changes(main, commit)
            },
            brings=tuple(git_merge.lacking(repository, main, head, limit=_BROUGHT)),
        )
