"""What policies say of a change, and what the audit keeps of it."""

import datetime as dt
import uuid

import pytest

from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.policy import GovernancePolicy
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.change import Asked, ask, requests_of, told
from xyn_reconciler.policy.evaluate import PolicyInForce

NOW = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
ADA = Principal("ada", roles=frozenset({"Operator"}))
GRACE = Principal("grace", roles=frozenset({"OwnerAdmin"}))
BOT = Principal("bot", "agent")
RULE = "7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d02"
POLICIES = (
    PolicyInForce(
        GovernancePolicy.model_validate(
            {
                "policy_id": "2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a01",
                "policy_type": "governance",
                "name": "two people",
                "status": "active",
                "rules": [
                    {
                        "rule_id": RULE,
                        "match": {"action": "blueprint.promote"},
                        "effect": "require_approval",
                        "requirements": {
                            "approvals": {
                                "min": 1,
                                "from_any_of": ["role:OwnerAdmin"],
                                "allow_self": False,
                            }
                        },
                    }
                ],
            }
        ),
        "c0ffee",
    ),
)


def asked(
    *kinds: str,
    actor: Principal = ADA,
    stage: Stage = "prod",
    policies: tuple[PolicyInForce, ...] = POLICIES,
    approvers: tuple[Principal, ...] = (),
) -> list[Asked]:
    requests = requests_of(
        kinds, actor=actor, stage=stage, env_id="local", risk="high", now=NOW, resource_id="x"
    )
    return ask(requests, policies, approvers)


def test_a_change_is_asked_once_for_each_action_that_it_is() -> None:
    found = asked("blueprint", "prompt", "policy", "principals", "node", "pack")

    assert [(each.request.action, each.request.resource_type) for each in found] == [
        ("blueprint.promote", "blueprint"),
        ("node.change", "node"),
        ("pack.promote", "pack"),
        ("policy.change", "policy"),
    ]
    assert {each.request.risk for each in found} == {"high"}


def test_a_missing_approval_can_be_given_and_a_denial_cannot_be_got_around() -> None:
    (missing,) = asked("blueprint")
    (given,) = asked("blueprint", approvers=(GRACE,))
    (denied,) = asked("node", approvers=(GRACE,))

    assert (missing.outcome, given.outcome, denied.outcome) == (
        "needs_approval",
        "allowed",
        "refused",
    )
    assert missing.unmet == ("1 more approval by role:OwnerAdmin, and not by ada",)
    assert denied.unmet == (denied.decision.sentence,)


@pytest.mark.parametrize(
    ("stage", "actor", "outcome"),
    [("dev", ADA, "allowed"), ("prod", ADA, "refused"), ("dev", BOT, "refused")],
)
def test_without_any_policy_a_person_may_bring_the_first_one_but_not_on_prod(
    stage: Stage, actor: Principal, outcome: str
) -> None:
    (found,) = asked("policy", stage=stage, actor=actor, policies=())

    assert found.outcome == outcome
    assert (found.decision.effect == "allow") == (outcome == "allowed")


def test_the_audit_names_rule_and_version_and_what_the_decision_rests_on() -> None:
    (missing,) = asked("blueprint")
    (same,) = asked("blueprint")
    (other,) = asked("blueprint", actor=GRACE)

    entry = told(missing, NOW, draft_id="d").entry

    assert entry["rule_id"] == RULE
    assert entry["version"] == "c0ffee"
    assert entry["outcome"] == "needs_approval"
    assert entry["unmet"] == ["1 more approval by role:OwnerAdmin, and not by ada"]
    assert entry["draft_id"] == "d"
    assert entry["inputs_digest"] == told(same, NOW).entry["inputs_digest"]
    assert entry["inputs_digest"] != told(other, NOW).entry["inputs_digest"]


def test_what_a_grant_allowed_says_so_and_still_says_what_was_missing() -> None:
    (missing,) = asked("blueprint")
    grant = uuid.uuid4()

    entry = told(missing, NOW, grant_id=grant).entry

    assert entry["outcome"] == "allowed"
    assert entry["grant_id"] == str(grant)
    assert entry["unmet"] == list(missing.unmet)
