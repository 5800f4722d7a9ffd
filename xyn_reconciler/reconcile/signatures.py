"""Are the commits signed that would come into ``main``? Asked only where it lists signers.

A file :data:`~xyn_reconciler.desired.layout.SIGNERS` in ``main`` makes signatures
compulsory: every commit that a push or a draft brings needs one by a key in it. That of
the commit *before* decides, so nobody lets themselves in. What the node itself commits
(merges of drafts, reverts) is not signed; it stands in the audit.
"""

from xyn_reconciler.desired.layout import SIGNERS
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.store.git import Repository

CODE = "unsigned_commit"


def unsigned(repository: Repository, main: str, new: str) -> list[Problem]:
    """Give a problem for each commit in ``new`` and not in ``main`` that nobody listed signed."""
    signers = repository.read_path(main, SIGNERS)
    if signers is None:
        return []
    return [
        Problem(
            SIGNERS,
            1,
            1,
            CODE,
            f'commit {sha[:12]} "{repository.commit(sha).subject}" is not signed by a key that'
            " main lists here: sign it (git commit --amend -S, git rebase --exec), or have the"
            " key added",
        )
        for sha in repository.unsigned(main, new, signers)
    ]
