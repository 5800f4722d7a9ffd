"""Who may do what: the three modes, how policies combine, and what holds where no rule fits."""

import datetime as dt
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.policy import GovernancePolicy
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.evaluate import Decision, PolicyInForce, evaluate
from xyn_reconciler.policy.request import Request

NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
ADA = Principal("ada", roles=frozenset({"Operator"}), teams=frozenset({"noc"}))
GRACE = Principal("grace", roles=frozenset({"OwnerAdmin"}))
BOT = Principal("bot", "agent", roles=frozenset({"Operator", "OwnerAdmin"}))
DEPLOY = Principal("deploy", "service", roles=frozenset({"Operator"}))


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def policy(*rules: dict[str, Any], mode: str = "first_match", number: int = 1) -> PolicyInForce:
    document = {
        "policy_id": uuid_of(number),
        "policy_type": "governance",
        "name": f"policy {number}",
        "status": "active",
        "evaluation_mode": mode,
        "rules": [
            {"rule_id": uuid_of(number * 100 + index), **rule} for index, rule in enumerate(rules)
        ],
    }
    return PolicyInForce(GovernancePolicy.model_validate(document), f"commit{number}")


def request(action: str = "run.start", actor: Principal = ADA, **given_: Any) -> Request:  # noqa: ANN401 - fields of many types
    values = {"stage": "dev", "env_id": "local", "now": NOON, **given_}
    return Request(actor=actor, action=action, **values)


def approvals(minimum: int, *names: str, allow_self: bool = True) -> dict[str, Any]:
    return {
        "approvals": {"min": minimum, "from_any_of": list(names), "allow_self": allow_self},
    }


def test_the_first_rule_that_fits_decides_by_priority_and_then_by_the_files_order() -> None:
    found = evaluate(
        request(),
        [
            policy(
                {"match": {"action": "run.start"}, "effect": "allow"},
                {"match": {"action": "run.start"}, "effect": "deny", "priority": 5},
                {"match": {"action": "run.*"}, "effect": "allow", "priority": 5},
            )
        ],
    )

    assert (found.effect, found.rule_id, found.policy_id) == ("deny", uuid_of(101), uuid_of(1))
    assert found.version == "commit1"
    assert [each.rule_id for each in found.verdicts[0].rules] == [
        uuid_of(101), uuid_of(102), uuid_of(100),
    ]  # fmt: skip


def test_with_deny_overrides_any_denial_wins_and_an_approval_goes_before_an_allowance() -> None:
    allow = {"match": {}, "effect": "allow", "priority": 9}
    ask = {"match": {}, "effect": "require_approval"}
    deny = {"match": {"stage": "prod"}, "effect": "deny", "priority": -9}
    strict = policy(allow, ask, deny, mode="deny_overrides")

    on_dev = evaluate(request(), [strict])
    on_prod = evaluate(request(stage="prod"), [strict])

    assert (on_dev.effect, on_dev.rule_id) == ("require_approval", uuid_of(101))
    assert (on_prod.effect, on_prod.rule_id) == ("deny", uuid_of(102))


def test_collected_requirements_are_the_most_of_all_rules_that_fit() -> None:
    found = evaluate(
        request(),
        [
            policy(
                {
                    "match": {},
                    "effect": "require_approval",
                    "requirements": approvals(1, "role:Operator", allow_self=False),
                },
                {
                    "match": {},
                    "effect": "require_approval",
                    "requirements": approvals(2, "team:noc"),
                },
                {"match": {}, "effect": "allow", "requirements": {"tests_required": True}},
                {"match": {"stage": "prod"}, "effect": "deny"},
                mode="collect_requirements",
            )
        ],
    )

    assert found.effect == "require_approval"
    assert found.requirements.to_json() == {
        **approvals(2, "role:Operator", "team:noc", allow_self=False),
        "tests_required": True,
    }
    assert found.sentence == (
        "run.start by ada on dev needs 2 approvals by role:Operator or team:noc other than the"
        f" authors, passing tests: rule {uuid_of(100)} of policy policy 1 decides"
    )


def test_the_strictest_policy_decides_and_the_requirements_of_all_are_merged() -> None:
    tests = policy(
        {"match": {}, "effect": "allow", "requirements": {"tests_required": True}}, number=1
    )
    ask = policy(
        {
            "match": {},
            "effect": "require_approval",
            "requirements": approvals(1, "role:OwnerAdmin"),
        },
        number=2,
    )
    deny = policy({"match": {"actor": ["team:noc"]}, "effect": "deny"}, number=3)

    two = evaluate(request(), [ask, tests])
    three = evaluate(request(), [ask, deny, tests])

    assert (two.effect, two.policy_id) == ("require_approval", uuid_of(2))
    assert two.requirements.tests_required
    assert (three.effect, three.policy_id, three.version) == ("deny", uuid_of(3), "commit3")
    assert three.requirements.to_json() == {}


def test_a_rule_that_names_no_approvers_does_not_widen_those_that_another_names() -> None:
    found = evaluate(
        request(),
        [
            policy({"match": {}, "effect": "require_approval"}, number=1),
            policy(
                {
                    "match": {},
                    "effect": "require_approval",
                    "requirements": approvals(1, "role:OwnerAdmin", allow_self=False),
                },
                number=2,
            ),
        ],
    )

    assert found.requirements.approvals is not None
    assert found.requirements.approvals.from_any_of == ["role:OwnerAdmin"]


def test_where_no_rule_names_approvers_any_operator_approves() -> None:
    found = evaluate(request(), [policy({"match": {}, "effect": "require_approval"})])

    assert found.requirements.to_json() == approvals(1, "role:Operator")


def test_a_rule_that_allows_with_approvals_requires_them() -> None:
    found = evaluate(
        request(),
        [policy({"match": {}, "effect": "allow", "requirements": approvals(1, "team:noc")})],
    )

    assert found.effect == "require_approval"


@pytest.mark.parametrize(
    ("action", "stage", "effect"),
    [
        ("infra.apply", "dev", "deny"),
        ("identity.change", "test", "deny"),
        ("policy.change", "dev", "deny"),
        ("node.change", "dev", "deny"),
        ("node.restart", "prod", "allow"),
        ("blueprint.promote", "prod", "deny"),
        ("blueprint.promote", "test", "allow"),
        ("pack.promote", "prod", "deny"),
        ("secret.use", "prod", "deny"),
        ("transfer.out", "prod", "deny"),
        ("transfer.out", "dev", "allow"),
        ("run.start", "prod", "allow"),
        ("gate.approve", "prod", "allow"),
    ],
)
def test_what_no_rule_speaks_of_has_a_default(action: str, stage: str, effect: str) -> None:
    other = policy({"match": {"action": "cicd.deploy"}, "effect": "deny"})

    found = evaluate(request(action, stage=stage), [other])

    assert (found.effect, found.decided_by, found.rule_id) == (effect, "default", None)


@pytest.mark.parametrize("actor", [BOT, DEPLOY])
@pytest.mark.parametrize(
    "action",
    ["gate.approve", "blueprint.promote", "pack.promote", "policy.change", "identity.change"],
)
def test_no_policy_lets_a_service_or_an_agent_approve_promote_or_change_policy(
    actor: Principal, action: str
) -> None:
    anything = policy({"match": {"action": "*"}, "effect": "allow"})

    refused = evaluate(request(action, actor), [anything])

    assert (refused.effect, refused.decided_by) == ("deny", "kernel")
    assert actor.kind in refused.sentence
    assert evaluate(request(action, GRACE), [anything]).effect == "allow"
    assert evaluate(request("run.start", actor), [anything]).effect == "allow"


def test_a_rule_that_does_not_fit_says_which_key_failed_with_both_values() -> None:
    found = evaluate(
        request("blueprint.promote", risk="low", resource_type="blueprint"),
        [
            policy(
                {"match": {"action": "infra.*"}, "effect": "deny"},
                {"match": {"actor": ["role:OwnerAdmin", "team:ops"]}, "effect": "deny"},
                {"match": {"action": "blueprint.*", "stage": "prod"}, "effect": "deny"},
                {"match": {"resource_type": "pack"}, "effect": "deny"},
                {"match": {"risk": "high"}, "effect": "deny"},
                {"match": {"env_id": "eu"}, "effect": "deny"},
                {"match": {"action": "*", "risk": "low", "env_id": "local"}, "effect": "allow"},
            )
        ],
    )

    assert [str(each.misfit) for each in found.verdicts[0].rules] == [
        "action is blueprint.promote, not infra.*",
        "actor is principal:ada, role:Operator, team:noc, not role:OwnerAdmin or team:ops",
        "stage is dev, not prod",
        "resource_type is blueprint, not pack",
        "risk is low, not high",
        "env_id is local, not eu",
        "None",
    ]


def test_a_pattern_means_what_stands_below_it_and_not_a_longer_word() -> None:
    deny = policy({"match": {"action": "run.*"}, "effect": "deny"})

    assert evaluate(request("run.start"), [deny]).effect == "deny"
    assert evaluate(request("run.start.late"), [deny]).effect == "deny"
    assert evaluate(request("runner.start"), [deny]).effect == "allow"


def test_policies_that_are_not_active_say_nothing() -> None:
    deny = policy({"match": {}, "effect": "deny"})
    drafted = PolicyInForce(deny.policy.model_copy(update={"status": "draft"}), "c")

    assert evaluate(request(), [drafted]).verdicts == ()
    assert evaluate(request(), [drafted]).effect == "allow"


# ── A second, naive implementation ───────────────────────────────────────────────────────────────

SUBJECTS = ["role:Operator", "role:OwnerAdmin", "team:noc", "principal:ada", "principal:grace"]
ACTIONS = ["run.start", "policy.change", "blueprint.promote", "infra.apply", "gate.approve"]
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from([*ACTIONS, "*", "run.*", "infra.*", "policy.*"]),
        "actor": st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=2),
        "stage": st.sampled_from(["dev", "prod", "any"]),
        "risk": st.sampled_from(["low", "high", "any"]),
        "resource_type": st.sampled_from(["blueprint", "pack"]),
        "env_id": st.sampled_from(["local", "eu"]),
    },
)
REQUIREMENTS = st.fixed_dictionaries(
    {},
    optional={
        "approvals": st.fixed_dictionaries(
            {
                "min": st.integers(1, 3),
                "from_any_of": st.lists(
                    st.sampled_from(SUBJECTS), min_size=1, max_size=2, unique=True
                ),
                "allow_self": st.booleans(),
            }
        ),
        "tests_required": st.booleans(),
        "backtest_required": st.booleans(),
        "mfa": st.booleans(),
    },
)
RULES = st.fixed_dictionaries(
    {
        "match": MATCHES,
        "effect": st.sampled_from(["allow", "deny", "require_approval"]),
        "priority": st.integers(-1, 1),
    },
    optional={"requirements": REQUIREMENTS},
)
POLICIES = st.lists(
    st.tuples(
        st.lists(RULES, max_size=4),
        st.sampled_from(["first_match", "deny_overrides", "collect_requirements"]),
    ),
    max_size=3,
)
REQUESTS = st.builds(
    request,
    action=st.sampled_from(ACTIONS),
    actor=st.sampled_from([ADA, GRACE, BOT, DEPLOY]),
    stage=st.sampled_from(["dev", "prod"]),
    env_id=st.sampled_from(["local", "eu"]),
    risk=st.sampled_from(["low", "high", None]),
    resource_type=st.sampled_from(["blueprint", "pack", None]),
)


def naive_fits(match: dict[str, Any], asked: Request) -> bool:
    names = [f"principal:{asked.actor.id}"]
    names += ["role:" + role for role in asked.actor.roles]
    names += ["team:" + team for team in asked.actor.teams]
    pattern = match.get("action", "*").split(".")
    action = asked.action.split(".")
    if pattern[-1] == "*":
        pattern, action = pattern[:-1], action[: len(pattern) - 1]
    return (
        pattern == action
        and ("actor" not in match or any(name in match["actor"] for name in names))
        and match.get("stage", "any") in ("any", asked.stage)
        and match.get("risk", "any") in ("any", asked.risk)
        and match.get("resource_type", asked.resource_type) == asked.resource_type
        and match.get("env_id", asked.env_id) == asked.env_id
    )


def naive_merge(parts: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        for key in ("tests_required", "backtest_required", "mfa"):
            if part.get(key):
                merged[key] = True
        if part.get("approvals"):
            more = part["approvals"]
            mine = merged.get("approvals", more)
            merged["approvals"] = {
                "min": max(more["min"], mine["min"]),
                "from_any_of": sorted({*more["from_any_of"], *mine["from_any_of"]}),
                "allow_self": more["allow_self"] and mine["allow_self"],
            }
    return merged


def naive_verdict(
    asked: Request, rules: list[dict[str, Any]], mode: str
) -> tuple[str, dict[str, Any]] | None:
    fitting = []
    for priority in (1, 0, -1):
        for rule in rules:
            if rule["priority"] == priority and naive_fits(rule["match"], asked):
                needs = rule.get("requirements", {})
                asks = rule["effect"] == "allow" and "approvals" in needs
                fitting.append(("require_approval" if asks else rule["effect"], needs))
    if not fitting or mode == "first_match":
        return fitting[0] if fitting else None
    strictest = naive_strictest(fitting)
    if mode == "deny_overrides":
        return next(each for each in fitting if each[0] == strictest)
    return strictest, naive_merge([needs for _, needs in fitting])


def naive_strictest(said: list[tuple[str, dict[str, Any]]]) -> str:
    effects = [effect for effect, _ in said]
    return next(each for each in ("deny", "require_approval", "allow") if each in effects)


def naive(
    asked: Request, policies: list[tuple[list[dict[str, Any]], str]]
) -> tuple[str, dict[str, Any]]:
    for_people = asked.action in ("gate.approve", "blueprint.promote", "policy.change")
    if for_people and asked.actor.kind != "person":
        return "deny", {}
    said = [
        verdict
        for rules, mode in policies
        if (verdict := naive_verdict(asked, rules, mode)) is not None
    ]
    if not said:
        denied = asked.action in ("policy.change", "infra.apply") or (
            asked.action == "blueprint.promote" and asked.stage == "prod"
        )
        return ("deny" if denied else "allow"), {}
    strictest = naive_strictest(said)
    if strictest == "deny":
        return "deny", {}
    needs = naive_merge([each for _, each in said])
    if strictest == "require_approval" and "approvals" not in needs:
        needs["approvals"] = {"min": 1, "from_any_of": ["role:Operator"], "allow_self": True}
    return strictest, needs


def plain(decision: Decision) -> tuple[str, dict[str, Any]]:
    needs = decision.requirements.to_json()
    if "approvals" in needs:
        needs["approvals"]["from_any_of"] = sorted(needs["approvals"]["from_any_of"])
    return decision.effect, needs


@given(REQUESTS, POLICIES)
def test_it_decides_as_a_naive_reading_of_the_rules_does(
    asked: Request, drawn: list[tuple[list[dict[str, Any]], str]]
) -> None:
    policies = [
        policy(*rules, mode=mode, number=number)
        for number, (rules, mode) in enumerate(drawn, start=1)
    ]

    found = evaluate(asked, policies)

    assert plain(found) == naive(asked, drawn)


@given(REQUESTS, POLICIES)
def test_the_order_in_which_policies_are_handed_over_changes_nothing(
    asked: Request, drawn: list[tuple[list[dict[str, Any]], str]]
) -> None:
    policies = [
        policy(*rules, mode=mode, number=number)
        for number, (rules, mode) in enumerate(drawn, start=1)
    ]

    found = {evaluate(asked, order).to_json()["sentence"] for order in _orders(policies)}

    assert len(found) == 1


def _orders(policies: list[PolicyInForce]) -> list[list[PolicyInForce]]:
    return [list(order) for order in itertools.permutations(policies)]
