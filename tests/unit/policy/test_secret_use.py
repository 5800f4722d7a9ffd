"""Whose a secret is: the same rule, told twice."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.policy import GovernancePolicy
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.policy.evaluate import PolicyInForce
from xyn_reconciler.policy.request import Request
from xyn_reconciler.policy.secret_use import ACTION, ask_naming, ask_use, misfit

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
NAMES = st.sampled_from(["noc", "dba", "ada", "bob"])
people = st.builds(
    Principal,
    NAMES,
    st.sampled_from(["person", "service", "agent"]),
    st.frozensets(st.sampled_from(["User", "Operator", "OwnerAdmin"])),
    st.frozensets(NAMES),
)
references = st.one_of(
    st.just("env/KEY"),
    st.just("sys/local/infra/aws"),
    NAMES.map(lambda name: f"team/{name}/ssh"),
    NAMES.map(lambda name: f"user/{name}/key"),
)


def naive(reference: str, actor: Principal) -> bool:
    """As seed 26.7 says it."""
    kind, owner = reference.split("/")[:2]
    return {
        "env": True,
        "sys": "Operator" in actor.roles,
        "team": owner in actor.teams,
        "user": owner == actor.id,
    }[kind]


def rule(effect: str, **match: object) -> PolicyInForce:
    policy = {
        "policy_id": "3d4e1c52-0f6b-4f0b-9b61-6f1f0c7b5a10",
        "policy_type": "governance",
        "name": "House",
        "status": "active",
        "evaluation_mode": "first_match",
        "rules": [
            {
                "rule_id": "5a1f7b0e-6a53-4b8e-8a2f-0f1f1f0b2c01",
                "priority": 1,
                "match": {"action": ACTION, "stage": "any", **match},
                "effect": effect,
            }
        ],
    }
    return PolicyInForce(GovernancePolicy.model_validate(policy), "v1", "policies/x.yaml")


def use(reference: str, actor: Principal) -> Request:
    return Request(
        actor=actor,
        action=ACTION,
        stage="dev",
        env_id="local",
        now=NOW,
        resource_type="secret",
        resource_id=reference,
    )


@given(references, people)
def test_a_secret_is_for_those_whose_it_is(reference: str, actor: Principal) -> None:
    assert (misfit(reference, actor) is None) == naive(reference, actor)
    outcome = ask_use(use(reference, actor), []).outcome
    assert outcome == ("allowed" if naive(reference, actor) else "refused")


@given(references, people, st.lists(people, max_size=3))
def test_one_of_those_who_bring_a_reference_has_to_have_a_right_to_it(
    reference: str, actor: Principal, approvers: list[Principal]
) -> None:
    asked = ask_naming(
        [reference], [], [], actor=actor, approvers=approvers, stage="dev", env_id="local", now=NOW
    )

    assert (not asked) == any(naive(reference, each) for each in [actor, *approvers])


@given(references, people)
def test_a_policy_that_denies_is_stricter_than_any_right(reference: str, actor: Principal) -> None:
    assert ask_use(use(reference, actor), [rule("deny")]).outcome == "refused"


@pytest.mark.parametrize(
    ("match", "reference", "outcome"),
    [
        ({"actor": ["role:OwnerAdmin"]}, "sys/local/infra/aws", "allowed"),
        ({"actor": ["role:OwnerAdmin"]}, "team/noc/ssh", "refused"),
        ({"actor": ["role:OwnerAdmin"]}, "user/bob/key", "refused"),
        ({}, "sys/local/infra/aws", "refused"),
    ],
)
def test_a_rule_delegates_what_is_of_the_system_to_whom_it_names(
    match: dict[str, object], reference: str, outcome: str
) -> None:
    ada = Principal("ada", roles=frozenset({"OwnerAdmin"}))

    assert ask_use(use(reference, ada), [rule("allow", **match)]).outcome == outcome


def test_on_an_open_node_the_operator_is_everybody() -> None:
    assert misfit("team/noc/ssh", OPERATOR) is None
    assert misfit("team/noc/ssh", Principal(OPERATOR.id)) is not None
