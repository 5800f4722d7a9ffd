"""What steps do with drafts: have them checked, promote them; as whoever caused the run.

The trap: a step may be tried again after what it did. A promotion of its own is
known again by the run that it names, and then there is nothing left to do.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from xyn_reconciler.desired.load import kind_of, load
from xyn_reconciler.model.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.review import promote
from xyn_reconciler.review.assess import Facts, verdict
from xyn_reconciler.review.desk import Desk
from xyn_reconciler.review.reports import with_reports
from xyn_reconciler.service.context import Context
from xyn_reconciler.service.identity import rules
from xyn_reconciler.service.reviews import desk, find, findings
from xyn_reconciler.store import runs
from xyn_reconciler.store.reviews import Review

_CLOSING_SECONDS: Final = 10.0
"""How long a review may stay open after its draft is in ``main``: the node's loop closes it."""


class NothingToValidateError(InvalidError):
    """A draft brings nothing that has rules."""

    code = "invalid_schema"


def validate_draft_of_run(
    context: Context, *, draft: str, run_id: uuid.UUID, seconds: float
) -> dict[str, Any]:
    """As :class:`~xyn_reconciler.model.capability.ValidateDraft` says."""
    actor = _cause(context, run_id)
    facts = _checked(desk(context), find(context, draft), actor, seconds)
    kinds = {kind_of(path) for path, (_, new) in facts.differing.items() if new is not None}
    if kinds <= {"other"} and not facts.conflicts:
        raise NothingToValidateError(
            f"draft/{facts.review.name} brings no file that has rules: a blueprint, a pack ..."
        )
    with context.database.read() as connection:
        current = [each for each in facts.checks if each.main == facts.main]
        checks = with_reports(connection, context.artifacts, current)
    issues = [each.model_dump() for each in findings(checks)]
    told = {each["check"] for each in issues}
    issues += [
        {
            "check": each.name,
            "path": "",
            "line": 0,
            "column": 0,
            "code": "check_failed",
            "message": each.summary or f"{each.name} failed",
        }
        for each in checks
        if each.status == "failed" and each.name not in told
    ]
    return {
        "draft_id": str(facts.review.draft_id),
        "url": f"{context.url}/ui/reviews/{facts.review.draft_id}",
        "revision": facts.review.iteration,
        "is_valid": verdict(checks) == "validated",
        "issues": issues,
        "checks": {each.name: each.status for each in checks},
    }


def promote_draft_of_run(
    context: Context, *, draft: str, run_id: uuid.UUID, seconds: float
) -> tuple[Sequence[str], str]:
    """As :class:`~xyn_reconciler.model.capability.PromoteDraft` says."""
    actor = _cause(context, run_id)
    at, review = desk(context), find(context, draft)
    if review.promoted_commit is None:
        try:
            landed = promote.promote(
                at,
                review.draft_id,
                actor,
                run_id=run_id,
                seconds=min(seconds, promote.CHECKS_SECONDS),
            )
        except ConflictError:
            if not at.repository.is_ancestor(review.head, at.main()):
                raise
            review = _closed(at, review)  # in main already: was that this step?
        else:
            if not landed.applied:
                raise UnavailableError(f"{landed.commit} is in main: {landed.message}")
            return _blueprints(context, landed.commit), landed.commit
    commit = review.promoted_commit
    if commit is None:
        raise ConflictError(f"main holds all of draft/{review.name}, and it was not promoted")
    made = context.repository.commit(commit)
    if str(run_id) not in made.trailer_values(promote.PROMOTED_BY):
        raise ConflictError(f"draft/{review.name} was promoted by {made.author}: {commit}")
    return _blueprints(context, commit), commit


def _cause(context: Context, run_id: uuid.UUID) -> Principal:
    with context.database.read() as connection:
        run = runs.get_run(connection, run_id)
    if run is None:
        raise NotFoundError(f"no run {run_id}")
    return rules(context).principal(run.actor)


def _checked(at: Desk, review: Review, actor: Principal, seconds: float) -> Facts:
    """Give the facts of a draft after its checks with this ``main`` have ended."""
    until = time.monotonic() + seconds
    while True:
        facts = at.facts(at.open_review(review.draft_id), main=at.main(), actor=actor)
        waits = promote.unsettled(facts)
        if not waits:
            return facts
        if time.monotonic() + promote.POLL_SECONDS >= until:
            raise UnavailableError(f"draft/{review.name} waits for its checks: {', '.join(waits)}")
        promote.wait(at, facts.review)


def _closed(at: Desk, review: Review) -> Review:
    until = time.monotonic() + _CLOSING_SECONDS
    while True:
        found = at.review(review.draft_id)
        if found.closed_at is not None or time.monotonic() >= until:
            return found
        promote.wait(at, found)


def _blueprints(context: Context, commit: str) -> list[str]:
    """Name the blueprints that a commit of ``main`` brought or changed, by path."""
    repository = context.repository
    changes = repository.changes(repository.commit(commit).parents[0], commit)
    return [
        load(each.text, each.new_blob, repository.read(each.new_blob)).document_id
        for each in changes
        if each.text is not None and each.new_blob is not None and kind_of(each.text) == "blueprint"
    ]
