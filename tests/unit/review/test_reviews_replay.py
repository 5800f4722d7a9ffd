"""The audit's entries make the rows of reviews, whatever else stands between them."""

import datetime as dt
import uuid
from typing import Any

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.store.review_rebuild import replay
from xyn_reconciler.store.reviews import draft_id

START = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
DRAFT = draft_id("x", 0)
YES, NO, COMMENT = (uuid.UUID(int=n) for n in (1, 2, 3))
OPENED = {"name": "x", "kind": "blueprint", "head": "h1", "iteration": 1, "notes": "why"}


def entries(*told: tuple[str, str, dict[str, Any]]) -> list[AuditEntry]:
    """``(kind, actor, entry)``, a minute after each other, about the one draft."""
    return [
        AuditEntry(
            kind=kind,
            actor=actor,
            at=START + dt.timedelta(minutes=minute),
            subject=str(DRAFT),
            entry=entry,
        )
        for minute, (kind, actor, entry) in enumerate(told)
    ]


def test_a_whole_life_comes_back() -> None:
    back = replay(
        [
            AuditEntry(kind="ref.accepted", actor="ada", at=START, subject="refs/heads/main"),
            *entries(
                ("review.opened", "ada", OPENED),
                ("review.updated", "bot", {"head": "h2", "iteration": 2}),
                (
                    "review.checked",
                    "system",
                    {
                        "iteration": 2,
                        "head": "h2",
                        "main": "m",
                        "checks": {"validation": "passed"},
                        "status": "validated",
                        "reports": {"validation": str(COMMENT)},
                        "summaries": {"validation": "no problems"},
                    },
                ),
                (
                    "review.commented",
                    "eve",
                    {
                        "comment_id": str(COMMENT),
                        "iteration": 2,
                        "path": "a.yaml",
                        "line": 3,
                        "text": "Why?",
                    },
                ),
                vote("review.rejected", "eve", NO),
                vote("review.approved", "grace", YES),
                (
                    "review.promoted",
                    "ada",
                    {"name": "x", "head": "h2", "commit": "c", "approvals": [str(YES)]},
                ),
            ),
        ]
    )

    (review,) = back.reviews.values()
    assert (review.status, review.head, review.iteration, review.author) == (
        "promoted",
        "h2",
        2,
        "bot",
    )
    assert (review.promoted_commit, review.notes) == ("c", "why")
    assert review.created_at == START
    assert review.closed_at == START + dt.timedelta(minutes=6)
    assert [(each.iteration, each.author) for each in back.iterations] == [(1, "ada"), (2, "bot")]
    (check,) = back.checks.values()
    assert (check.status, check.main, check.summary) == ("passed", "m", "no problems")
    assert check.artifact_id == COMMENT
    (comment,) = back.comments
    assert (comment.author, comment.path, comment.line, comment.text) == (
        "eve",
        "a.yaml",
        3,
        "Why?",
    )
    assert {each.principal: (each.decision, each.used_by) for each in back.votes.values()} == {
        "eve": ("rejected", None),
        "grace": ("approved", "c"),
    }


def vote(kind: str, actor: str, key: uuid.UUID) -> tuple[str, str, dict[str, Any]]:
    return kind, actor, {"decision_id": str(key), "iteration": 2, "effect_digest": "e"}


def test_an_edit_clears_what_was_validated_and_a_late_result_does_not_bring_it_back() -> None:
    validated = {
        "iteration": 1,
        "head": "h1",
        "main": "m",
        "checks": {"validation": "passed"},
        "status": "validated",
    }
    back = replay(
        entries(
            ("review.opened", "ada", OPENED),
            ("review.updated", "ada", {"head": "h2", "iteration": 2}),
            ("review.checked", "system", validated),
        )
    )

    assert back.reviews[DRAFT].status == "draft"


def test_a_closed_review_keeps_its_status_and_what_nobody_opened_is_passed_over() -> None:
    back = replay(
        [
            AuditEntry(kind="review.closed", actor="ada", at=START, subject=str(uuid.UUID(int=9))),
            *entries(("review.opened", "ada", OPENED), ("review.closed", "ada", {"name": "x"})),
        ]
    )

    assert [each.status for each in back.reviews.values()] == ["draft"]
    assert back.reviews[DRAFT].closed_at == START + dt.timedelta(minutes=1)


def test_a_branch_has_another_review_after_each_that_was_closed() -> None:
    assert draft_id("x", 0) == draft_id("x", 0)
    assert len({draft_id("x", 0), draft_id("x", 1), draft_id("y", 0)}) == 3
