"""Promote a draft: merge, judge, ask, note, and only then move ``main``.

A merge is the promotion. Whoever is killed on the way leaves either nothing but
entries of the audit, or a ``main`` that has the draft: then the loop closes the review
(:mod:`.noting`). Works in any process of a node. The trap: ``main`` may move at any
moment, and then everything is looked at again, from the merge on.
"""

import contextlib
import time
import uuid
from collections.abc import Sequence
from typing import Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.errors import (
    ConflictError,
    InvalidError,
    NeedsApprovalError,
    UnavailableError,
)
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.change import told
from xyn_reconciler.review import finish, landing
from xyn_reconciler.review.assess import NEEDED, Assessment, Facts, assess
from xyn_reconciler.review.desk import Desk
from xyn_reconciler.review.held import held
from xyn_reconciler.review.landing import Landed
from xyn_reconciler.review.merged import Merged
from xyn_reconciler.store import audit, notice, reviews
from xyn_reconciler.store.reviews import Check, Review

CHECKS_SECONDS: Final = 60.0
"""How long a promotion waits for checks that are under way."""

POLL_SECONDS: Final = 0.25

PROMOTED_BY: Final = "Promoted-By-Run"
"""The trailer by which a step that is tried again knows its own promotion."""


class ChecksFailedError(InvalidError):
    """A check of exactly this has failed."""

    code = "validation_failed"


def promote(
    desk: Desk,
    draft_id: uuid.UUID,
    actor: Principal,
    *,
    head: str | None = None,
    run_id: uuid.UUID | None = None,
    seconds: float = CHECKS_SECONDS,
) -> Landed:
    """Merge a draft into ``main``, for ``actor``; with ``head`` only what was looked at.

    The merge names the run whose step did it, if one did (:data:`PROMOTED_BY`). Waits
    for checks that run, at most ``seconds``. Raises ``DraftNotFoundError``,
    ``ConflictError`` (closed, moved, conflicts, nothing to merge), ``ProblemsError`` and
    :class:`ChecksFailedError`, ``DeniedError``, ``NeedsApprovalError`` with every unmet
    condition, and ``UnavailableError`` where the checks or ``main`` do not come to rest.
    """
    until = time.monotonic() + seconds
    while True:
        review = desk.open_review(draft_id, head=head)
        main = desk.main()
        landing.settled(desk, main)
        facts = desk.facts(review, main=main, actor=actor)
        assessment = assess(facts)
        merged = desk.merging.of(main, review.head)
        _refuse_for_good(desk, facts, assessment, merged)
        waits = unsettled(facts)
        if not waits:
            _refuse_for_now(desk, facts, assessment, merged)
            commit = _commit(desk, facts, assessment, merged, run_id)
            accepted = _accept(desk, facts, assessment, commit)
            if accepted is not None and landing.moved(desk, main=main, commit=commit):
                _finish(desk, review, accepted)
                return landing.landed(desk, commit)
        if time.monotonic() >= until:
            raise UnavailableError(
                f"draft/{review.name} waits for its checks: {', '.join(waits)}"
                if waits
                else "main moves all the time: try again"
            )
        wait(desk, review)


def unsettled(facts: Facts) -> list[str]:
    """Give the needed checks that have no result yet for the draft merged with ``main``."""
    ended = {
        each.name
        for each in facts.checks
        if each.main == facts.main and each.status in ("passed", "failed", "skipped")
    }
    return [name for name in NEEDED if name not in ended]


def wait(desk: Desk, review: Review) -> None:
    """Have the node's loop look at a draft, and give it a moment."""
    with desk.database.begin() as connection:
        notice.notify(connection, notice.REVIEW, review.name)
    time.sleep(POLL_SECONDS)


def _refuse_for_good(desk: Desk, facts: Facts, assessment: Assessment, merged: Merged) -> None:
    """Raise what no check and nobody's approval would change."""
    what = f"draft/{facts.review.name}"
    landing.refuse_following(desk, facts.in_force.settings)
    if assessment.unmet and any(each.outcome == "refused" for each in assessment.asked):
        _refuse_by_policy(desk, facts, assessment)
    landing.refuse_conflicts(desk.repository, what, merged.conflicts)
    if not merged.differing:
        why = held(desk.repository, main=facts.main, head=facts.review.head)
        raise ConflictError(why or f"there is nothing to merge: main holds all of {what}")


def _refuse_for_now(desk: Desk, facts: Facts, assessment: Assessment, merged: Merged) -> None:
    """Raise what stands in the way of exactly this."""
    landing.refuse_problems(desk, merged, facts.in_force.node_id, facts.now)
    failed = [c for c in facts.checks if c.name in NEEDED and c.status == "failed"]
    if failed:
        raise ChecksFailedError(_failures(facts.review, failed), details=_reports(failed))
    if assessment.rejections or assessment.unmet:
        _refuse_by_policy(desk, facts, assessment)


def _refuse_by_policy(desk: Desk, facts: Facts, assessment: Assessment) -> None:
    about = {"draft_id": str(facts.review.draft_id)}
    landing.tell_refused(desk, assessment.asked, facts.now, about)
    what = f"the promotion of draft/{facts.review.name}"
    error = landing.refusal(what, assessment.asked, assessment.unmet)
    if error is not None:
        raise error
    raise NeedsApprovalError(
        f"{what} is refused: " + "; ".join(assessment.reasons),
        details={"unmet": list(assessment.reasons)},
    )


def _failures(review: Review, failed: Sequence[Check]) -> str:
    listed = "; ".join(f"{each.name}: {each.summary}" for each in failed)
    return f"draft/{review.name} has not passed its checks: {listed}"


def _reports(failed: Sequence[Check]) -> dict[str, object]:
    return {"checks": {each.name: each.report for each in failed}}


def _commit(
    desk: Desk, facts: Facts, assessment: Assessment, merged: Merged, run_id: uuid.UUID | None
) -> str:
    review = facts.review
    trailers = [
        f"Draft: {review.name}",
        *(f"Reviewed-by: {each.principal}" for each in assessment.approvals),
        *landing.policy_trailers(assessment.asked),
        *([f"Run-Id: {review.run_id}"] if review.run_id else []),
        *([f"{PROMOTED_BY}: {run_id}"] if run_id else []),
    ]
    return desk.repository.write_commit(
        tree=desk.repository.commit(merged.commit).tree,
        parents=[facts.main, review.head],
        message="\n".join([f"Promote draft/{review.name}", "", *trailers, ""]),
        author=landing.author(facts.actor),
        now=facts.now,
    )


def _accept(desk: Desk, facts: Facts, assessment: Assessment, commit: str) -> AuditEntry | None:
    """Note what was decided; None where somebody changed something while it was looked at."""
    review, now = facts.review, facts.now
    about = {"draft_id": str(review.draft_id)}
    grant = facts.grant_id
    decided = [
        told(each, now, grant_id=grant if each.unmet else None, **about)
        for each in assessment.asked
    ]
    accepted = landing.accepted(
        facts.actor,
        old=facts.main,
        new=commit,
        how="promotion",
        now=now,
        approvals=[str(each.decision_id) for each in assessment.approvals],
        policy=[each.to_json() for each in assessment.asked],
        **about,
    )
    with desk.database.begin() as connection:
        reviews.hold(connection)
        found = reviews.get_review(connection, review.draft_id)
        if found is None or found.closed_at is not None or found.head != review.head:
            return None
        if reviews.votes(connection, review.draft_id) != [*facts.votes]:
            return None
        audit.put(connection, [*decided, accepted])
    return accepted


def _finish(desk: Desk, review: Review, accepted: AuditEntry) -> None:
    with contextlib.suppress(ConflictError):  # pushed to in the meantime: a draft of its own now
        desk.repository.update_ref(review.ref, expected=review.head, new=None)
    with desk.database.begin() as connection:
        finish.promoted(connection, review, accepted, emit=desk.emit, now=desk.clock())
