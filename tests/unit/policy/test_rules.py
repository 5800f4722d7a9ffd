"""Who there is and which rules hold, read from active documents."""

import datetime as dt
from typing import Any

from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.policy.rules import OWNER, Rules

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
PRINCIPALS = {
    "principals": [
        {"id": "ada", "roles": ["Operator"], "teams": ["noc"]},
        {"id": "bot", "kind": "agent"},
        {"id": "operator", "roles": ["OwnerAdmin"]},
    ]
}


def policy(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - keys of a policy
    return {
        "policy_id": "2f1c1f9e-5a0b-4a4e-9a53-2f7e5d9d1a01",
        "policy_type": "governance",
        "name": "House rule",
        "status": "active",
        "rules": [
            {
                "rule_id": "7a0e3c52-2b19-4b0f-8d0e-5f6a7b8c9d02",
                "match": {"action": "run.start"},
                "effect": "deny",
            }
        ],
        **changes,
    }


def rules(*policies: dict[str, Any], auth: str = "open", stage: str = "dev") -> Rules:
    documents = [("principals.yaml", "principals", PRINCIPALS, "c0")]
    documents += [(f"policies/{n}.yaml", "policy", each, "c1") for n, each in enumerate(policies)]
    return Rules.of(documents, {"auth": auth, "stage": stage, "env_id": "local"})


def test_a_principal_has_the_roles_of_the_file_and_whoever_is_not_in_it_is_a_service() -> None:
    found = rules()

    assert found.principal("ada") == Principal(
        "ada", "person", frozenset({"Operator"}), frozenset({"noc"})
    )
    assert found.principal("bot").kind == "agent"
    assert found.principal("source:pager") == Principal("source:pager", "service")
    assert found.principal("gone").kind == "service"


def test_nobody_becomes_the_owner_by_an_entry_in_the_file() -> None:
    assert "operator" not in rules().principals
    assert rules().principal("operator") == OPERATOR
    assert rules(auth="required").principal("operator") == OWNER
    assert not OWNER.roles


def test_only_active_governance_policies_decide_and_a_decision_names_their_commit() -> None:
    ada = Principal("ada", roles=frozenset({"Operator"}))

    denied = rules(policy()).ask(ada, "run.start", NOW)
    drafted = rules(policy(status="draft")).ask(ada, "run.start", NOW)

    assert (denied.outcome, denied.decision.version) == ("refused", "c1")
    assert drafted.outcome == "allowed"


def test_what_stage_a_node_is_on_comes_from_its_settings() -> None:
    asked = rules(stage="prod").ask(OPERATOR, "secret.use", NOW)

    assert (asked.request.stage, asked.outcome) == ("prod", "refused")
