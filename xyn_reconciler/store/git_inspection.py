"""Look again and again at the objects that a node stands on, and name one that is damaged.

The node's process asks every few seconds (promise P5: what is broken is said, and
the rest goes on). Looked at are every file of ``main`` and, of every other ref,
the commit at its tip and the folder that the next record goes into; the whole
history is ``xynctl doctor``'s (:func:`.git_maintenance.check`).

The trap: what a process has read once it may hold in memory, so a damaged object
can serve for hours and be missed at the next start. Nothing here is remembered.
"""

import stat
from collections.abc import Iterator
from itertools import islice
from typing import Final

from xyn_reconciler.model.errors import XynError
from xyn_reconciler.store import git_trees
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.git_commits import parse_commit

AT_ONCE: Final = 200
"""Objects of one look, so that it costs the same in a repository of any size."""


class Inspection:
    """One per node process; asked by one thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._going: Iterator[None] | None = None
        self._at = ("", "")
        """The ref that is being looked at, and where it pointed."""
        self._what = ""
        self.found: str | None = ""
        """What is damaged, a sentence that names the object.

        ``None`` after a whole round without, empty before the first.
        """

    def look(self) -> str | None:
        """Read the next objects; gives :attr:`found`."""
        if self._going is None:
            self._going = self._round()
        try:
            if len(list(islice(self._going, AT_ONCE))) < AT_ONCE:
                self.found = self._going = None
        except (XynError, OSError) as error:
            self._going = None
            ref, tip = self._at
            # Moved meanwhile, it may have left behind what was then taken away on purpose.
            if self._repository.resolve(ref) == tip:
                message = error.message if isinstance(error, XynError) else str(error)
                self.found = f"{self._what}: {message}"
        return self.found

    def _round(self) -> Iterator[None]:
        # Opened anew: one that is kept goes on reading files that were deleted.
        self._repository = Repository(self._repository.path)
        for ref, tip in sorted(self._repository.refs("refs/").items()):
            self._at = ref, tip
            tree = self._commit(f"the tip of {ref}", tip)
            yield
            yield from self._files(ref, tree) if ref == MAIN else self._newest(ref, tree)

    def _files(self, ref: str, tree: str) -> Iterator[None]:
        pending = [("", tree)]
        while pending:
            path, sha = pending.pop()
            lines = self._tree(f"the folder /{path} of {ref}", sha)
            yield
            for name, mode, child in lines:
                inside = f"{path}{name.decode('utf-8', 'replace')}"
                if stat.S_ISDIR(mode):
                    pending.append((f"{inside}/", child))
                elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                    self._read(f"{inside} of {ref}", child)
                    yield

    def _newest(self, ref: str, tree: str) -> Iterator[None]:
        """The way down to the folder that was written last: the next record goes on from there."""
        path, sha = "", tree
        while True:
            folders = [
                (name, child)
                for name, mode, child in self._tree(f"the folder /{path} of {ref}", sha)
                if stat.S_ISDIR(mode)
            ]
            yield
            if not folders:
                return
            name, sha = max(folders)
            path = f"{path}{name.decode('utf-8', 'replace')}/"

    def _commit(self, what: str, sha: str) -> str:
        return parse_commit(sha, self._read(what, sha)).tree

    def _tree(self, what: str, sha: str) -> git_trees.Lines:
        return git_trees.parse(self._read(what, sha))

    def _read(self, what: str, sha: str) -> bytes:
        self._what = f"{what} is damaged (object {sha})"
        return self._repository.verified(sha)
