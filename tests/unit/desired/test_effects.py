"""What promotion would change on a node, and how risky that is."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import get_args

import pytest

from xyn_reconciler.desired.diff import Weight, diff
from xyn_reconciler.desired.effects import Effect, Effects, assess, effects, risk_rules
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.policy import DEFAULT_RISK, RiskRules
from xyn_reconciler.template import template_files

TWO = dt.datetime(2026, 3, 5, 2, tzinfo=dt.UTC)
NODE = "id: seed\nlabels: [eu]\n"
NIGHT = """
id: bp.night
triggers: [{event_type: a.b}, {schedule: {cron: "0 2 * * *"}}]
plan:
  - {id: ok, kind: gate, mode: manual}
  - {id: call, kind: action_task, action: http.call, with: {url: "https://a.example.net/x"}}
"""


def next_times(cron: str, timezone: str) -> Sequence[dt.datetime]:
    assert (cron, timezone) == ("0 2 * * *", "UTC")
    return [TWO]


def state(files: dict[str, str]) -> DesiredState:
    return DesiredState.of(
        load(path, hashlib.sha256(text.encode()).hexdigest(), text.encode())
        for path, text in files.items()
    )


def between(before: dict[str, str], after: dict[str, str]) -> Effects:
    node = {"node.yaml": NODE}
    return effects(state(node | before), state(node | after), "seed", next_times)


def test_a_new_blueprint_gains_all_that_it_brings() -> None:
    found = between({}, {"blueprints/n.yaml": NIGHT}).to_json()

    assert found == {
        "triggers": {"gained": [{"document_id": "bp.night", "name": "a.b"}], "lost": []},
        "schedules": {
            "gained": [
                {
                    "document_id": "bp.night",
                    "cron": "0 2 * * *",
                    "timezone": "UTC",
                    "next_times": ["2026-03-05T02:00:00.000000Z"],
                }
            ],
            "lost": [],
        },
        "actions": {"gained": [{"document_id": "bp.night", "name": "http.call"}], "lost": []},
        "hosts": {"gained": [{"document_id": "bp.night", "name": "a.example.net"}], "lost": []},
        "secrets": {"gained": [], "lost": []},
        "gates": {"gained": [{"document_id": "bp.night", "name": "ok"}], "lost": []},
        "risk": "medium",
        "reasons": [
            "bp.night: trigger gained: a.b",
            "bp.night: trigger gained: schedule 0 2 * * * UTC",
            "bp.night: step call added: http.call",
            "bp.night: reaches host a.example.net",
        ],
    }


def test_what_goes_is_lost() -> None:
    found = between({"blueprints/n.yaml": NIGHT}, {})

    assert [each.name for each in found.triggers.lost] == ["a.b"]
    assert [each.name for each in found.gates.lost] == ["ok"]
    assert [each.name for each in found.actions.lost] == ["http.call"]
    assert found.risk == "low"
    assert found.reasons == ()


@pytest.mark.parametrize(
    ("chosen", "live"),
    [("", True), ("nodes: [seed]", True), ("nodes: ['label:eu']", True), ("nodes: [b]", False)],
)
def test_triggers_are_gained_only_where_they_are_live(chosen: str, *, live: bool) -> None:
    found = between({}, {"blueprints/n.yaml": f"{NIGHT}{chosen}\n"})

    assert bool(found.triggers.gained) is live
    assert bool(found.schedules.gained) is live
    assert found.actions.gained == (Effect("bp.night", "http.call"),)


def test_a_node_that_is_suspended_loses_the_triggers_of_files_that_did_not_change() -> None:
    before = {"blueprints/n.yaml": NIGHT}
    found = between(before, {**before, "node.yaml": NODE + "mode: suspended\n"})

    assert [each.name for each in found.triggers.lost] == ["a.b"]
    assert [each.next_times for each in found.schedules.lost] == [(TWO,)]
    assert found.actions.lost == ()


def test_an_address_that_the_node_may_reach_and_a_secret_of_a_source_are_told() -> None:
    source = "id: x\nevent_type: a.b\nverify: {scheme: bearer, secret_refs: [env/HOOK]}\n"
    found = between(
        {}, {"node.yaml": NODE + "egress: {allow: [10.0.0.0/8]}\n", "sources/x.yaml": source}
    )

    assert found.hosts.gained == (Effect("seed", "10.0.0.0/8"),)
    assert found.secrets.gained == (Effect("x", "env/HOOK"),)


def test_every_secret_that_a_node_names_is_told_those_of_its_bucket_too() -> None:
    more = """\
providers: {openai: {enabled: true, key_ref: env/OPENAI}}
artifacts: {s3: {bucket: artifacts, key_ref: env/S3_KEY, secret_ref: sys/local/s3/secret}}
"""
    found = between({}, {"node.yaml": NODE + more})

    assert [each.name for each in found.secrets.gained] == [
        "env/OPENAI",
        "env/S3_KEY",
        "sys/local/s3/secret",
    ]


def test_the_host_of_an_address_is_found_in_variables_and_left_a_template_where_it_is_one() -> None:
    text = """
id: bp.x
vars: {watchers: [{url: "https://user@b.example.net:8443/c"}]}
plan:
  - {id: a, kind: action_task, action: http.call, with: {url: "{{ vars.watchers[0].url }}"}}
  - {id: b, kind: action_task, action: ssh.run, with: {host: "{{ node.vars.h }}", cmd: uptime}}
  - {id: c, kind: action_task, action: http.call, with: {url: "https://{{ node.vars.h }}.c.net/x"}}
"""
    found = between({}, {"blueprints/n.yaml": text})

    assert [each.name for each in found.hosts.gained] == [
        "b.example.net:8443",
        "{{ node.vars.h }}",
        "{{ node.vars.h }}.c.net",
        "{{ vars.watchers[0].url }}",
    ]


@pytest.mark.parametrize(
    ("old", "new", "risk"),
    [
        ("  - {id: ok, kind: gate, mode: manual}\n", "", "high"),
        ("http.call, with: {url", "ssh.run, with: {cmd: x, host: h, env: {}, url", "high"),
        ("a.example.net/x", "b.example.net/x", "medium"),
        ("id: bp.night", "name: Night\nid: bp.night", "low"),
        ("mode: manual", "mode: manual, approvals: {from_any_of: ['team:noc']}", "high"),
    ],
)
def test_a_change_is_as_risky_as_the_riskiest_thing_that_it_does(
    old: str, new: str, risk: str
) -> None:
    assert old in NIGHT
    found = between({"blueprints/n.yaml": NIGHT}, {"blueprints/n.yaml": NIGHT.replace(old, new)})

    assert found.risk == risk


def policy(risk: str, number: int = 1, status: str = "active") -> str:
    return (
        f"policy_id: 00000000-0000-4000-8000-00000000000{number}\npolicy_type: governance\n"
        f"name: risk\nstatus: {status}\nrules: []\nrisk: {risk}\n"
    )


def test_policies_say_what_is_risky_and_the_strictest_of_them_counts() -> None:
    night = {"blueprints/n.yaml": NIGHT}
    rules = {
        "policies/a.yaml": policy("{trigger_gained: low, action_added: {http.call: high}}"),
        "policies/b.yaml": policy("{trigger_gained: medium, host_added: low}", 2),
        "policies/c.yaml": policy("{trigger_gained: high}", 3, "draft"),
    }
    known = risk_rules(state(rules))

    risk, reasons = assess(diff(state({}), state(night)), known)

    assert (known.trigger_gained, known.host_added) == ("medium", "low")
    assert (risk, [change.name for change in reasons]) == ("high", ["http.call"])
    assert known.of_action("ssh.run") == "high"
    assert known.of_action("git.repo.commit") == "medium"


def test_the_rules_before_the_change_say_how_risky_it_is() -> None:
    looser = policy("{policy_changed: low, action_added: {'*': low}, gate_removed: low}")

    assert between({}, {"policies/a.yaml": looser}).risk == "high"


def test_the_template_writes_out_the_risk_that_holds_without_it() -> None:
    data = dict(template_files())["policies/how-risky.yaml"]

    written = load("policies/how-risky.yaml", "b", data).document["risk"]

    assert written == DEFAULT_RISK.model_dump()


def test_every_weight_of_a_change_has_a_risk() -> None:
    assert {*get_args(Weight)} - {"gate_added"} == {*RiskRules.model_fields}
