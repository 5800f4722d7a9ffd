"""Save a draft without a clone: a commit on its branch, which is made where it is not."""

import time
from collections.abc import Mapping
from typing import Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.errors import (
    ConflictError,
    InvalidError,
    ProblemsError,
    UnavailableError,
)
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.review.desk import Desk
from xyn_reconciler.review.landing import author
from xyn_reconciler.store import audit, notice, reviews
from xyn_reconciler.store.ref_rules import DRAFTS, RefUpdate, check_ref_updates
from xyn_reconciler.store.reviews import Review

REVIEW_SECONDS: Final = 10.0
"""How long to wait until the draft is under review."""

_TRIES: Final = 10
_POLL_SECONDS: Final = 0.05


class NothingToSaveError(ConflictError):
    """The draft, or main, holds all of it already."""

    code = "nothing_to_save"


def save(
    desk: Desk,
    name: str,
    files: Mapping[str, bytes | None],
    actor: Principal,
    *,
    message: str,
) -> Review:
    """Commit files (None takes one out) to ``draft/<name>`` as a push would; gives its review.

    Raises ``InvalidError`` for a name or path that cannot be, ``ProblemsError`` for a tree
    that no push may bring, ``NothingToSaveError`` where nothing would change, and
    ``UnavailableError`` where the node's loop does not come to open the review.
    """
    for _ in range(_TRIES):
        head = _commit(desk, name, files, actor, message)
        if head is not None:
            return reviewed(desk, name, head)
    raise ConflictError(f"draft/{name} moves all the time: try again")


def _commit(
    desk: Desk, name: str, files: Mapping[str, bytes | None], actor: Principal, message: str
) -> str | None:
    """Write and move the branch; None where somebody was quicker."""
    repository, now, ref = desk.repository, desk.clock(), f"{DRAFTS}{name}"
    old = repository.resolve(ref)
    base = old or desk.main()
    head = repository.write_files(
        base, changes=files, message=message, author=author(actor), now=now
    )
    refused = check_ref_updates(repository, [RefUpdate(ref, old, head)])
    if refused:
        raise InvalidError("; ".join(refused))
    if repository.commit(head).tree == repository.commit(base).tree:
        raise NothingToSaveError(f"there is nothing to save: draft/{name} holds all of it already")
    judgement = desk.reconciler.judge(repository, head)
    if judgement.tree_problems:
        raise ProblemsError([*judgement.problems])
    accepted = AuditEntry(
        kind="ref.accepted",
        actor=actor.id,
        at=now,
        subject=ref,
        entry={"old": old, "new": head, "how": "settings"},
    )
    with desk.database.begin() as connection:
        audit.put(connection, [accepted])
    try:
        repository.update_ref(ref, expected=old, new=head)
    except ConflictError:
        return None
    return head


def reviewed(desk: Desk, name: str, head: str) -> Review:
    """Have the head of a draft looked at, and wait for its review; else ``UnavailableError``."""
    with desk.database.begin() as connection:
        notice.notify(connection, notice.REVIEW, name)
    until = time.monotonic() + REVIEW_SECONDS
    while time.monotonic() < until:
        with desk.database.read() as connection:
            found = reviews.find_review(connection, name)
            if found is not None and any(
                each.head == head for each in reviews.iterations(connection, found.draft_id)
            ):
                return found
        time.sleep(_POLL_SECONDS)
    raise UnavailableError(f"draft/{name} is saved, and the node did not come to review it yet")
