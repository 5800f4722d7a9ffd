"""What is in the way of merging a draft, from values alone."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.review.assess import (
    NEEDED,
    Facts,
    InForce,
    assess,
    effect_digest,
    verdict,
)
from xyn_reconciler.store.reviews import Check, CheckStatus, Review, Said, Vote

NOW = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
DRAFT = uuid.UUID(int=1)
PRINCIPALS = """\
principals:
  - {id: ada, kind: person, roles: [Operator]}
  - {id: grace, kind: person, roles: [OwnerAdmin]}
  - {id: eve, kind: person, roles: [User]}
  - {id: bot, kind: agent, roles: [OwnerAdmin]}
"""
POLICY = """\
policy_id: 2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a01
policy_type: governance
name: two people
status: active
rules:
  - rule_id: 7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d03
    match: {action: blueprint.promote}
    effect: require_approval
    requirements:
      approvals: {min: 1, from_any_of: ["role:OwnerAdmin"], allow_self: false}
      tests_required: true
"""
OLD = "id: bp.x\nplan:\n  - {id: a, kind: transform, set: {x: 1}}\n"
NEW = OLD.replace("x: 1", "x: 2")
PATH = "blueprints/x.yaml"
DIFFERING: Mapping[str, tuple[str | None, str | None]] = {PATH: ("1" * 40, "2" * 40)}
ADA = Principal("ada", roles=frozenset({"Operator"}))


def state(**files: str) -> DesiredState:
    return DesiredState.of(load(path, path, text.encode()) for path, text in files.items())


COMMON = {"principals.yaml": PRINCIPALS, "policies/two.yaml": POLICY}
BEFORE = state(**COMMON, **{PATH: OLD})
AFTER = BEFORE.apply([(PATH, load(PATH, "new", NEW.encode()))])


def check(name: str, status: CheckStatus = "passed", main: str = "m") -> Check:
    return Check(
        draft_id=DRAFT,
        iteration=1,
        name=name,
        status=status,
        summary="so it is",
        report=None,
        artifact_id=None,
        main=main,
        started_at=NOW,
        completed_at=NOW,
    )


def vote(
    principal: str,
    decision: Said = "approved",
    *,
    digest: str = effect_digest(DIFFERING),
    used_by: str | None = None,
) -> Vote:
    return Vote(
        decision_id=uuid.uuid4(),
        draft_id=DRAFT,
        iteration=1,
        effect_digest=digest,
        principal=principal,
        decision=decision,
        comment=None,
        created_at=NOW,
        used_by=used_by,
    )


CHECKED = [check(name) for name in NEEDED]


def facts(votes: Sequence[Vote] = (), **others: Any) -> Facts:  # noqa: ANN401 - any of its fields
    review = Review(
        draft_id=DRAFT,
        name="x",
        kind="blueprint",
        status="validated",
        head="h",
        iteration=1,
        author="ada",
        run_id=None,
        notes=None,
        created_at=NOW,
        updated_at=NOW,
        promoted_commit=None,
        closed_at=None,
    )
    given = Facts(
        review=review,
        main="m",
        before=BEFORE,
        after=AFTER,
        differing=DIFFERING,
        conflicts=(),
        checks=CHECKED,
        votes=votes,
        authors=frozenset({"ada"}),
        in_force=InForce(
            node_id="seed",
            settings={"stage": "prod", "env_id": "local", "auth": "required"},
            state=BEFORE,
            revision="m",
        ),
        actor=ADA,
        grant_id=None,
        next_times=lambda _cron, _zone: (),
        now=NOW,
    )
    return replace(given, **others)


def test_what_everybody_asked_for_is_there_can_be_merged() -> None:
    found = assess(facts([vote("grace")]))

    assert found.mergeable
    assert found.reasons == ()
    assert [each.principal for each in found.approvals] == ["grace"]
    assert [(each.request.action, each.outcome) for each in found.asked] == [
        ("blueprint.promote", "allowed")
    ]
    assert [change.path for change in found.changes] == [PATH]


@pytest.mark.parametrize(
    "votes",
    [
        [],
        [vote("ada")],
        [vote("eve")],
        [vote("bot")],
        [vote("gone")],
        [vote("operator")],
        [vote("grace", digest="of something else")],
        [vote("grace", used_by="an earlier promotion")],
    ],
    ids=["none", "own", "role", "agent", "gone", "owner", "stale", "used"],
)
def test_an_approval_that_does_not_count_changes_nothing(votes: list[Vote]) -> None:
    found = assess(facts(votes))

    assert not found.mergeable
    assert found.unmet == ("1 more approval by role:OwnerAdmin, and not by ada",)
    assert found.reasons == found.unmet


def test_an_author_of_an_earlier_iteration_approves_nothing_later() -> None:
    found = assess(facts([vote("grace")], authors=frozenset({"ada", "grace"})))

    assert not found.mergeable


def test_a_rejection_stands_until_the_same_person_approves() -> None:
    rejected = assess(facts([vote("grace"), vote("eve", "rejected")]))
    withdrawn = assess(facts([vote("grace"), vote("grace", "rejected")]))
    settled = assess(facts([vote("grace", "rejected"), vote("grace")]))

    assert rejected.reasons == ("eve rejected it",)
    assert "grace rejected it" in withdrawn.reasons
    assert settled.mergeable


def test_a_rejection_of_something_else_or_by_an_agent_stops_nothing() -> None:
    other = vote("eve", "rejected", digest="of something else")
    found = assess(facts([vote("grace"), other, vote("bot", "rejected")]))

    assert found.mergeable


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (check("validation", "failed"), "check validation failed: so it is"),
        (check("validation", "running"), "check validation is running"),
        (check("validation", "interrupted"), "check validation was interrupted"),
        (check("validation", main="older"), "check validation has not looked at this"),
    ],
)
def test_a_check_that_has_not_passed_for_this_main_is_in_the_way(
    changed: Check, reason: str
) -> None:
    checks = [changed if each.name == changed.name else each for each in CHECKED]

    found = assess(facts([vote("grace")], checks=checks))

    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(reason)
    assert found.running == (changed.status == "running")


def test_skipped_tests_are_no_evidence_that_they_pass() -> None:
    checks = [check(each.name, "skipped" if each.name == "tests" else "passed") for each in CHECKED]

    found = assess(facts([vote("grace")], checks=checks))

    assert found.unmet == ("passing tests of exactly this",)


def test_conflicts_are_told_once_by_path() -> None:
    checks = [
        check(each.name, "failed" if each.name == "conflicts" else "passed") for each in CHECKED
    ]

    found = assess(facts([vote("grace")], checks=checks, conflicts=[PATH]))

    assert found.reasons == (f"it conflicts with main in {PATH}",)


def test_nothing_to_merge_is_said_so() -> None:
    found = assess(facts(differing={}, after=BEFORE))

    assert found.reasons[0] == "there is nothing to merge: main holds all of it"


def test_what_was_promoted_is_not_promoted_again() -> None:
    done = replace(facts().review, closed_at=NOW, status="promoted")

    found = assess(facts([vote("grace")], review=done))

    assert found.reasons == ("it is promoted already",)


def test_an_open_grant_overcomes_policies_and_no_check() -> None:
    granted = uuid.uuid4()

    assert assess(facts(grant_id=granted)).mergeable
    failed = [check(each.name, "failed") for each in CHECKED]
    assert not assess(facts(grant_id=granted, checks=failed)).mergeable


def test_an_agent_promotes_nothing_whoever_approved() -> None:
    bot = Principal("bot", "agent", frozenset({"OwnerAdmin"}))

    found = assess(facts([vote("grace")], actor=bot))

    assert not found.mergeable
    assert "for people" in found.unmet[0]


def test_the_effect_digest_knows_paths_and_both_blobs_and_no_order() -> None:
    one: dict[str, tuple[str | None, str | None]] = {"a": ("1", "2"), "b": (None, "3")}

    assert effect_digest(one) == effect_digest(dict(reversed(one.items())))
    for other in ({"a": ("1", "2")}, one | {"b": ("9", "3")}, one | {"b": (None, None)}):
        assert effect_digest(other) != effect_digest(one)


def test_validated_asks_for_every_needed_check() -> None:
    assert verdict(CHECKED) == "validated"
    assert verdict([check(each.name, "skipped") for each in CHECKED]) == "validated"
    assert verdict([*CHECKED, check("backtest", "failed")]) == "validated"
    assert verdict(CHECKED[1:]) == "draft"
    assert verdict([*CHECKED[1:], check(CHECKED[0].name, "failed")]) == "draft"
