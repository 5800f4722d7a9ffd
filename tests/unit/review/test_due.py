"""Whose checks have to run."""

import datetime as dt
import uuid

from xyn_reconciler.review.loop import due
from xyn_reconciler.store.reviews import Check, CheckStatus, Review

NOW = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
NAMES = ("lint", "validation")
REVIEW = Review(
    draft_id=uuid.UUID(int=1),
    name="x",
    kind="blueprint",
    status="draft",
    head="h",
    iteration=2,
    author="ada",
    run_id=None,
    notes=None,
    created_at=NOW,
    updated_at=NOW,
    promoted_commit=None,
    closed_at=None,
)


def checks(status: CheckStatus = "passed", *names: str, main: str = "m") -> list[Check]:
    return [
        Check(
            draft_id=REVIEW.draft_id,
            iteration=2,
            name=name,
            status=status,
            summary=None,
            report=None,
            artifact_id=None,
            main=main,
            started_at=NOW,
            completed_at=None,
        )
        for name in names or NAMES
    ]


def is_due(found: list[Check], *, busy: int | None = None) -> bool:
    held = {} if busy is None else {REVIEW.draft_id: busy}
    return bool([*due([REVIEW], {REVIEW.draft_id: found}, main="m", names=NAMES, busy=held)])


def test_only_what_was_checked_completely_against_this_main_is_left_alone() -> None:
    assert not is_due(checks())
    assert not is_due(checks("failed"))
    assert is_due([])
    assert is_due(checks("passed", "lint"))
    assert is_due(checks("passed", *NAMES, "of_an_older_version"))
    assert is_due(checks("interrupted"))
    assert is_due(checks("running"))
    assert is_due(checks(main="older"))


def test_checks_that_are_under_way_are_left_to_their_end_unless_of_an_older_iteration() -> None:
    assert not is_due(checks("running"), busy=2)
    assert not is_due(checks("running", main="older"), busy=2)
    assert is_due(checks("running"), busy=1)
