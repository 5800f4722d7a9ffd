"""What people say of a draft: yes, no, a remark, look again, never mind.

A yes or no is for the effect digest: for what promotion would change, exactly. Who may
not say it is told why at once, and not when the draft is promoted.
"""

import contextlib
import uuid
from typing import Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.errors import ConflictError, DeniedError, NeedsApprovalError, XynError
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.change import refused
from xyn_reconciler.policy.kernel import may_approve
from xyn_reconciler.policy.requirements import any_of, eligible
from xyn_reconciler.review import finish
from xyn_reconciler.review.assess import Assessment, Facts, assess, effect_digest
from xyn_reconciler.review.desk import Desk
from xyn_reconciler.review.tell import tell
from xyn_reconciler.store import audit, notice, reviews
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.reviews import Comment, Review, Said, Vote

SHORT: Final = 12
"""Digits of a digest that a message shows."""


_VERBS: Final = {"approved": "review.approve", "rejected": "review.reject"}


class StaleApprovalError(ConflictError):
    """What promotion would change is not what was looked at."""

    code = "stale_approval"


class ForeignApprovalError(ConflictError):
    """What was looked at is another draft."""

    code = "foreign_approval"


class UsedApprovalError(ConflictError):
    """What was agreed on is promoted already."""

    code = "used_approval"


class AlreadyDecidedError(ConflictError):
    """This person has said the same of exactly this before."""

    code = "already_decided"


class NotAnApproverError(NeedsApprovalError):
    """Somebody else is asked."""

    code = "not_an_approver"


class SelfApprovalError(NotAnApproverError):
    """It is their own work."""

    code = "self_approval"


def vote(
    desk: Desk,
    draft_id: uuid.UUID,
    actor: Principal,
    decision: Said,
    *,
    digest: str | None = None,
    comment: str | None = None,
) -> Vote:
    """Note a person's yes or no; ``digest`` names what they looked at.

    Raises one of the errors of this module, ``DeniedError`` for services and agents and
    for whom nobody knows, ``ConflictError`` where the draft is closed or moves.
    """
    review = desk.open_review(draft_id)
    facts = desk.facts(review, main=desk.main(), actor=actor)
    assessment = assess(facts)
    try:
        refuse_the_wrong_person(facts, assessment, actor, decision)
    except DeniedError as error:
        _tell_refused(desk, review, actor, _VERBS[decision], error)
        raise
    if digest is not None and digest != assessment.effect_digest:
        raise _wrong_digest(desk, review, digest, assessment.effect_digest)
    now = desk.clock()
    said = Vote(
        decision_id=uuid.uuid4(),
        draft_id=draft_id,
        iteration=review.iteration,
        effect_digest=assessment.effect_digest,
        principal=actor.id,
        decision=decision,
        comment=comment,
        created_at=now,
        used_by=None,
    )
    entry = {
        "decision_id": str(said.decision_id),
        "iteration": said.iteration,
        "effect_digest": said.effect_digest,
        **({} if comment is None else {"comment": comment}),
    }
    with desk.database.begin() as connection:
        _still(connection, review)
        if _last_word(connection, said) == decision:
            raise AlreadyDecidedError(f"{actor.id} has {decision} exactly this already")
        reviews.insert_vote(connection, said)
        kind = f"review.{decision}"
        tell(connection, review, kind, entry, None, actor=actor.id, emit=desk.emit, now=now)
    return said


def comment(
    desk: Desk,
    draft_id: uuid.UUID,
    actor: Principal,
    text: str,
    *,
    path: str | None = None,
    line: int | None = None,
) -> Comment:
    """Note a remark, about the whole or about a line of a file."""
    review = desk.open_review(draft_id)
    now = desk.clock()
    said = Comment(
        comment_id=uuid.uuid4(),
        draft_id=draft_id,
        iteration=review.iteration,
        path=path,
        line=line,
        author=actor.id,
        text=text,
        created_at=now,
    )
    about = {key: value for key, value in (("path", path), ("line", line)) if value is not None}
    entry = {
        "comment_id": str(said.comment_id),
        "iteration": said.iteration,
        "text": text,
        **about,
    }
    with desk.database.begin() as connection:
        _still(connection, review)
        reviews.insert_comment(connection, said)
        tell(
            connection,
            review,
            "review.commented",
            entry,
            None,
            actor=actor.id,
            emit=desk.emit,
            now=now,
        )
    return said


def look_again(desk: Desk, draft_id: uuid.UUID) -> Review:
    """Have all checks run again."""
    review = desk.open_review(draft_id)
    with desk.database.begin() as connection:
        _still(connection, review)
        reviews.renew_checks(connection, review, desk.clock())
        notice.notify(connection, notice.REVIEW, review.name)
    return desk.review(draft_id)


def close(desk: Desk, draft_id: uuid.UUID, actor: Principal) -> None:
    """Give a draft up: its branch goes, what was said of it stays.

    ``DeniedError`` for a service or an agent that did not push it.
    """
    review = desk.open_review(draft_id)
    with desk.database.read() as connection:
        why = reviews.not_closing(connection, review, actor)
    if why is not None:
        error = DeniedError(why)
        _tell_refused(desk, review, actor, "review.close", error)
        raise error
    now = desk.clock()
    gone = AuditEntry(
        kind="ref.accepted",
        actor=actor.id,
        at=now,
        subject=review.ref,
        entry={"old": review.head, "new": None, "how": "settings"},
    )
    with desk.database.begin() as connection:
        _still(connection, review)
        audit.put(connection, [gone])
    desk.repository.update_ref(review.ref, expected=review.head, new=None)
    with desk.database.begin() as connection:
        finish.closed(connection, review, actor=actor.id, emit=desk.emit, now=now)


def _tell_refused(
    desk: Desk, review: Review, actor: Principal, action: str, error: DeniedError
) -> None:
    about = {"draft_id": str(review.draft_id)}
    with desk.database.begin() as connection:
        audit.put(connection, [refused(actor, action, error.message, desk.clock(), **about)])


def _still(connection: Connection, review: Review) -> None:
    """``ConflictError`` where a review was closed or has another head by now."""
    reviews.hold(connection)
    found = reviews.get_review(connection, review.draft_id)
    if found is None or found.closed_at is not None or found.head != review.head:
        raise ConflictError(f"draft/{review.name} has just changed: look again")


def _last_word(connection: Connection, said: Vote) -> Said | None:
    """Give what this person said last of exactly this."""
    before = [
        each.decision
        for each in reviews.votes(connection, said.draft_id)
        if each.principal == said.principal and each.effect_digest == said.effect_digest
    ]
    return before[-1] if before else None


def refuse_the_wrong_person(
    facts: Facts, assessment: Assessment, actor: Principal, decision: Said
) -> None:
    """Raise where ``actor`` may not say this; pages ask as well, and disable a button."""
    what = f"draft/{facts.review.name}"
    if not may_approve(actor):
        raise DeniedError(
            f"to approve and to reject is for people, and {actor.id} is of kind {actor.kind}:"
            " no policy can allow it"
        )
    if actor.id not in facts.in_force.everybody():
        raise DeniedError(f"{actor.id} is nobody whom principals.yaml names")
    if decision == "rejected":
        return  # whoever may see it may stop it
    wanted = [
        each.decision.requirements.approvals
        for each in assessment.asked
        if each.decision.requirements.approvals is not None
    ]
    if any(eligible(each, facts.authors, [actor]) for each in wanted):
        return
    if actor.id in facts.authors:
        raise SelfApprovalError(f"{actor.id} has pushed to {what}: somebody else has to approve it")
    if wanted:
        asks = "; ".join(dict.fromkeys(map(any_of, wanted)))
        raise NotAnApproverError(f"{what} asks for approval by {asks}, and {actor.id} is neither")


def _wrong_digest(desk: Desk, review: Review, digest: str, now: str) -> ConflictError:
    """Give the reason why an approval of ``digest`` is none of this draft as it is."""
    what, details = f"draft/{review.name}", {"effect_digest": now}
    with desk.database.read() as connection:
        votes = reviews.votes_on(connection, digest)
        others = [one for one in reviews.open_reviews(connection) if one.name != review.name]
    used = next((each.used_by for each in votes if each.used_by is not None), None)
    if used is not None:
        return UsedApprovalError(
            f"{digest[:SHORT]} was agreed on and promoted by {used[:SHORT]}: an approval allows one"
            f" promotion; {what} would change {now[:SHORT]}",
            details=details,
        )
    foreign = {each.draft_id for each in votes if each.draft_id != review.draft_id}
    for other in others:
        if other.draft_id in foreign or _digest_of(desk, other) == digest:
            return ForeignApprovalError(
                f"{digest[:SHORT]} is what draft/{other.name} would change; {what} would change"
                f" {now[:SHORT]}: look at it",
                details=details,
            )
    if foreign:
        return ForeignApprovalError(
            f"{digest[:SHORT]} is of another draft; {what} would change {now[:SHORT]}: look at it",
            details=details,
        )
    return StaleApprovalError(
        f"{what} would change {now[:SHORT]} now, and not {digest[:SHORT]}: look at it again",
        details=details,
    )


def _digest_of(desk: Desk, review: Review) -> str | None:
    with contextlib.suppress(XynError):  # it may not merge at all
        return effect_digest(desk.merging.of(desk.main(), review.head).differing)
    return None
