"""One file in, its normal form and every problem out."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xyn_reconciler.desired.load import LoadCache, kind_of, load
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.model.blueprint import Blueprint

SKELETON = """\
id: bp.checkmk.auto_remediate
name: "Checkmk Alert Auto-Remediation"
trigger:
  event_type: "checkmk.alert"
inputs:
  - name: host
  - name: service
plan:
  - kind: agent_task
    id: analyze
    agent: openai
    model: gpt-5
    prompt: "Analyze alert and suggest remediation plan"
  - kind: gate
    id: approve
    mode: manual
  - kind: action_task
    id: run_fix
    action: ssh.run
    with:
      host: "{{inputs.host}}"
      cmd: "..."
outputs:
  - name: summary
"""
"""Seed 7.2, as written."""

WHOLE = """\
id: bp.checkmk.auto_remediate
name: Checkmk alert auto-remediation
labels: {team: noc}
triggers:
  - event_type: checkmk.alert
    match: {data.state: [CRIT, WARN], data.service: "disk-*"}
    when: "event.data.age_s > 60"
    dedupe: {key: "{{ event.data.host }}/{{ event.data.service }}", window: 10m}
  - schedule: {cron: "0 2 * * *", timezone: Europe/Berlin, missed: last}
    event_type: checkmk.sweep
inputs:
  host:    {type: string, from: "{{ event.data.host }}"}
  service: {type: string, from: "{{ event.data.service }}", default: ssh}
vars: {watchers: [{url: "https://hooks.example.net/a"}]}
nodes: [seed]
concurrency: {key: "{{ inputs.host }}", limit: 1, on_conflict: queue}
timeout: 60m
defaults: {retry: {max_attempts: 2}, timeout: 2m}
plan:
  - id: analyze
    kind: agent_task
    provider: openai
    model: gpt-5
    prompt_template: "Suggest a fix for {{ inputs.service }} on {{ inputs.host }}"
    output_schema: {type: object, required: [risk], properties: {risk: {enum: [low, high]}}}
    budget: {max_output_tokens: 2000}
    retry: {max_attempts: 3, delay: 2s, backoff: exponential, max_delay: 1m, on: transient}
  - id: approve
    kind: gate
    mode: manual
    when: "steps.analyze.outputs.risk != 'low'"
    approvals: {min: 1, from_any_of: ["role:Operator", "team:noc"], allow_self: false}
    timeout: 4h
    on_timeout: reject
  - id: run_fix
    kind: action_task
    action: ssh.run
    with:
      {host: "{{ inputs.host }}", argv: "{{ steps.analyze.outputs.argv }}", key_ref: team/noc/ssh}
    idempotency_key: "{{ event.event_id }}"
  - id: notify
    kind: action_task
    action: http.call
    foreach: "{{ vars.watchers }}"
    max_parallel: 4
    continue_on_error: true
    with: {url: "{{ item.url }}", method: POST, json: {host: "{{ inputs.host }}"}}
on_failure:
  - id: page
    kind: action_task
    action: http.call
    with: {url: "https://pager.example.net", method: POST, json: {why: "{{ run.error.message }}"}}
outputs: {summary: "{{ steps.run_fix.outputs.stdout }}"}
"""

OTHERS = {
    "node.yaml": """\
id: seed
env_id: local
mode: active
stage: dev
providers: {openai: {enabled: false}, anthropic: {enabled: false}}
egress: {allow: ["127.0.0.1:9093", "10.20.0.0/16", "*.corp.example.net:443", "[::1]:80"]}
auth: open
limits: {max_steps: 200, run_timeout: 60m, artifact_max: 250MB, artifact_quota: 20GB, backlog: 7d}
""",
    "sources/github.yaml": """\
id: github
verify: {scheme: github, secret_refs: [env/GITHUB_WEBHOOK_SECRET]}
delivery_id: "{{ headers['x-github-delivery'] }}"
foreach: "{{ [body] }}"
event_type: "github.{{ headers['x-github-event'] }}"
resource: {type: repository, id: "{{ item.repository.full_name }}"}
data: "{{ item }}"
payload: keep
redact: [data.sender.email]
""",
    "policies/promotion.yaml": """\
policy_id: 2f1c1f9e-0000-4000-8000-000000000001
policy_type: governance
name: production promotion
status: active
evaluation_mode: first_match
rules:
  - rule_id: 7a0e0000-0000-4000-8000-000000000002
    priority: 100
    match: {action: blueprint.promote, stage: prod, risk: any}
    effect: require_approval
    requirements:
      approvals: {min: 1, from_any_of: ["role:OwnerAdmin"], allow_self: false}
      tests_required: true
""",
    "principals.yaml": """\
principals:
  - {id: ada, kind: person, roles: [Operator], teams: [noc]}
  - {id: author-bot, kind: agent, roles: [User]}
""",
    "packs/checkmk/pack.yaml": """\
id: checkmk
version: 0.1.0
actions:
  checkmk.acknowledge: {summary: Acknowledge, input_schema: {type: object, required: [host]}}
""",
}


def problems(text: str, path: str = "blueprints/x.yaml") -> list[str]:
    return [str(problem) for problem in load(path, "blob", text.encode()).problems]


def step(text: str) -> str:
    return f"id: bp.x\ninputs: {{host: {{type: string}}}}\nplan:\n{text}"


# ── What is accepted ─────────────────────────────────────────────────────────────────────────────


def test_the_seed_skeleton_is_accepted_as_written_and_brought_into_todays_form() -> None:
    loaded = load("blueprints/x.yaml", "blob", SKELETON.encode())

    assert loaded.problems == ()
    assert loaded.remarks == ()
    assert loaded.document["triggers"] == [{"event_type": "checkmk.alert"}]
    assert loaded.document["inputs"]["host"] == {"from": "{{ event.data.host }}"}
    assert loaded.document["plan"][0]["provider"] == "openai"
    assert loaded.document["plan"][0]["prompt_template"].startswith("Analyze")
    assert not {"trigger", "agent", "prompt"} & {*loaded.document, *loaded.document["plan"][0]}
    assert Blueprint.model_validate(loaded.document).id == "bp.checkmk.auto_remediate"


def test_every_key_of_the_language_is_accepted() -> None:
    assert problems(WHOLE) == []


@pytest.mark.parametrize("path", OTHERS)
def test_the_other_kinds_are_accepted_as_the_language_shows_them(path: str) -> None:
    assert problems(OTHERS[path], path) == []


def test_json_is_taken_wherever_yaml_is() -> None:
    document = load("blueprints/x.yaml", "blob", WHOLE.encode()).document

    loaded = load("blueprints/x.json", "blob", json.dumps(document).encode())

    assert loaded.document == document


def test_a_listed_output_comes_from_the_last_step_that_may_have_it() -> None:
    text = """\
id: bp.x
plan:
  - {id: a, kind: transform, set: {said: 1}}
  - {id: b, kind: transform, set: {x: 1}}
  - {id: c, kind: transform, set: {said: 2}}
outputs: [{name: said}, {name: other}]
"""

    outputs = load("blueprints/x.yaml", "blob", text.encode()).document["outputs"]

    assert outputs["said"] == (
        '{{ steps.c.outputs["said"] | default(steps.a.outputs["said"]) | default(none) }}'
    )
    assert outputs["other"] is None


def test_a_normal_form_loads_to_itself() -> None:
    first = load("blueprints/x.yaml", "blob", SKELETON.encode()).document

    again = load("blueprints/x.json", "blob", json.dumps(first).encode())

    assert again.problems == ()
    assert again.document == first


def test_a_stored_row_gives_back_what_was_loaded() -> None:
    loaded = load("blueprints/x.yaml", "blob", WHOLE.encode())

    restored = Loaded.from_row(json.loads(json.dumps(loaded.to_row())))

    assert restored == loaded


def test_references_say_what_is_named_and_where() -> None:
    loaded = load("blueprints/x.yaml", "blob", WHOLE.encode())

    named = {(r.kind, r.name): (r.line, r.column) for r in loaded.references}

    assert named["self", "bp.checkmk.auto_remediate"] == (1, 5)
    assert named["provider", "openai"] == (22, 15)
    assert named["action", "ssh.run"] == (37, 13)
    assert ("secret", "team/noc/ssh") in named
    assert ("subject", "team:noc") in named
    assert ("node", "seed") in named


# ── What is refused, where and in which words ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- {kind: gate, id: ok}", "4:5: missing_key: a gate needs a mode"),
        (
            "- {kind: gate, id: ok, mod: manual}",
            '4:26: unknown_key: a gate has no key "mod" (did you mean "mode"?)',
        ),
        (
            "- {kind: gaet, id: ok}",
            '4:12: bad_value: "gaet" is not known here (did you mean "gate"?)',
        ),
        ("- {id: ok}", "4:5: missing_key: a step needs a kind: agent_task | action_task | gate"),
        ("- {id: ok, knd: gate}", '4:5: missing_key: a step needs a kind instead of "knd": agent'),
        ("- text", "4:5: wrong_type: a step has to be a mapping, not text"),
        (
            "- {kind: action_task, id: a, action: http.call}",
            '4:5: missing_key: an action_task needs "with"',
        ),
        (
            "- {kind: agent_task, id: a, agent: openai, model: m}",
            "missing_key: an agent_task needs a prompt_template or a prompt_file",
        ),
        ("- {kind: gate, id: Ok, mode: manual}", "4:22: bad_id: an id begins with a small letter"),
        (
            "- {kind: gate, id: ok, mode: manual, timeout: 4}",
            "4:49: bad_duration: a duration is a whole number with a unit",
        ),
        ("- {kind: gate, id: ok, mode: manual, timeout: 0s}", "longer than nothing"),
        (
            "- {kind: gate, id: ok, mode: manual, when: }",
            "4:46: wrong_type: this key has no value: give it one or remove it",
        ),
        (
            "- {kind: gate, id: ok, mode: manual, retry: {on: transent}}",
            '4:52: bad_value: "transent" is not known here (did you mean "transient"?)',
        ),
        (
            '- {kind: gate, id: ok, mode: manual, approvals: {min: "2"}}',
            "4:57: wrong_type: this has to be a whole number, not text",
        ),
        (
            "- {kind: gate, id: ok, mode: manual, approvals: {from_any_of: [noc]}}",
            "bad_value: a subject is role:NAME, team:NAME or principal:ID",
        ),
        (
            "- {kind: transform, id: a, set: {x: '{{ inputs.hots }}'}}",
            '4:50: unresolved_reference: no input "hots" (did you mean "host"?)',
        ),
        (
            """- {kind: transform, id: a, set: {x: '{{ steps.close.outputs.x }}'}}
  - {kind: transform, id: close}""",
            '4:49: unresolved_reference: step "close" has not run yet here',
        ),
        (
            """- {kind: transform, id: a}
  - {kind: transform, id: b, needs: []}
  - {kind: transform, id: c, needs: [b], when: steps.a.status}""",
            '6:54: unresolved_reference: step "a" runs beside this one; name it in "needs"',
        ),
        (
            "- {kind: transform, id: a, needs: [b]}\n  - {kind: transform, id: b, needs: [a]}",
            '5:38: cycle: these steps wait for each other: "a" needs "b" needs "a"',
        ),
        (
            "- {kind: transform, id: a, needs: [a]}",
            '4:38: cycle: these steps wait for each other: "a" needs "a"',
        ),
        (
            "- {kind: transform, id: a, needs: [clsoe]}\n  - {kind: transform, id: close}",
            '4:38: unresolved_reference: no step "clsoe" (did you mean "close"?)',
        ),
        (
            "- {kind: transform, id: a}\n  - {kind: transform, id: a}",
            '5:27: duplicate_id: another step is called "a" already',
        ),
        ("- {kind: transform, id: a, set: {x: '{{ item }}'}}", '"item" is not known here'),
        (
            "- {kind: action_task, id: a, action: ssh.run, with: {key_ref: secret}}",
            "bad_secret_ref: a secret reference is env/NAME or a path",
        ),
    ],
)
def test_a_step_is_refused_with_a_sentence_at_its_place(text: str, expected: str) -> None:
    found = problems(step(f"  {text}\n"))

    assert any(expected in problem for problem in found), found


def test_a_slip_in_needs_is_one_finding_and_not_one_more_for_each_step_behind_it() -> None:
    text = """  - {kind: transform, id: a, set: {x: 1}}
  - {kind: transform, id: b, needs: [aa], set: {x: "{{ steps.a.outputs.x }}"}}
  - {kind: transform, id: c, set: {x: "{{ steps.a.outputs.x }}"}}
  - {kind: transform, id: d, needs: [a], when: steps.c.status}
"""

    slip, other = problems(step(text))

    assert 'no step "aa"' in slip
    assert 'step "c" runs beside this one' in other


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("triggers: [{}]", "a trigger needs an event_type or a schedule"),
        ("triggers: [{event_type: Disk Full}]", "1:25: bad_value: an event type has small letters"),
        ('triggers: [{event_type: "*"}]', "bad_value: an event type has small letters"),
        (
            "triggers: [{event_type: a.b, match: {event.data.x: 1}}]",
            'no field "event"; paths begin below the event: "data.x"',
        ),
        ("triggers: [{event_type: a.b, match: {data.x: []}}]", "an empty list matches nothing"),
        (
            "triggers: [{event_type: a.b, match: {data.x: {y: 1}}}]",
            "1:46: wrong_type: match compares",
        ),
        ("triggers: [{event_type: a.b, when: '{{ event.data.x }}'}]", "bare, without {{ and }}"),
        ("triggers: [{event_type: a.b, when: inputs.x}]", '"inputs" is not known here'),
        ("triggers: [{event_type: a.b, dedupe: {key: x}}]", "dedupe needs a window"),
        ("triggers: [{schedule: {cron: 0 2 * *}}]", "bad_cron"),
        ("triggers: [{schedule: {cron: 0 0 L * *}}]", "bad_cron: Debian's cron does not read 'L'"),
        ("triggers: [{schedule: {cron: '0 0 * * 1#2'}}]", "does not read '1#2'"),
        ("triggers: [{schedule: {cron: 5/10 * * * *}}]", "does not read '5/10'"),
        ("triggers: [{schedule: {cron: '@fortnightly'}}]", "bad_cron: known names are @annually"),
        ("triggers: [{schedule: {cron: '@daily', timezone: Europe/Berln}}]", "bad_timezone"),
        ("triggers: [{schedule: {cron: '@daily', timezone: ../../etc/passwd}}]", "bad_timezone"),
        ("triggers: [{schedule: {cron: '@daily'}, event_type: xyn.run.failed}]", "reserved_name"),
        ("trigger: {event_type: a.b, wen: x}", '1:28: unknown_key: a trigger has no key "wen"'),
        ("inputs: {n: {type: integer, default: four}}", "1:38: wrong_type|1:38: bad_value"),
        ("inputs: {n: {type: strng}}", '"strng" is not known here (did you mean "string"?)'),
        ("inputs: {n: {typ: string}}", '1:14: unknown_key: an input has no key "typ"'),
        (
            "inputs: {n: {items: {minLenth: 3}}}",
            '1:22: unknown_key: a schema has no key "minLenth"',
        ),
        ("inputs: {n: {pattern: '('}}", "this is no regular expression of RE2"),
        ("inputs: [{name: Host}]", "1:17: bad_id"),
        ("inputs: [{name: a}, {name: a}]", "1:28: duplicate_id"),
        ("concurrency: {limit: 1}", "concurrency needs a key"),
        ("nodes: ['label: x']", "bad_value: a node is chosen by its id, or by label:NAME"),
        ("plna: 1", '1:1: unknown_key: a blueprint has no key "plna" (did you mean "plan"?)'),
        ("outputs: {x: '{{ steps.nix.outputs }}'}", 'no step "nix"'),
    ],
)
def test_the_top_level_is_refused_with_a_sentence_at_its_place(text: str, expected: str) -> None:
    found = problems(f"{text}\nid: bp.x\nplan: [{{id: a, kind: transform}}]\n")

    assert any(part in problem for problem in found for part in expected.split("|")), found


def test_one_push_shows_what_the_model_refuses_and_what_expressions_get_wrong() -> None:
    text = "id: bp x\nplan:\n  - {id: a, kind: transform, st: {}, when: 'inptus.x'}\n"

    codes = [problem.code for problem in load("blueprints/x.yaml", "b", text.encode()).problems]

    assert codes == ["bad_id", "unknown_key", "unknown_root"]


def test_a_misspelt_required_key_is_told_once() -> None:
    found = problems("id: bp.x\nplna: [{id: a, kind: transform}]\n")

    assert found == [
        'blueprints/x.yaml:2:1: unknown_key: a blueprint has no key "plna" (did you mean "plan"?)'
    ]


def test_an_expression_is_found_inside_a_block_of_text() -> None:
    text = step(
        "  - id: a\n    kind: transform\n    set:\n      mail: |\n"
        "        Dear all,\n        {{ inputs.hst }} is full\n"
    )

    assert problems(text) == [
        'blueprints/x.yaml:9:19: unresolved_reference: no input "hst" (did you mean "host"?)'
    ]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("node.yaml", "id: Seed\n", "1:5: bad_id: a node's id"),
        (
            "node.yaml",
            "id: seed\nmode: activ\n",
            '"activ" is not known here (did you mean "active"?)',
        ),
        ("node.yaml", "id: seed\negress: {allow: ['http://x']}\n", "2:18: bad_value"),
        ("node.yaml", "id: seed\negress: {allow: ['10.0.0.1:99999']}\n", "a port is a number"),
        (
            "nodes/b.yaml",
            "id: c\n",
            '1:5: bad_id: a node\'s file has its name: this one is called "b"',
        ),
        (
            "sources/s.yaml",
            "id: s\nevent_type: a\nverify: {scheme: gihub}\n",
            'did you mean "github"?',
        ),
        (
            "sources/s.yaml",
            "id: s\nevent_type: a\nverify: {scheme: github}\n",
            "verify needs secret_refs",
        ),
        (
            "sources/s.yaml",
            "id: s\nevent_type: a\nverify: {scheme: none, header: x}\n",
            'no key "header"',
        ),
        (
            "sources/s.yaml",
            "id: s\nevent_type: a\nverify: {scheme: hmac, secret_refs: [env/A]}\n",
            "needs a header",
        ),
        (
            "sources/s.yaml",
            "id: s\nevent_type: xyn.{{ item.x }}\nverify: {scheme: none}\n",
            "reserved_name",
        ),
        ("sources/api.yaml", "id: api\nevent_type: a\nverify: {scheme: none}\n", "take another"),
        (
            "sources/s.yaml",
            "id: s\nevent_type: '{{ event.x }}'\nverify: {scheme: none}\n",
            "unknown_root",
        ),
        ("policies/p.yaml", "policy_type: govrnance\n", 'did you mean "governance"?'),
        ("policies/p.yaml", "policy_type: governance\n", "a policy needs rules"),
        ("principals.yaml", "principals: [{id: a}, {id: a}]\n", "1:28: duplicate_id"),
        (
            "principals.yaml",
            "principals: [{id: a, roles: [Operater]}]\n",
            'did you mean "Operator"?',
        ),
        ("packs/a/pack.yaml", "id: b\nversion: 1.0.0\n", 'this one is called "a"'),
        (
            "packs/a/pack.yaml",
            "id: a\nversion: 1.0.0\nactions: {b.c: {summary: x}}\n",
            "3:11: bad_id",
        ),
        ("tests/t.yaml", "blueprint: bp.x\n", "a test needs an expect"),
        (
            "prompts/p.md",
            "Hello\n{{ inputs.x | uper }}\n",
            '2:15: unknown_filter: no filter "uper"',
        ),
        ("prompts/p.md", "{% macro x() %}{% endmacro %}", "1:4: invalid_expression"),
    ],
)
def test_the_other_kinds_are_refused_with_a_sentence_at_their_place(
    path: str, text: str, expected: str
) -> None:
    found = problems(text, path)

    assert any(expected in problem for problem in found), found


# ── Credentials ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [
        'password: "open-sesame"',
        "api_key: 12345678",
        'headers: {Authorization: "Basic dXNlcjpwYXNz"}',
        'url: "https://ada:open-sesame@example.net/"',
        'text: "' + "gh" + 'p_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R"',
        'nested: [{client_secret: "open-sesame"}]',
    ],
)
def test_a_literal_credential_is_refused_and_not_repeated(given: str) -> None:
    text = step(f"  - {{id: a, kind: action_task, action: http.call, with: {{{given}}}}}\n")

    found = problems(text)

    assert [problem.split(": ")[1] for problem in found] == ["literal_secret"], found
    assert "sesame" not in found[0]
    assert "0a1B2c3D4e5F" not in found[0]


@pytest.mark.parametrize(
    "given",
    [
        "password_ref: env/PASSWORD",
        'password: "{{ inputs.host }}"',
        'headers: {Authorization: "Bearer {{ steps.a.outputs.x | default(1) }}"}',
        'token: "<your token>"',
        'secret: ""',
        "max_output_tokens: 2000",
        "token_type: bearer",
        'url: "https://example.net:8080/disk-usage-of-all-machines-in-2024"',
        'text: "Bearer authentication is explained elsewhere"',
    ],
)
def test_what_is_no_credential_raises_no_alarm(given: str) -> None:
    text = step(
        f"  - {{id: a, kind: action_task, action: http.call, needs: [], with: {{{given}}}}}\n"
    )

    codes = {p.code for p in load("blueprints/x.yaml", "b", text.encode()).problems}

    assert "literal_secret" not in codes


def test_a_credential_where_a_word_is_expected_is_not_repeated_either() -> None:
    token = "gh" + "p_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R"

    found = problems(f"id: seed\nmode: {token}\n", "node.yaml")

    assert found
    assert not any(token in problem for problem in found)


# ── Which file is what ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("node.yaml", "node"),
        ("nodes/b.yaml", "node"),
        ("blueprints/a/b/c.yml", "blueprint"),
        ("blueprints/c.json", "blueprint"),
        ("blueprints/README.md", "other"),
        ("packs/x/pack.yaml", "pack"),
        ("packs/x/actions/y.yaml", "pack_file"),
        ("policies/a.yaml", "policy"),
        ("sources/a.yaml", "source"),
        ("principals.yaml", "principals"),
        ("prompts/a/b.md", "prompt"),
        ("tests/a.yaml", "test"),
        ("README.md", "other"),
        ("schemas/node.json", "other"),
    ],
)
def test_a_path_says_what_the_file_is(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_yaml_in_a_misspelt_folder_is_remarked_on() -> None:
    remarks = load("blueprint/x.yaml", "b", b"id: bp.x\n").remarks

    said = "stray_file: Xyn does not read this file (did you mean "
    assert [str(remark) for remark in remarks] == [
        f'blueprint/x.yaml:1:1: {said}"blueprints/x.yaml"?)'
    ]


def test_other_peoples_yaml_is_left_alone() -> None:
    for path in (".github/workflows/x.yaml", "packs/a/compose.yaml", "docs/x.yaml", "README.md"):
        assert load(path, "b", b"\xff").remarks == ()


def test_the_cache_reads_a_blob_once_per_path() -> None:
    cache = LoadCache(size=2)
    reads: list[str] = []

    def read(name: str) -> Callable[[], bytes]:
        def reading() -> bytes:
            reads.append(name)
            return b"id: seed\n"

        return reading

    first = cache.load("node.yaml", "1", read("a"))
    again = cache.load("node.yaml", "1", read("b"))
    cache.load("nodes/seed.yaml", "1", read("c"))
    cache.load("node.yaml", "2", read("d"))
    cache.load("node.yaml", "1", read("e"))

    assert first is again
    assert reads == ["a", "c", "d", "e"]


# ── Anything at all ──────────────────────────────────────────────────────────────────────────────

KEYS = st.text(max_size=6) | st.sampled_from(
    ["id", "kind", "plan", "with", "when", "needs", "kind:gate"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-9, 9) | st.text(max_size=8)
    | st.sampled_from(["{{ x", "{{ steps.a }}", "a", "manual", "1m", "event.data"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip

SEEDS = {
    "blueprints/x.json": [WHOLE, SKELETON],
    **{path.replace(".yaml", ".json"): [text] for path, text in OTHERS.items()},
}


def places(value: object, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Iterable[tuple[Any, object]] = ()
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    return [place, *(found for key, item in items for found in places(item, (*place, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid document with one to three places deleted, renamed or replaced."""
    path = draw(st.sampled_from(sorted(SEEDS)))
    text = draw(st.sampled_from(SEEDS[path]))
    from xyn_reconciler.desired.source import parse  # noqa: PLC0415 - of use here alone

    source, _ = parse("x.yaml", text)
    assert source is not None
    document: Any = json.loads(json.dumps(source.value))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(document)))
        if not place:
            continue
        holder = document
        for key in place[:-1]:
            holder = holder[key]
        match draw(st.sampled_from(["delete", "rename", "replace"])):
            case "delete":
                del holder[place[-1]]
            case "rename" if isinstance(holder, dict):
                name = draw(st.text(max_size=6) | st.just(f"{place[-1]}x"))
                holder[name] = holder.pop(place[-1])
            case _:
                holder[place[-1]] = draw(JSON)
    return path, json.dumps(document, indent=draw(st.sampled_from([None, 2]))).encode()


@given(mutated())
@settings(max_examples=300, deadline=None)
def test_a_mutated_document_gives_problems_inside_the_file_or_its_normal_form(
    case: tuple[str, bytes],
) -> None:
    path, data = case

    loaded = load(path, "blob", data)

    lines = data.decode().split("\n")
    for problem in (*loaded.problems, *loaded.remarks):
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.path == path
    if loaded.problems:
        assert loaded.document is None
    else:
        again = load(path, "blob", json.dumps(loaded.document).encode())
        assert again.document == loaded.document
        assert (
            Loaded.from_row(json.loads(json.dumps(loaded.to_row()))).references == loaded.references
        )


@given(st.sampled_from([*SEEDS, "prompts/x.md", "tests/t.json"]), JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_in_any_kind_of_file_never_raises(path: str, value: object) -> None:
    loaded = load(path, "blob", json.dumps(value).encode())

    assert (loaded.document is None) == bool(loaded.problems)


@given(st.sampled_from([*OTHERS, "blueprints/x.yaml", "prompts/x.md"]), st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_any_kind_of_file_never_raise(path: str, data: bytes) -> None:
    loaded = load(path, "blob", data)

    assert (loaded.document is None) == bool(loaded.problems)
