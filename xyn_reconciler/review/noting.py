"""Bring the rows of reviews in line with the branches, in one transaction.

Which ends which way is decided by what the audit accepted before a ref moved: a branch
that is gone was promoted where ``main`` holds a merge that was accepted for it, and
was given up otherwise.
"""

import contextlib
import datetime as dt
import uuid
from collections.abc import Sequence

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.model.event import SYSTEM_ACTOR
from xyn_reconciler.model.internal_events import ReviewOpened, ReviewUpdated
from xyn_reconciler.review import finish
from xyn_reconciler.review.tell import tell
from xyn_reconciler.store import git_merge, reviews
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.git_commits import Commit
from xyn_reconciler.store.ref_rules import DRAFTS
from xyn_reconciler.store.reviews import Kind, Review

UNKNOWN = "unknown"
"""Who pushed what the audit knows nothing of."""

_COMMITS_LOOKED_AT = 100


def note(
    connection: Connection, repository: Repository, *, emit: EmitEvents, now: dt.datetime
) -> tuple[str, list[Review]] | None:
    """Open, move and close reviews; give ``main`` and those that are open now.

    None without a ``main``. Nobody else writes about reviews until the transaction ends.
    """
    reviews.hold(connection)
    heads = {ref.removeprefix(DRAFTS): head for ref, head in repository.refs(DRAFTS).items()}
    # After the branches: a promotion moves main first and deletes the branch then.
    main = repository.resolve(MAIN)
    if main is None:
        return None
    were_open = reviews.open_reviews(connection)
    accepted = reviews.promotions(connection, MAIN, were_open)
    left = []
    for review in were_open:
        promotion = _done(repository, main, accepted.get(review.draft_id, ()))
        if promotion is not None:
            if heads.get(review.name) == review.head:
                # The promotion was killed before it came to this.
                with contextlib.suppress(ConflictError):
                    repository.update_ref(review.ref, expected=review.head, new=None)
                del heads[review.name]
            finish.promoted(connection, review, promotion, emit=emit, now=now)
        elif review.name not in heads:
            actor = reviews.pusher(connection, review.ref, None) or SYSTEM_ACTOR
            finish.closed(connection, review, actor=actor, emit=emit, now=now)
        else:
            head = heads.pop(review.name)
            left.append(
                review
                if head == review.head
                else _moved(connection, review, head, emit=emit, now=now)
            )
    opened = [
        _opened(connection, repository, name, head, main, emit=emit, now=now)
        for name, head in sorted(heads.items())
    ]
    return main, [*left, *opened]


def _done(repository: Repository, main: str, accepted: Sequence[AuditEntry]) -> AuditEntry | None:
    """Of the promotions that were accepted the one that ``main`` holds."""
    for each in accepted:
        commit = each.entry["new"]
        if repository.resolve(commit) is not None and repository.is_ancestor(commit, main):
            return each
    return None


def _moved(
    connection: Connection, review: Review, head: str, *, emit: EmitEvents, now: dt.datetime
) -> Review:
    reviews.interrupt_checks(connection, now, review.draft_id)
    author = reviews.pusher(connection, review.ref, head) or UNKNOWN
    moved = reviews.add_iteration(connection, review, head=head, author=author, now=now)
    entry = {"head": head, "iteration": moved.iteration}
    told = ReviewUpdated(name=review.name, head=head, iteration=moved.iteration, author=author)
    tell(connection, moved, "review.updated", entry, told, actor=author, emit=emit, now=now)
    return moved


def _opened(
    connection: Connection,
    repository: Repository,
    name: str,
    head: str,
    main: str,
    *,
    emit: EmitEvents,
    now: dt.datetime,
) -> Review:
    commit = repository.commit(head)
    ref = f"{DRAFTS}{name}"
    review = Review(
        draft_id=reviews.draft_id(name, reviews.closed_count(connection, name)),
        name=name,
        kind=_kind(repository, main, head),
        status="draft",
        head=head,
        iteration=1,
        author=reviews.pusher(connection, ref, head) or UNKNOWN,
        run_id=_run_id(commit),
        notes=_notes(commit),
        created_at=now,
        updated_at=now,
        promoted_commit=None,
        closed_at=None,
    )
    reviews.insert_review(connection, review)
    entry: dict[str, object] = {
        "name": name,
        "kind": review.kind,
        "head": head,
        "iteration": review.iteration,
    }
    if review.run_id is not None:
        entry["run_id"] = str(review.run_id)
    if review.notes is not None:
        entry["notes"] = review.notes
    told = ReviewOpened(name=name, kind=review.kind, head=head, author=review.author)
    tell(connection, review, "review.opened", entry, told, actor=review.author, emit=emit, now=now)
    return review


def _kind(repository: Repository, main: str, head: str) -> Kind:
    """A draft that changes packs and nothing else is one of a pack."""
    paths = [
        change.path
        for sha in git_merge.lacking(repository, main, head, limit=_COMMITS_LOOKED_AT)
        for parent in [next(iter(repository.commit(sha).parents), None)]
        for change in repository.changes(parent, sha)
    ]
    return "pack" if paths and all(path.startswith(b"packs/") for path in paths) else "blueprint"


def _run_id(commit: Commit) -> uuid.UUID | None:
    """The run that made the draft, as the commit's trailer has it."""
    for value in commit.trailer_values("Run-Id"):
        with contextlib.suppress(ValueError):
            return uuid.UUID(value)
    return None


def _notes(commit: Commit) -> str | None:
    """What the commit says below its subject, without the trailers."""
    paragraphs = commit.message.rstrip().split("\n\n")[1:]
    if commit.trailers and paragraphs:
        paragraphs.pop()
    return "\n\n".join(paragraphs).strip() or None
