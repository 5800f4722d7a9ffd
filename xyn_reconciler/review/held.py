"""A promotion that was taken back stays back: nothing merges that change again by itself.

Git sees to it: what was merged once is merged for ever, so the same commits bring
nothing a second time. Here is only said why, and what to do.
"""

from xyn_reconciler.store import git_merge
from xyn_reconciler.store.git import Repository


def held(repository: Repository, *, main: str, head: str) -> str | None:
    """Say why merging ``head`` again changes nothing; None where nobody took it back."""
    if not repository.is_ancestor(head, main):
        return None
    brought = [*git_merge.merges_of(repository, head, main), head]
    revert = _standing(repository, brought, main)
    if revert is None:
        return None
    return (
        f"{head[:12]} is in main as {brought[0][:12]} and was taken back by {revert[:12]}: to Git"
        " it is merged, so merging it again changes nothing. To have it back, take the revert"
        f" back, in a draft of its own: git revert {revert[:12]}"
        " && git push origin HEAD:draft/NAME"
    )


def _standing(repository: Repository, brought: list[str], main: str) -> str | None:
    """Give the newest revert of any of these that was not itself taken back."""
    for revert in git_merge.reverts_of(repository, brought, main):
        if _standing(repository, [revert], main) is None:
            return revert
    return None
