"""No commit leaves a node that nobody can change, or that nothing can start."""

import datetime as dt

import pytest

from xyn_reconciler.desired.load import load
from xyn_reconciler.policy.lockout import Standing, lockout, standing
from xyn_reconciler.template import template_files

NOW = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
TEMPLATE = dict(template_files())
RULE = "00000000-0000-4000-8000-000000000001"
PRINCIPALS = """
principals:
  - {id: ada, roles: [Operator], teams: [noc]}
  - {id: grace, roles: [OwnerAdmin]}
  - {id: bot, kind: agent, roles: [OwnerAdmin]}
"""
BLUEPRINT = """
id: bp.x
triggers: [{event_type: x.y}]
plan: [{id: a, kind: transform}]
"""


def state(files: dict[str, str]) -> Standing | None:
    return standing([load(path, "b", text.encode()) for path, text in files.items()], "seed", "c1")


def policy(*rules: str) -> str:
    listed = "".join(f"  - {{rule_id: {RULE[:-1]}{at}, {rule}}}\n" for at, rule in enumerate(rules))
    return (
        "policy_id: 00000000-0000-4000-8000-000000000099\npolicy_type: governance\n"
        "name: rules\nstatus: active\nrules:\n" + listed
    )


ANYBODY = 'match: {action: policy.change, actor: ["role:Operator"]}, effect: allow'


def files(*rules: str, stage: str = "dev", **more: str) -> dict[str, str]:
    return {
        "node.yaml": f"id: seed\nstage: {stage}\n",
        "principals.yaml": PRINCIPALS,
        "policies/rules.yaml": policy(*rules),
        "blueprints/x.yaml": BLUEPRINT,
        **more,
    }


def found(*rules: str, stage: str = "dev") -> list[str]:
    return [str(each) for each in lockout(None, state(files(*rules, stage=stage)), NOW)]


@pytest.mark.parametrize("stage", ["dev", "test", "prod"])
def test_nobody_is_locked_out_by_the_template(stage: str) -> None:
    texts = {path: data.decode() for path, data in TEMPLATE.items()}
    texts["node.yaml"] = texts["node.yaml"].replace("stage: dev", f"stage: {stage}")
    if stage == "prod":
        texts["node.yaml"] = texts["node.yaml"].replace("auth: open", "auth: required")

    assert lockout(None, state(texts), NOW) == []


def test_a_denial_of_everybody_is_told_at_the_rule_that_denies() -> None:
    (problem,) = found("match: {action: run.start}, effect: allow", "match: {}, effect: deny")

    assert problem == (
        "policies/rules.yaml:7:15: policy_lockout: after this nobody could change policy:"
        " policy.change by ada on dev is denied: rule 00000000-0000-4000-8000-000000000001 of"
        " policy rules decides; change this rule, or put one before it that lets somebody who is"
        " there do it"
    )


def test_a_policy_that_speaks_of_it_no_more_is_told_at_the_policy() -> None:
    (problem,) = found("match: {action: run.start}, effect: allow")

    assert problem.startswith("policies/rules.yaml:1:12: policy_lockout:")
    assert "add a rule" in problem


def approvals(minimum: int, who: str, *, allow_self: str = "false") -> str:
    return (
        "match: {action: policy.change}, effect: require_approval, requirements:"
        f' {{approvals: {{min: {minimum}, from_any_of: ["{who}"], allow_self: {allow_self}}}}}'
    )


def test_there_have_to_be_enough_people_who_may_approve() -> None:
    enough = found(approvals(1, "role:OwnerAdmin"))
    (too_many,) = found(approvals(2, "role:OwnerAdmin"))
    (nobody,) = found(approvals(1, "team:nobody"))

    assert enough == []
    assert "2 of role:OwnerAdmin would have to approve" in too_many
    assert "there is grace;" in too_many  # the bot has the role, and is no person
    assert "there is nobody;" in nobody


def test_a_single_approver_who_may_not_approve_own_work_needs_somebody_else_who_changes() -> None:
    alone = files(approvals(1, "role:OwnerAdmin"), stage="prod")
    alone["principals.yaml"] = "principals: [{id: grace, roles: [OwnerAdmin]}]\n"

    (problem,) = lockout(None, state(alone), NOW)
    alone["policies/rules.yaml"] = policy(approvals(1, "role:OwnerAdmin", allow_self="true"))

    assert "what grace does, and there is nobody" in problem.message
    assert lockout(None, state(alone), NOW) == []


def test_without_tokens_the_operator_is_there_and_on_prod_not() -> None:
    bare = files(ANYBODY)
    bare["principals.yaml"] = "principals: [{id: bot, kind: agent, roles: [Operator]}]\n"

    assert lockout(None, state(bare), NOW) == []
    bare["node.yaml"] = "id: seed\nstage: prod\n"
    (problem,) = lockout(None, state(bare), NOW)
    assert str(problem).startswith("principals.yaml:1:1: policy_lockout: after this there is no")


def test_a_second_factor_and_windows_that_never_open_lock_out() -> None:
    only = 'match: {action: policy.change, actor: ["role:Operator"]}, effect: allow'
    (mfa,) = found(f"{only}, requirements: {{mfa: true}}")
    window = "requirements: {time_window: {days: [sun], from: '02:00', to: '04:00'}}"

    assert "second factor" in mfa
    assert found(f"{only}, {window}") == []


def test_a_trigger_has_to_be_able_to_start_a_run() -> None:
    (problem,) = found(ANYBODY, "match: {action: run.start}, effect: deny")

    assert "no trigger could start a run" in problem
    assert problem.startswith("policies/rules.yaml:7:15:")
    nothing = files(ANYBODY, "match: {action: run.start}, effect: deny")
    del nothing["blueprints/x.yaml"]
    assert lockout(None, state(nothing), NOW) == []


def test_one_who_may_emit_the_event_is_enough() -> None:
    some = files(
        ANYBODY,
        'match: {action: run.start, actor: ["principal:ada"]}, effect: allow',
        "match: {action: run.start}, effect: deny",
    )

    assert lockout(None, state(some), NOW) == []


def test_what_was_so_before_is_not_the_commits_fault() -> None:
    bare = {"node.yaml": "id: seed\n", "principals.yaml": PRINCIPALS}
    with_blueprint = {**bare, "blueprints/x.yaml": BLUEPRINT}

    assert lockout(state(bare), state(with_blueprint), NOW) == []
    assert [each.path for each in lockout(None, state(bare), NOW)] == ["node.yaml"]
    assert lockout(state(files(ANYBODY)), state(bare), NOW) != []


def test_a_node_that_is_not_defined_has_no_lock() -> None:
    assert lockout(None, state({"node.yaml": "id: other\n"}), NOW) == []


def test_nobody_is_let_in_by_a_name_that_no_token_stands_for() -> None:
    named = "principals:\n  - {id: operator, roles: [Operator]}\n  - {id: bot, kind: agent}\n"
    after = state(files(ANYBODY) | {"node.yaml": "id: seed\nauth: required\n"})
    only = state(
        files(ANYBODY) | {"node.yaml": "id: seed\nauth: required\n", "principals.yaml": named}
    )

    (problem,) = [each for each in lockout(after, only, NOW) if each.path == "principals.yaml"]

    assert "no person who could change policy" in problem.message
