"""A commit in the words of a reviewer, and what it weighs."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.desired.diff import diff
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState

NIGHT = """
id: bp.fix
triggers:
  - {event_type: checkmk.alert, match: {data.state: [CRIT]}}
inputs:
  host: {type: string, from: "{{ event.data.host }}"}
concurrency: {key: "{{ inputs.host }}", limit: 1}
timeout: 4h
plan:
  - {id: look, kind: transform, set: {x: 1}}
  - {id: approve, kind: gate, mode: manual, timeout: 4h}
  - {id: run_fix, kind: action_task, action: ssh.run, with: {host: web1, cmd: uptime}}
"""


def state(files: dict[str, str]) -> DesiredState:
    return DesiredState.of(
        load(path, hashlib.sha256(text.encode()).hexdigest(), text.encode())
        for path, text in files.items()
    )


def said(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [change.words for change in diff(state(before), state(after))]


def weighed(old: str, new: str, path: str = "blueprints/x.yaml") -> list[tuple[str, str]]:
    found = diff(state({path: old}), state({path: new}))
    return [(change.words, change.weight) for change in found]


def edited(*replaced: tuple[str, str]) -> list[tuple[str, str]]:
    text = NIGHT
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return weighed(NIGHT, text)


def test_a_night_shift_made_bolder_is_told_as_a_reviewer_would() -> None:
    bolder = NIGHT.replace("  - {id: approve, kind: gate, mode: manual, timeout: 4h}\n", "")
    for old, new in (
        ("[CRIT]", "[CRIT, WARN]"),
        ("timeout: 4h", "timeout: 30m"),
        ("{type: string, from", "{type: string, default: web1, from"),
        ("limit: 1", "limit: 3"),
        (
            "ssh.run, with: {host: web1, cmd: uptime}",
            "container.exec, with: {image: a, argv: [ls]}",
        ),
    ):
        bolder = bolder.replace(old, new)

    assert weighed(NIGHT, bolder) == [
        ("concurrency limit 1 -> 3", "other"),
        ("timeout 4h -> 30m", "other"),
        ("trigger now also matches WARN (data.state)", "trigger_gained"),
        ("input host: default added (web1)", "other"),
        ("gate approve removed", "gate_removed"),
        ("step run_fix: action ssh.run -> container.exec", "action_added"),
        ("step run_fix: with.host removed (web1)", "action_changed"),
        ("step run_fix: with.cmd removed (uptime)", "action_changed"),
        ("step run_fix: with.image added (a)", "action_changed"),
        ('step run_fix: with.argv added (["ls"])', "action_changed"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "words", "weight"),
    [
        ("mode: manual", "mode: manual, approvals: {min: 1}", None, None),
        (
            "mode: manual",
            "mode: manual, approvals: {min: 2}",
            "gate approve: approvals min 1 -> 2",
            "other",
        ),
        (
            "mode: manual",
            'mode: manual, approvals: {from_any_of: ["role:Operator", "team:noc"]}',
            "gate approve: approvals from_any_of gains team:noc",
            "gate_loosened",
        ),
        (
            "mode: manual",
            "mode: manual, on_timeout: approve",
            "gate approve: on_timeout reject -> approve",
            "gate_loosened",
        ),
        (
            "mode: manual",
            "mode: manual, when: 'inputs.host'",
            "gate approve: when added (inputs.host)",
            "gate_loosened",
        ),
        (
            "manual, timeout: 4h",
            "manual, timeout: 1h",
            "gate approve: timeout 4h -> 1h",
            "other",
        ),
        (
            "kind: gate, mode: manual, timeout: 4h",
            "kind: transform",
            "gate approve removed",
            "gate_removed",
        ),
        (
            "id: run_fix, kind",
            "id: run_fix, needs: [look], kind",
            "step run_fix no longer waits for gate approve",
            "gate_removed",
        ),
        (
            "id: run_fix, kind",
            "id: run_fix, when: \"steps.approve.outputs.decision != 'x'\", kind",
            "a no at gate approve no longer ends the run: run_fix asks what was decided",
            "gate_loosened",
        ),
    ],
)
def test_a_gate_weighs_what_it_lets_through(
    old: str, new: str, words: str | None, weight: str | None
) -> None:
    found = edited((old, new))

    assert found == [] if words is None else (words, weight) in found


def test_a_new_step_that_does_the_gated_thing_without_the_gate_is_told() -> None:
    renamed = NIGHT.replace("{id: run_fix, kind", "{id: fix, needs: [look], kind")
    again = NIGHT.replace(
        "{id: look, kind: transform, set: {x: 1}}",
        "{id: look, kind: action_task, action: ssh.run, with: {host: web1, cmd: uptime}}",
    )

    assert ("step fix calls ssh.run without gate approve", "gate_removed") in weighed(
        NIGHT, renamed
    )
    assert ("step look calls ssh.run without gate approve", "gate_removed") in weighed(NIGHT, again)


def test_a_gate_that_asks_fewer_people_is_looser() -> None:
    two = NIGHT.replace("mode: manual", "mode: manual, approvals: {min: 2, allow_self: false}")
    one = NIGHT.replace("mode: manual", "mode: manual, approvals: {min: 1, allow_self: true}")

    assert weighed(two, one) == [
        ("gate approve: approvals min 2 -> 1", "gate_loosened"),
        ("gate approve: approvals allow_self false -> true", "gate_loosened"),
    ]


def test_steps_are_told_by_what_they_do_and_where_they_stand() -> None:
    more = (
        "  - {id: tell, kind: action_task, action: http.call,"
        ' with: {url: "https://hooks.example.net/a", token_ref: team/noc/hook}}\n'
    )

    assert weighed(NIGHT, NIGHT + more) == [
        ("step tell added: http.call", "action_added"),
        ("reaches host hooks.example.net", "host_added"),
        ("references secret team/noc/hook", "secret_added"),
    ]
    assert weighed(NIGHT + more, NIGHT) == [("step tell removed", "other")]


def test_another_order_of_steps_is_told_once() -> None:
    plan = ["  - {id: a, kind: transform}\n", "  - {id: b, kind: transform}\n"]
    head = "id: bp.x\nplan:\n"

    found = weighed(head + plan[0] + plan[1], head + plan[1] + plan[0])

    assert found == [("order of steps: a, b -> b, a", "other")]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("data.state: [CRIT]", "data.state: CRIT", []),
        (
            "data.state: [CRIT]",
            "data.state: WARN",
            [
                ("trigger now also matches WARN (data.state)", "trigger_gained"),
                ("trigger no longer matches CRIT (data.state)", "other"),
            ],
        ),
        (
            "data.state: [CRIT]",
            "",
            [("trigger no longer asks that data.state is CRIT", "trigger_gained")],
        ),
        (
            "data.state: [CRIT]",
            "data.state: [CRIT], data.host: web*",
            [("trigger now also asks that data.host is web*", "other")],
        ),
        (
            "event_type: checkmk.alert",
            "event_type: checkmk.*",
            [
                ("trigger lost: checkmk.alert where data.state is CRIT", "other"),
                ("trigger gained: checkmk.* where data.state is CRIT", "trigger_gained"),
            ],
        ),
        (
            "  - {event_type: checkmk.alert",
            "  - {schedule: {cron: '0 2 * * *'}}\n  - {event_type: checkmk.alert",
            [("trigger gained: schedule 0 2 * * * UTC", "trigger_gained")],
        ),
    ],
)
def test_a_trigger_is_told_by_what_it_takes_in(
    old: str, new: str, found: list[tuple[str, str]]
) -> None:
    assert edited((old, new)) == found


def test_what_is_written_with_its_default_is_no_change() -> None:
    assert edited(("limit: 1}", "limit: 1, on_conflict: queue}")) == []


def test_a_long_value_is_said_to_be_changed_and_not_shown() -> None:
    found = edited(("cmd: uptime", f"cmd: {'x' * 70}"))

    assert found == [("step run_fix: with.cmd changed", "action_changed")]


def test_a_renamed_file_is_one_line_and_hides_no_change() -> None:
    gone = NIGHT.replace("  - {id: approve, kind: gate, mode: manual, timeout: 4h}\n", "")

    moved = said({"blueprints/a.yaml": NIGHT}, {"blueprints/b.yaml": NIGHT})
    both = said({"blueprints/a.yaml": NIGHT}, {"blueprints/b.yaml": gone})

    assert moved == ["file blueprints/a.yaml is now blueprints/b.yaml"]
    assert both == [*moved, "gate approve removed"]


def test_a_renamed_blueprint_hides_no_change() -> None:
    gone = NIGHT.replace("  - {id: approve, kind: gate, mode: manual, timeout: 4h}\n", "")

    found = weighed(NIGHT, gone.replace("bp.fix", "bp.new"))

    assert found == [("id bp.fix -> bp.new", "other"), ("gate approve removed", "gate_removed")]


def test_a_blueprint_that_comes_says_all_that_it_does_and_one_that_goes_is_one_line() -> None:
    assert said({}, {"blueprints/x.yaml": NIGHT}) == [
        "blueprint bp.fix added",
        "trigger gained: checkmk.alert where data.state is CRIT",
        "step look added",
        "gate approve added: 1 of role:Operator",
        "step run_fix added: ssh.run",
        "reaches host web1",
    ]
    assert said({"blueprints/x.yaml": NIGHT}, {}) == ["blueprint bp.fix removed"]


POLICY = """
policy_id: 00000000-0000-4000-8000-000000000000
policy_type: governance
name: rules
status: active
rules:
  - rule_id: 00000000-0000-4000-8000-000000000001
    match: {action: policy.change, stage: prod, actor: ["role:OwnerAdmin"]}
    effect: allow
  - {rule_id: 00000000-0000-4000-8000-000000000002, match: {action: "*"}, effect: deny}
"""


def test_a_policy_is_told_rule_by_rule() -> None:
    new = POLICY.replace("effect: allow", "effect: deny").replace(
        "  - {rule_id: 00000000-0000-4000-8000-000000000002",
        "  - {rule_id: 00000000-0000-4000-8000-000000000003",
    )

    assert weighed(POLICY, new, "policies/x.yaml") == [
        ("rule 00000000-0000-4000-8000-000000000002 removed: deny *", "policy_changed"),
        ("rule 00000000-0000-4000-8000-000000000001: effect allow -> deny", "policy_changed"),
        ("rule 00000000-0000-4000-8000-000000000003 added: deny *", "policy_changed"),
    ]


def test_a_rule_that_is_asked_earlier_is_a_change() -> None:
    new = POLICY.replace("0002, match", "0002, priority: 5, match")

    priority, order = [words for words, _ in weighed(POLICY, new, "policies/x.yaml")]

    assert priority == "rule 00000000-0000-4000-8000-000000000002: priority 0 -> 5"
    assert order == (
        "rules are asked in another order: 00000000-0000-4000-8000-000000000002,"
        " 00000000-0000-4000-8000-000000000001"
    )


def test_people_gain_and_lose_roles() -> None:
    old = "principals: [{id: ada, roles: [User], teams: [noc]}, {id: bob}]\n"
    new = "principals: [{id: ada, roles: [Operator], teams: [noc]}, {id: bot, kind: agent}]\n"

    assert weighed(old, new, "principals.yaml") == [
        ("bob leaves", "principals_changed"),
        ("ada gains Operator", "principals_changed"),
        ("ada loses User", "principals_changed"),
        ("bot joins: agent", "principals_changed"),
    ]


@pytest.mark.parametrize(
    ("path", "old", "new", "found"),
    [
        (
            "node.yaml",
            "id: seed\nmode: active\n",
            "id: seed\nmode: shadow\negress: {allow: [10.0.0.0/8]}\n",
            [
                ("mode active -> shadow", "node_changed"),
                ('egress added ({"allow": ["10.0.0.0/8"]})', "node_changed"),
            ],
        ),
        (
            "node.yaml",
            "id: seed\naliases: {fast: {provider: openai, model: a}}\n",
            (
                "id: seed\naliases: {fast: {provider: openai, model: b}}\nbudgets: {day: 5}\n"
                "fallback: [{provider: openai, model: c}]\n"
            ),
            [
                ("aliases.fast model a -> b", "node_changed"),
                ('fallback [] -> [{"provider": "openai", "model": "c"}]', "node_changed"),
                ('budgets added ({"day": 5})', "node_changed"),
            ],
        ),
        (
            "sources/x.yaml",
            "id: x\nevent_type: a.b\nverify: {scheme: github, secret_refs: [env/A]}\n",
            "id: x\nevent_type: a.b\nverify: {scheme: none}\n",
            [
                ("verify scheme github -> none", "source_changed"),
                ('verify secret_refs removed (["env/A"])', "source_changed"),
            ],
        ),
        (
            "packs/p/pack.yaml",
            "id: p\nversion: 1.0.0\n",
            "id: p\nversion: 1.1.0\nrequires: {secrets: [a/b]}\n",
            [
                ("version 1.0.0 -> 1.1.0", "pack_changed"),
                ('requires added ({"secrets": ["a/b"]})', "pack_changed"),
                ("references secret a/b", "secret_added"),
            ],
        ),
        ("prompts/a.md", "Fix it.", "Fix it all.", [("text changed", "action_changed")]),
        (
            "tests/a.yaml",
            "blueprint: bp.x\nexpect: {status: completed}\n",
            "blueprint: bp.x\nexpect: {status: failed}\n",
            [("expect status completed -> failed", "other")],
        ),
        (
            "node.yaml",
            "id: seed\n",
            "id: [\n",
            [("node.yaml cannot be read: see its problems", "node_changed")],
        ),
    ],
)
def test_every_other_kind_of_document_is_told_key_by_key(
    path: str, old: str, new: str, found: list[tuple[str, str]]
) -> None:
    assert weighed(old, new, path) == found


def test_a_prompt_says_which_blueprints_ask_it() -> None:
    asking = (
        "id: bp.ask\nplan: [{id: a, kind: agent_task, provider: openai, model: m,"
        " prompt_file: prompts/a.md}]\n"
    )
    before = {"prompts/a.md": "Fix.", "blueprints/a.yaml": asking}

    assert said(before, {**before, "prompts/a.md": "Mend."}) == ["text changed", "asked by bp.ask"]
    moved = {"prompts/b.md": "Fix.", "blueprints/a.yaml": asking}
    assert said(before, moved) == ["file prompts/a.md is now prompts/b.md"]


STEPS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["transform", "gate", "action"])),
    min_size=1,
    max_size=4,
    unique_by=lambda step: step[0],
)


def blueprint(steps: list[tuple[str, str]]) -> dict[str, Any]:
    shapes: dict[str, dict[str, Any]] = {
        "transform": {"kind": "transform"},
        "gate": {"kind": "gate", "mode": "manual"},
        "action": {"kind": "action_task", "action": "ssh.run", "with": {"host": "a", "cmd": "b"}},
    }
    return {"id": "bp.x", "plan": [{"id": name, **shapes[kind]} for name, kind in steps]}


@given(STEPS, STEPS)
def test_no_step_ever_slips_past_a_gate_unsaid(
    old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    texts = [str(blueprint(steps)).replace("'", '"') for steps in (old, new)]

    changes = diff(*(state({"blueprints/x.json": text}) for text in texts))

    lost = {
        gate
        for at, (name, kind) in enumerate(new)
        if kind == "action"
        for before, (same, was) in enumerate(old)
        if (same, was) == (name, "action")
        for gate, which in old[:before]
        if which == "gate" and (gate, "gate") not in new[:at]
    }
    assert lost <= {change.name for change in changes if change.weight == "gate_removed"}
    assert (changes == []) == (old == new)
