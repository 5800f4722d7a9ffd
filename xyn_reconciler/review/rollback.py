"""Roll back: a commit on ``main`` that takes an earlier one back, judged and asked about as any.

What was taken back stays back (:mod:`.held`): a rollback is a hold as well. A plain
``git revert`` that is pushed does the same.
"""

import time
from typing import Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.errors import ConflictError, NotFoundError, UnavailableError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.review import landing
from xyn_reconciler.review.desk import Desk
from xyn_reconciler.review.direct import decide
from xyn_reconciler.review.landing import Landed
from xyn_reconciler.review.merged import Merged
from xyn_reconciler.store import audit, git_merge

SECONDS: Final = 30.0
"""How long a rollback tries again while others move ``main``."""


def roll_back(desk: Desk, revision: str, actor: Principal) -> Landed:
    """Take back on ``main`` what a commit of its history changed (of a merge: what it brought).

    ``revision`` is a full commit name. Raises ``NotFoundError``, ``ConflictError`` (later
    commits build on it, or it is taken back already), ``ProblemsError``, ``DeniedError``,
    ``NeedsApprovalError``, and ``UnavailableError`` where ``main`` does not come to rest.
    """
    until = time.monotonic() + SECONDS
    while True:
        main = desk.main()
        landing.settled(desk, main)
        if revision not in git_merge.revisions_named(desk.repository, revision, main):
            raise NotFoundError(f"main has no revision {revision}")
        merged = _reverted(desk, revision, main, actor)
        short = revision[:12]
        entries = decide(
            desk,
            merged,
            actor,
            how="rollback",
            what=f"the rollback of {short}",
            advice=(
                f". Have it agreed on as a draft: git revert {short}"
                f" && git push origin HEAD:draft/revert-{short}"
            ),
            about={"revision": revision},
        )
        with desk.database.begin() as connection:
            audit.put(connection, entries)
        if landing.moved(desk, main=main, commit=merged.commit):
            break
        if time.monotonic() >= until:
            raise UnavailableError("main moves all the time: try again")
    now = desk.clock()
    done = AuditEntry(
        kind="rollback", actor=actor.id, at=now, subject=revision, entry={"commit": merged.commit}
    )
    with desk.database.begin() as connection:
        audit.put(connection, [done])
    return landing.landed(desk, merged.commit)


def _reverted(desk: Desk, revision: str, main: str, actor: Principal) -> Merged:
    """Make the commit that takes it back, on top of ``main``; no ref names it."""
    repository, now = desk.repository, desk.clock()
    author = landing.author(actor)
    done = git_merge.revert(repository, revision, main, author=author, now=now)
    what = f"taking {revision[:12]} back"
    landing.refuse_conflicts(repository, what, done.conflicts)
    if done.tree == repository.commit(main).tree:
        raise ConflictError(f"{what} changes nothing: main has nothing of it any more")
    subject = repository.commit(revision).subject
    message = f'Revert "{subject}"\n\nThis reverts commit {revision}.\n\nReverts: {revision}\n'
    commit = repository.write_commit(
        tree=done.tree, parents=[main], message=message, author=author, now=now
    )
    return desk.merging.of(main, commit)
