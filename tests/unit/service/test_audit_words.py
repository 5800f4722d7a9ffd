"""The audit in words: who, then what."""

import datetime as dt
from typing import Any

import pytest

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.service.audit_words import sentence

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
A, B = "a" * 40, "b" * 40


def said(kind: str, subject: str | None = None, **entry: Any) -> str:  # noqa: ANN401 - JSON
    return sentence(AuditEntry(kind=kind, actor="ada", at=NOON, subject=subject, entry=entry))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"old": A, "new": B, "how": "push"},
            "ada had the move of main from aaaaaaaaaaaa to bbbbbbbbbbbb accepted by a push",
        ),
        (
            {"old": None, "new": B, "how": "promotion"},
            (
                "ada had the move of main from its beginning to bbbbbbbbbbbb accepted"
                " to promote a draft"
            ),
        ),
        ({"old": A, "new": None}, "ada had the deletion of main accepted (aaaaaaaaaaaa)"),
        ({"old": None, "new": A, "how": "init"}, "ada began the log with main at aaaaaaaaaaaa"),
    ],
)
def test_a_move_says_from_where_to_where_and_how(entry: dict[str, Any], words: str) -> None:
    assert said("ref.accepted", "refs/heads/main", **entry) == words


def test_a_decision_says_what_was_asked_what_came_of_it_by_which_rule_and_what_is_missing() -> None:
    words = said(
        "policy.decided",
        "blueprint.promote",
        resource_type="blueprint",
        resource_id="bp.night",
        outcome="needs_approval",
        policy_id="prod",
        rule_id="two-eyes",
        unmet=["1 approval of role Operator"],
    )

    assert words == (
        "ada asked for blueprint.promote on blueprint bp.night: needs approval by prod/two-eyes;"
        " 1 approval of role Operator"
    )


def test_what_was_allowed_by_a_broken_glass_says_so() -> None:
    assert said("policy.decided", "run.start", outcome="allowed", grant_id="1").endswith(
        "allowed (break-glass)"
    )


def test_checks_name_what_failed() -> None:
    words = said("review.checked", "x", iteration=2, checks={"lint": "passed", "tests": "failed"})

    assert words == "ada checked iteration 2, failed: tests"


def test_a_kind_of_another_version_is_said_by_its_name() -> None:
    assert said("moon.landed", "tranquility") == "ada: moon.landed of tranquility"
