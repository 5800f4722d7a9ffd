"""Pushes through the hooks: what ``main`` takes without a review, and what the audit says."""

import datetime as dt
import uuid

from sqlalchemy import text

from tests.integration.review.review_world import (
    DISK,
    NODE,
    POLICY,
    PRINCIPALS,
    ReviewWorld,
    eventually,
    now,
)
from xyn_reconciler.store.git import MAIN

CPU = DISK.replace("bp.disk", "bp.cpu")
FIRST = {
    "node.yaml": NODE,
    "principals.yaml": PRINCIPALS,
    "policies/two.yaml": POLICY,
    "blueprints/disk.yaml": DISK,
}


def begun(world: ReviewWorld, stage: str) -> str:
    head = world.write({**FIRST, "node.yaml": NODE.format(stage=stage)})
    pushed = world.push("HEAD:main", by="ada")
    assert pushed.ok, pushed.said
    return head


def test_on_dev_an_operator_pushes_to_main_and_the_audit_has_who_and_why(
    served: ReviewWorld,
) -> None:
    old = begun(served, "dev")
    new = served.write({"blueprints/cpu.yaml": CPU})

    pushed = served.push("HEAD:main", by="ada")

    assert pushed.ok
    assert pushed.said == f"active: {new}"
    accepted = served.told("ref.accepted")[-1]
    assert (accepted.actor, accepted.subject) == ("ada", MAIN)
    assert accepted.entry == {"old": old, "new": new, "how": "push"}
    (decided,) = served.told("policy.decided")
    assert decided.entry["action"] == "blueprint.promote"
    assert decided.entry["outcome"] == "allowed"
    assert decided.entry["version"] == old


def test_where_a_second_person_is_asked_for_main_stays_and_the_draft_is_named(
    served: ReviewWorld,
) -> None:
    old = begun(served, "test")
    served.write({"blueprints/cpu.yaml": CPU}, "Watch the CPU")

    pushed = served.push("HEAD:main", by="ada")

    assert not pushed.ok
    assert pushed.said.splitlines() == [
        "blueprint.promote needs 1 more approval by role:OwnerAdmin, and not by ada",
        "main needs a review here and was not moved: git push origin HEAD:draft/watch-the-cpu",
    ]
    assert served.repository.resolve(MAIN) == old
    (decided,) = served.told("policy.decided")
    assert decided.entry["outcome"] == "needs_approval"
    assert decided.entry["ref"] == MAIN
    assert [each.entry["new"] for each in served.told("ref.accepted")] == [old]


def test_a_policy_that_loosens_itself_is_judged_by_the_one_before_it(served: ReviewWorld) -> None:
    begun(served, "test")
    loose = POLICY.replace("require_approval", "allow").replace(
        '    requirements: {approvals: {min: 1, from_any_of: ["role:OwnerAdmin"],'
        " allow_self: false}}\n",
        "",
    )
    served.write({"policies/two.yaml": loose, "blueprints/cpu.yaml": CPU})

    pushed = served.push("HEAD:main", by="ada")

    assert not pushed.ok
    assert "policy.change needs 1 more approval by role:OwnerAdmin" in pushed.said
    assert "blueprint.promote needs 1 more approval" in pushed.said


def test_an_agent_moves_main_nowhere_whatever_the_rules_say(served: ReviewWorld) -> None:
    begun(served, "dev")
    served.write({"blueprints/cpu.yaml": CPU})

    pushed = served.push("HEAD:main", by="bot")

    assert not pushed.ok
    assert "is for people" in pushed.said
    assert "draft/" in pushed.said
    assert served.push("HEAD:draft/cpu", by="bot").ok


def test_a_commit_after_which_nobody_could_change_policy_is_a_problem(served: ReviewWorld) -> None:
    old = begun(served, "dev")
    locked = POLICY.replace('["role:Operator"]', '["principal:gone"]').replace(
        "role:OwnerAdmin", "role:User"
    )
    served.write({"policies/two.yaml": locked})

    pushed = served.push("HEAD:main", by="ada")

    assert not pushed.ok
    assert "policy_lockout" in pushed.said
    assert served.repository.resolve(MAIN) == old


def test_an_open_grant_of_a_person_moves_main_and_is_named_and_an_old_one_does_not(
    served: ReviewWorld,
) -> None:
    begun(served, "test")
    served.write({"blueprints/cpu.yaml": CPU})
    old = grant(served, "ada", minutes=-1)
    assert not served.push("HEAD:main", by="ada").ok
    fresh = grant(served, "ada", minutes=15)
    grant(served, "bot", minutes=15)

    assert not served.push("HEAD:main", by="bot").ok
    pushed = served.push("HEAD:main", by="ada")

    assert pushed.ok
    assert str(fresh) in pushed.said
    decided = served.told("policy.decided")[-1]
    assert decided.entry["outcome"] == "allowed"
    assert decided.entry["grant_id"] == str(fresh) != str(old)


def test_a_pushed_draft_shows_where_its_review_is_and_what_was_found(served: ReviewWorld) -> None:
    main = begun(served, "test")
    served.write({"blueprints/disk.yaml": DISK.replace("note,", "draft,")})
    pushed = served.push("HEAD:draft/disk", by="ada").said.splitlines()
    assert "review: http://node/ui/reviews/disk" in pushed
    assert not any("failed" in line for line in pushed)
    served.start_from(main)
    served.write({"notes/a.md": "correct-horse-battery\n"})

    leaked = served.push("HEAD:draft/leak", by="grace")

    assert leaked.ok
    said = leaked.said.splitlines()
    at = said.index("review: http://node/ui/reviews/leak")
    assert said[at + 1] == "check secrets failed: 1 problem in 1 file"
    review = served.review("leak")
    assert review.author == "grace"
    deleted = served.push(":draft/leak", by="ada")
    assert deleted.ok
    assert eventually(lambda: served.review("leak").closed_at is not None)
    assert served.told("review.closed")[-1].actor == "ada"


def grant(world: ReviewWorld, principal: str, *, minutes: int) -> uuid.UUID:
    grant_id = uuid.uuid4()
    with world.database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO grants (grant_id, principal, role, reason, created_at, expires_at)"
                " VALUES (:id, :principal, 'Operator', 'fire', :from, :to)"
            ),
            {
                "id": grant_id,
                "principal": principal,
                "from": now() - dt.timedelta(hours=1),
                "to": now() + dt.timedelta(minutes=minutes),
            },
        )
    return grant_id


def test_an_agent_deletes_no_draft_that_it_did_not_push(served: ReviewWorld) -> None:
    begun(served, "dev")
    served.write({"blueprints/cpu.yaml": CPU})
    assert served.push("HEAD:draft/adas", by="ada").ok
    assert served.push("HEAD:draft/bots", by="bot").ok
    served.look()

    refused = served.push(":draft/adas", by="bot")

    assert (refused.ok, refused.said) == (
        False,
        "bot has not pushed to draft/adas: people close it",
    )
    assert served.push(":draft/bots", by="bot").ok
