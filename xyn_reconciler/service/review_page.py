"""What the pages of reviews ask beyond the API: texts, and why somebody may not do something.

Every file of a draft was written by somebody whom nobody has agreed with yet, so what
is read of it here is bounded.
"""

from collections.abc import Collection, Mapping
from typing import Final, Literal

from xyn_reconciler.model.dto import CommitDto, ConflictDto, ReviewDto
from xyn_reconciler.model.errors import NotFoundError, XynError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.review import say, text_diff
from xyn_reconciler.review.assess import assess
from xyn_reconciler.review.text_diff import BYTES_MAX, TextDiff
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.reviews import desk, find
from xyn_reconciler.store import reviews
from xyn_reconciler.store.git import MAIN, ObjectTooLargeError

SIDE_BYTES: Final = 64 * 1024
"""Of a side of a conflict, and of a file that is edited in a browser."""


def open_count(context: Context) -> int:
    """How many drafts are under review."""
    with context.database.read() as connection:
        return len(reviews.open_reviews(connection))


def why_not(
    context: Context, actor: Principal, review: ReviewDto
) -> dict[Literal["approved", "rejected"], str | None]:
    """Say why ``actor`` may not approve or reject what a review shows; None where they may."""
    found = find(context, str(review.draft_id))
    facts = desk(context).facts(found, main=review.main, actor=actor)
    assessment = assess(facts)
    reasons: dict[Literal["approved", "rejected"], str | None] = {}
    for decision in ("approved", "rejected"):
        try:
            say.refuse_the_wrong_person(facts, assessment, actor, decision)
        except XynError as error:
            reasons[decision] = error.message
        else:
            standing = (*assessment.approvals, *assessment.rejections)
            same = any(v.principal == actor.id and v.decision == decision for v in standing)
            reasons[decision] = f"{actor.id} has {decision} exactly this already" if same else None
    return reasons


def text_diffs(
    context: Context, review: ReviewDto, keep: Mapping[str, Collection[int]]
) -> dict[str, TextDiff]:
    """Compare each file that promotion would change with ``main``; ``keep``: lines by path."""
    differing = context.merging.of(review.main, review.head).differing
    return {
        path: _compared(context, old, new, keep.get(path, ()))
        for path, (old, new) in sorted(differing.items())
    }


def _compared(
    context: Context, old: str | None, new: str | None, keep: Collection[int]
) -> TextDiff:
    try:
        before, after = (
            None if blob is None else context.repository.read(blob, limit=BYTES_MAX)
            for blob in (old, new)
        )
    except ObjectTooLargeError:
        return TextDiff("too_large")
    return text_diff.diff(before, after, keep)


def sides(context: Context, conflict: ConflictDto) -> dict[str, str | None]:
    """Give what ``main`` and the draft have at a path; None where it is gone, or is no text."""
    blobs = {"main": conflict.main, "draft": conflict.draft}
    return {side: None if blob is None else _text(context, blob) for side, blob in blobs.items()}


def file_at(context: Context, revision: str, path: str) -> str | None:
    """Give a file as it is at a commit; None where there is none that a browser could edit."""
    data = context.repository.read_path(revision, path)
    return None if data is None or len(data) > SIDE_BYTES else _decoded(data)


def _text(context: Context, blob: str) -> str | None:
    try:
        return _decoded(context.repository.read(blob, limit=SIDE_BYTES))
    except ObjectTooLargeError:
        return None


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def revision_of_main(context: Context, revision: str) -> CommitDto:
    """Give a commit of main's history, by its full name."""
    repository, main = context.repository, context.repository.resolve(MAIN)
    if (
        main is None
        or repository.resolve(revision) is None
        or not repository.is_ancestor(revision, main)
    ):
        raise NotFoundError(f"main has no revision {revision}")
    commit = repository.commit(revision)
    return CommitDto(
        sha=commit.sha,
        author=commit.author,
        subject=commit.subject,
        authored_at=commit.authored_at,
    )
