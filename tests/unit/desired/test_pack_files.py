"""Packs: read, checked beside their own files, and linted."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.diff import diff, secrets
from xyn_reconciler.desired.effects import effects
from xyn_reconciler.desired.layout import governed_as
from xyn_reconciler.desired.load import kind_of, load
from xyn_reconciler.desired.pack_lint import since
from xyn_reconciler.desired.packs import (
    content_digest,
    used_packs,
    whole_pack,
    with_defaults,
    with_packs,
)
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.validate import Findings, check, not_runnable, validate_paths
from xyn_reconciler.model.pack import fits_core

CATALOGUE = catalogue(installed_actions())

PACK = """\
id: cmk
name: Checkmk
version: 0.1.0
xyn_core: ">=0.1"
attachment: external
requires: {secrets: [env/CMK]}
settings:
  type: object
  required: [url]
  additionalProperties: false
  properties:
    url: {type: string}
    secret_ref: {type: string, default: env/CMK}
actions:
  cmk.ack:
    summary: Acknowledge a problem.
    input_schema:
      type: object
      required: [host]
      additionalProperties: false
      properties: {host: {type: string}, text: {type: string}}
    output_schema: {type: object}
    idempotent: true
    request:
      method: POST
      url: "{{ settings.url }}/ack"
      headers: {X-Host: "{{ inputs.host }}"}
      bearer_ref: "{{ settings.secret_ref }}"
    outputs: {id: "{{ response.json.id }}"}
    errors:
      - {status: [404], code: host_not_found, message: "no host {{ inputs.host }}"}
  cmk.hosts:
    summary: Look hosts up.
    input_schema: {type: object}
    output_schema: {type: object}
    run: {file: actions/hosts.py, secrets: ["{{ settings.secret_ref }}"]}
events: [cmk.alert]
smoke: {action: cmk.hosts}
"""
FILES = {
    "packs/cmk/pack.yaml": PACK,
    "packs/cmk/settings.yaml": "url: http://127.0.0.1:5000\n",
    "packs/cmk/actions/hosts.py": "print('{}')\n",
    "packs/cmk/examples/ack.yaml": "action: cmk.ack\nwith: {host: a}\n",
    "packs/cmk/examples/hosts.yaml": "action: cmk.hosts\n",
    "packs/cmk/sources/cmk.yaml": (
        'id: cmk\nverify: {scheme: none}\nevent_type: cmk.alert\ndata: {x: "{{ body }}"}\n'
    ),
    "packs/cmk/blueprints/night.yaml": (
        "id: bp.cmk.night\nplan:\n"
        "  - {id: ack, kind: action_task, action: cmk.ack, with: {host: web-1}}\n"
    ),
    "packs/cmk/tests/night.yaml": (
        "blueprint: bp.cmk.night\nsteps: {ack: {outputs: {id: 1}}}\nexpect: {status: completed}\n"
    ),
}

SECURED = """\
id: cmk
verify:
  scheme: bearer
  secret_refs: ["{{ settings.secret_ref }}"]
event_type: cmk.alert
data: {site: "{{ settings.url }}", of: "{{ body }}"}
"""


def state_of(files: Mapping[str, str]) -> DesiredState:
    whole = {"node.yaml": "id: seed\n", **files}
    return DesiredState.of(
        load(path, f"{path} {text}", text.encode()) for path, text in whole.items()
    )


def found(changes: Mapping[str, str | None]) -> Findings:
    files = {path: text for path, text in {**FILES, **changes}.items() if text is not None}
    state = state_of(files)
    return check(state, [*files, *changes], CATALOGUE)


def edited(old: str, new: str) -> dict[str, str | None]:
    assert old in PACK
    return {"packs/cmk/pack.yaml": PACK.replace(old, new, 1)}


def said(findings: Findings) -> list[str]:
    return [str(each) for each in (*findings.problems, *findings.remarks)]


def test_a_good_pack_has_nothing_to_be_said_of_it() -> None:
    assert said(found({})) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            edited("settings.url }}/ack", "settings.uri }}/ack"),
            (
                'packs/cmk/pack.yaml:26:25: unresolved_reference: no field of settings "uri"'
                ' (did you mean "url"?)'
            ),
        ),
        (
            edited('inputs.host }}"}', 'inputs.hots }}"}'),
            (
                'packs/cmk/pack.yaml:27:36: unresolved_reference: no input "hots"'
                ' (did you mean "host"?)'
            ),
        ),
        (
            edited("      method: POST\n", "      metod: POST\n"),
            (
                'packs/cmk/pack.yaml:25:7: unknown_key: http.call has no key "metod"'
                ' (did you mean "method"?)'
            ),
        ),
        (
            edited("response.json.id", "answer.json.id"),
            'packs/cmk/pack.yaml:29:23: unknown_root: "answer" is not known here',
        ),
        (
            edited("file: actions/hosts.py", "file: actions/host.py"),
            (
                "packs/cmk/pack.yaml:36:17: missing_file: there is no file"
                " packs/cmk/actions/host.py"
                ' (did you mean "packs/cmk/actions/hosts.py"?)'
            ),
        ),
        (
            edited("    run: {", "    ssh: {host: x, cmd: y}\n    run: {"),
            (
                "packs/cmk/pack.yaml:33:5: conflicting_keys: an action is one of request, ssh,"
                " container and run: keep ssh or run"
            ),
        ),
        (
            edited("attachment: external", "attachment: managed"),
            "packs/cmk/pack.yaml:5:13: missing_file: there is no file packs/cmk/compose.yaml",
        ),
        (
            edited("smoke: {action: cmk.hosts}", "smoke: {action: cmk.ack}"),
            'packs/cmk/pack.yaml:38:8: missing_key: it needs "host"',
        ),
        (
            edited("smoke: {action: cmk.hosts}", "smoke: {action: cmk.host}"),
            (
                'packs/cmk/pack.yaml:38:17: unknown_action: this pack has no action "cmk.host"'
                ' (did you mean "cmk.hosts"?)'
            ),
        ),
        (
            edited('xyn_core: ">=0.1"', 'xyn_core: ">=99"'),
            (
                "packs/cmk/pack.yaml:4:11: not_runnable: this node has Xyn 0.1.0:"
                " none of the pack's actions runs here"
            ),
        ),
        (
            edited('xyn_core: ">=0.1"', "xyn_core: soon"),
            (
                "packs/cmk/pack.yaml:4:11: bad_value: a range of versions is written >=0.1,"
                " or >=0.1, <1 with a comma"
            ),
        ),
        (
            edited("    idempotent: true\n", "    idempotent: true\n    outpts: {}\n"),
            (
                'packs/cmk/pack.yaml:24:5: unknown_key: an action has no key "outpts"'
                ' (did you mean "outputs"?)'
            ),
        ),
        (
            edited("  cmk.hosts:", "  other.hosts:"),
            'packs/cmk/pack.yaml:32:3: bad_id: names of this pack\'s actions begin with "cmk."',
        ),
        (
            {"packs/cmk/settings.yaml": "url: 5\n"},
            "packs/cmk/settings.yaml:1:6: wrong_type: url of cmk has to be text",
        ),
        (
            {"packs/cmk/settings.yaml": "url: x\nsecrt_ref: env/X\n"},
            (
                'packs/cmk/settings.yaml:2:1: unknown_key: this has no key "secrt_ref"'
                ' (did you mean "secret_ref"?)'
            ),
        ),
        (
            {"packs/cmk/settings.yaml": "url: '{{ event.data.url }}'\n"},
            (
                "packs/cmk/settings.yaml:1:6: bad_value: settings are plain values: there is"
                " nothing yet that {{ }} could name"
            ),
        ),
        (
            {"packs/cmk/settings.yaml": "url: x\nsecret_ref: hunter2\n"},
            (
                "packs/cmk/settings.yaml:2:13: bad_secret_ref: a secret reference is env/NAME or a"
                " path such as team/noc/ssh"
            ),
        ),
        (
            {"packs/cmk/settings.yaml": None},
            'packs/cmk/pack.yaml:1:5: missing_file: write packs/cmk/settings.yaml: it needs "url"',
        ),
        (
            {"packs/cmk/examples/ack.yaml": "action: cmk.akc\n"},
            (
                'packs/cmk/examples/ack.yaml:1:9: unknown_action: this pack has no action "cmk.akc"'
                ' (did you mean "cmk.ack"?)'
            ),
        ),
        (
            {"packs/cmk/examples/hosts.yaml": None},
            (
                "packs/cmk/pack.yaml:33:5: example_missing: no file in examples/ shows cmk.hosts:"
                " xynctl pack test runs them"
            ),
        ),
        (
            {"packs/cmk/tests/night.yaml": None},
            (
                'packs/cmk/blueprints/night.yaml:1:5: test_missing: no test is of "bp.cmk.night":'
                " a pack's blueprints have tests"
            ),
        ),
        (
            edited("events: [cmk.alert]\n", ""),
            (
                'packs/cmk/sources/cmk.yaml:1:5: undeclared_event: emits "cmk.alert", which events'
                " of pack.yaml does not name"
            ),
        ),
        (
            {"packs/cmk/migrations/0002_b.sql": "select 1;\n"},
            (
                "packs/cmk/migrations/0002_b.sql:1:1: migration_order: migrations are numbered"
                " without gaps: this would be 0001"
            ),
        ),
        (
            {"packs/cmk/migrations/hosts.sql": "select 1;\n"},
            (
                "packs/cmk/migrations/hosts.sql:1:1: migration_order: a migration is called"
                " NNNN_name.sql: 0001_hosts.sql"
            ),
        ),
        (
            {"packs/cmk/blueprints/night.yaml": "id: bp.night\nplan: []\n"},
            (
                "packs/cmk/blueprints/night.yaml:1:5: bad_id: ids of this pack's blueprints begin"
                ' with "bp.cmk."'
            ),
        ),
        (
            {"packs/cmk/sources/cmk.yaml": "id: other\nverify: {scheme: none}\n"},
            (
                'packs/cmk/sources/cmk.yaml:1:5: bad_id: a source of this pack is called "cmk" or'
                ' "cmk-..."'
            ),
        ),
        (
            {"packs/cmk/sources/cmk.yaml": SECURED.replace("secret_ref }}", "secrt_ref }}")},
            (
                "packs/cmk/sources/cmk.yaml:4:17: unresolved_reference: this pack has no setting"
                ' "secrt_ref" (did you mean "secret_ref"?)'
            ),
        ),
        (
            {"packs/cmk/sources/cmk.yaml": SECURED.replace("settings.", "inputs.")},
            (
                'packs/cmk/sources/cmk.yaml:4:21: unknown_root: "inputs" is not known here; there'
                " is settings"
            ),
        ),
        (
            {"sources/any.yaml": SECURED.replace("id: cmk", "id: any")},
            ('sources/any.yaml:4:21: unknown_root: "settings" is not known here; there is nothing'),
        ),
        (
            {"packs/cmk/schemas/hosts.json": '{"type": "objekt"}'},
            (
                'packs/cmk/schemas/hosts.json:1:10: bad_value: "objekt" is not known here'
                ' (did you mean "object"?)'
            ),
        ),
        (
            {"packs/lost/actions/x.py": "print()\n"},
            (
                "packs/lost/actions/x.py:1:1: missing_file: nothing is read of packs/lost/ without"
                " packs/lost/pack.yaml"
            ),
        ),
        (
            {"packs/http/pack.yaml": "id: http\nversion: 0.1.0\n"},
            (
                'packs/http/pack.yaml:1:5: reserved_name: actions that begin with "http." are'
                " Xyn's own: rename the pack"
            ),
        ),
    ],
)
def test_a_problem_of_a_pack_stands_where_a_person_would_mend_it(
    changes: dict[str, str | None], expected: str
) -> None:
    findings = said(found(changes))

    assert any(each.startswith(expected) for each in findings), findings


def test_a_source_in_a_pack_may_name_the_packs_settings() -> None:
    assert said(found({"packs/cmk/sources/cmk.yaml": SECURED})) == []


def test_a_secret_that_a_setting_names_by_default_is_known_to_be_used() -> None:
    bare = PACK.replace("requires: {secrets: [env/CMK]}\n", "")
    loaded = load("packs/cmk/pack.yaml", "b", bare.encode())

    assert secrets(loaded) == {"env/CMK"}


def test_a_step_is_held_to_the_schema_of_the_packs_action() -> None:
    step = "id: bp.x\nplan:\n  - {id: a, kind: action_task, action: cmk.ack, with: {hots: a}}\n"

    findings = said(found({"blueprints/x.yaml": step}))

    assert [each.partition(": ")[2] for each in findings] == [
        'missing_key: cmk.ack needs "host"',
        'unknown_key: cmk.ack has no key "hots" (did you mean "host"?)',
    ]


def test_a_pack_that_cannot_be_read_is_told_once_and_not_at_each_step_that_uses_it() -> None:
    findings = said(found({"packs/cmk/pack.yaml": "id: cmk\n"}))

    assert findings == ["packs/cmk/pack.yaml:1:1: missing_key: a pack needs a version"]


def test_a_blueprint_runs_where_its_packs_tool_does_and_says_why_it_does_not() -> None:
    path = "packs/cmk/blueprints/night.yaml"
    other = state_of({**FILES, **{k: v for k, v in edited(">=0.1", ">=99").items() if v}})

    refused = not_runnable(other, path, CATALOGUE, {"providers": {}})

    assert not_runnable(state_of(FILES), path, CATALOGUE, {"providers": {}}) is None
    assert refused is not None
    assert refused.message == "action cmk.ack is not installed on this node"


def test_the_digest_is_of_what_a_pack_is_and_not_of_how_it_is_set() -> None:
    def digest(changes: Mapping[str, str]) -> str:
        return content_digest(state_of({**FILES, **changes}).by_pack["cmk"].values())

    assert digest({}) == digest({"packs/cmk/settings.yaml": "url: http://other\n"})
    assert digest({}) != digest({"packs/cmk/actions/hosts.py": "print('x')\n"})


def test_a_plan_is_given_what_its_steps_use_and_no_more() -> None:
    pack = whole_pack(state_of(FILES).by_pack["cmk"].values())
    assert pack is not None

    adapter = used_packs({"cmk": pack}, ["cmk.ack", "http.call"])["cmk"]
    program = used_packs({"cmk": pack}, ["cmk.hosts"])["cmk"]

    assert (set(adapter.actions), adapter.files) == ({"cmk.ack"}, {})
    assert adapter.settings == {"url": "http://127.0.0.1:5000", "secret_ref": "env/CMK"}
    assert program.files == {"actions/hosts.py": "print('{}')\n"}
    assert used_packs({"cmk": pack}, ["http.call"]) == {}


def test_a_pack_cannot_take_the_place_of_an_installed_action() -> None:
    mine = {"id": "http", "version": "1.0.0", "actions": {"http.call": {"summary": "Mine"}}}

    assert with_packs(CATALOGUE, [mine]).actions["http.call"] is CATALOGUE.actions["http.call"]


def test_defaults_are_filled_in_at_any_depth() -> None:
    inner = {"properties": {"a": {"default": 1}, "b": {}}}
    schema = {"properties": {"x": inner, "y": inner, "z": {"default": [1]}}}

    assert with_defaults(schema, {"y": {"a": 2}}) == {"x": {"a": 1}, "y": {"a": 2}, "z": [1]}


# ── what became of a pack ────────────────────────────────────────────────────────────────────────


def become(before: Mapping[str, str], after: Mapping[str, str], stage: str = "dev") -> list[str]:
    node = {"node.yaml": f"id: seed\nstage: {stage}\n"}
    one, other = state_of({**FILES, **before, **node}), state_of({**FILES, **after, **node})
    problems, remarks = since(one, other, ["cmk"])
    return [*(f"problem {each}" for each in problems), *(f"remark {each}" for each in remarks)]


def test_a_change_without_a_new_version_is_remarked_on_and_refused_on_prod() -> None:
    program = {"packs/cmk/actions/hosts.py": "print('other')\n"}
    risen = {**program, "packs/cmk/pack.yaml": PACK.replace("0.1.0", "0.2.0")}
    message = "packs/cmk/pack.yaml:1:5: version_unchanged: the pack changes and stays 0.1.0"

    assert become({}, program) == [f"remark {message}: raise version"]
    assert become({}, program, "prod") == [f"problem {message}: raise version"]
    assert become({}, risen) == []
    assert become(risen, {}) == []  # rolled back
    assert become({}, {"packs/cmk/settings.yaml": "url: other\n"}) == []


def test_a_migration_that_was_active_is_never_edited_and_may_go_with_a_rollback() -> None:
    path = "packs/cmk/migrations/0001_hosts.sql"
    newer = {"packs/cmk/pack.yaml": PACK.replace("0.1.0", "0.2.0")}

    assert become({path: "select 1;"}, {path: "select 2;", **newer}) == [
        (
            f"problem {path}:1:1: migration_changed: this migration was active and may have run:"
            " add another one instead"
        )
    ]
    assert become({path: "select 1;"}, newer) == []


# ── in a review ──────────────────────────────────────────────────────────────────────────────────


def told(changes: Mapping[str, str]) -> list[tuple[str, str]]:
    files = {path: text for path, text in {**FILES, **changes}.items() if text is not None}
    return [(each.words, each.weight) for each in diff(state_of(FILES), state_of(files))]


def test_a_changed_action_names_the_blueprints_that_do_something_else_now() -> None:
    other = PACK.replace("}}/ack", "}}/acknowledge").replace("0.1.0", "0.1.1")

    assert told({"packs/cmk/pack.yaml": other}) == [
        ("version 0.1.0 -> 0.1.1", "pack_changed"),
        (
            (
                'actions.cmk.ack request.url "{{ settings.url }}/ack" ->'
                ' "{{ settings.url }}/acknowledge"'
            ),
            "pack_changed",
        ),
        ("cmk.ack changed, used by bp.cmk.night", "action_changed"),
    ]


def test_other_settings_and_another_program_are_told_with_those_who_use_them() -> None:
    using = FILES["packs/cmk/blueprints/night.yaml"].replace("cmk.ack", "cmk.hosts")
    settings = {"packs/cmk/settings.yaml": "url: http://other.example:5000\n"}

    assert told(settings) == [
        ("url http://127.0.0.1:5000 -> http://other.example:5000", "pack_changed"),
        ("reaches host other.example:5000", "host_added"),
        ("cmk.ack changed, used by bp.cmk.night", "action_changed"),
    ]
    assert told({"packs/cmk/actions/hosts.py": "x"}) == [("text changed", "pack_changed")]
    words = told({"packs/cmk/actions/hosts.py": "x", "packs/cmk/blueprints/night.yaml": using})
    assert ("cmk.hosts changed, used by bp.cmk.night", "action_changed") in words


def test_an_effect_names_the_hosts_that_a_pack_reaches() -> None:
    other = {**FILES, "packs/cmk/settings.yaml": "url: http://other.example\n"}

    found = effects(state_of(FILES), state_of(other), "seed", lambda _cron, _zone: ())

    assert [each.name for each in found.hosts.gained] == ["other.example"]
    assert found.risk != "low"


def test_a_policy_in_a_pack_is_asked_for_as_a_policy() -> None:
    assert governed_as("packs/cmk/policies/all.yaml") == "policy"
    assert governed_as("packs/cmk/README.md") == "pack"


# ── versions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("bounds", "version", "fits"),
    [
        (">=0.1", "0.1.0", True),
        (">=0.2", "0.1.9", False),
        (">=0.1, <1", "1.0.0", False),
        ("==0.1", "0.1.0", True),
        ("~=0.1", "0.9.0", True),
        ("~=0.1", "1.0.0", False),
        ("~=0.1.2", "0.1.3", True),
        ("~=0.1.2", "0.2.0", False),
        (">0.1", "0.1.0", False),
        ("<=0.1", "0.1.0", True),
        ("", "0.1.0", True),
    ],
)
def test_a_range_of_versions_holds_what_it_says(bounds: str, version: str, fits: bool) -> None:
    assert fits_core(bounds, version) is fits


# ── hostile files ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("packs/a/actions/x.py", b"\xff", "not_utf8"),
        ("packs/a/actions/x.py", b"a\0b", "control_character"),
        ("packs/a/config/x", b"x" * 300_000, "too_large"),
        ("packs/a/config/x", b"ghp_" + b"a1B2c3D4e5" * 3 + b"abcdef", "literal_secret"),
        ("packs/a/schemas/x.json", b"{", "invalid_json"),
        ("packs/a/examples/x.yaml", b"- 1\n", "wrong_type"),
        ("packs/a/examples/x.yaml", b"a: &a [*a]\n", ""),
        ("packs/a/settings.yaml", b"[1]\n", "wrong_type"),
        ("packs/a/settings.yaml", b"password: hunter2-hunter2\n", "literal_secret"),
        ("packs/a/pack.yaml", "id: ä\nversion: ٣.1.0\n".encode(), "bad_value"),
        ("known_hosts", b"@cert-authority * ssh-ed25519 AAAA\n", "bad_value"),
        ("known_hosts", b"*.example.net ssh-ed25519 AAAA\n", "bad_value"),
        ("known_hosts", b"a ssh-dss AAAA\n", "bad_value"),
        ("known_hosts", b"a ssh-ed25519 AAAA\n", "bad_value"),
        ("known_hosts", b"a\n", "bad_value"),
    ],
)
def test_a_hostile_file_is_refused_in_words(path: str, data: bytes, code: str) -> None:
    loaded = load(path, "b", data)

    assert loaded.document is None
    assert not code or code in {each.code for each in loaded.problems}, loaded.problems


def test_a_thousand_actions_are_read_and_checked() -> None:
    actions = "".join(
        f"  big.a{n}: {{summary: x, request: {{url: '{{{{ inputs.x }}}}'}}}}\n" for n in range(1000)
    )
    text = f"id: big\nversion: 0.1.0\nactions:\n{actions}"

    findings = found({"packs/big/pack.yaml": text})

    assert {each.code for each in findings.problems} <= {"too_large"}
    assert len(findings.remarks) == 2000  # no schemas, no examples


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        ["settings", "actions", "smoke", "backup", "contracts", "requires", "xyn_core", "events"]
    ),
    JSONS,
    st.sampled_from(["request", "ssh", "run", "paginate", "outputs", "errors", "input_schema"]),
    JSONS,
)
def test_whatever_stands_in_a_pack_is_answered_with_problems(
    key: str, value: object, part: str, inner: object
) -> None:
    document = {"id": "a", "version": "0.1.0", key: value}
    for each in (document, {**document, "actions": {"a.b": {"summary": "x", part: inner}}}):
        files = {
            "packs/a/pack.json": json.dumps(each).encode(),
            "packs/a/settings.json": json.dumps(value).encode(),
            "node.yaml": b"id: seed\n",
        }
        validate_paths(files, CATALOGUE)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("packs/x/pack.yaml", "pack"),
        ("packs/x/settings.yaml", "pack_settings"),
        ("packs/x/blueprints/a/b.yaml", "blueprint"),
        ("packs/x/sources/a.yaml", "source"),
        ("packs/x/policies/a.yaml", "policy"),
        ("packs/x/prompts/a.md", "prompt"),
        ("packs/x/tests/a.yaml", "test"),
        ("packs/x/actions/a.py", "pack_file"),
        ("packs/x/actions/__pycache__/a.pyc", "other"),
        ("packs/x/migrations/0001_a.sql", "pack_file"),
        ("packs/x/schemas/a.json", "pack_file"),
        ("packs/x/examples/a.yaml", "pack_file"),
        ("packs/x/config/Caddyfile", "pack_file"),
        ("packs/x/compose.yaml", "pack_file"),
        ("packs/x/README.md", "other"),
        ("packs/x/node.yaml", "other"),
        ("packs/x/principals.yaml", "other"),
        ("packs/x/packs/y/pack.yaml", "other"),
        ("packs/README.md", "other"),
        ("known_hosts", "known_hosts"),
        ("packs/x/known_hosts", "other"),
    ],
)
def test_a_path_in_a_pack_says_what_the_file_is(path: str, kind: str) -> None:
    assert kind_of(path) == kind
