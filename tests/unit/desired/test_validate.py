"""What needs more than one file, looked at only where something changed."""

from collections.abc import Mapping

import pytest

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.validate import (
    DesiredState,
    Findings,
    check,
    not_runnable,
    validate_paths,
)
from xyn_reconciler.model.capability import ActionSpec, Catalogue

CALL = {
    "type": "object",
    "required": ["url", "method"],
    "additionalProperties": False,
    "properties": {
        "url": {"type": "string"},
        "method": {"enum": ["GET", "POST"]},
        "json": {},
        "timeout": {"type": "integer", "minimum": 1},
    },
}
CATALOGUE = Catalogue(
    {
        "http.call": ActionSpec("http.call", "", CALL, {}, idempotent=False),
        "ssh.run": ActionSpec("ssh.run", "", {}, {}, idempotent=False, installed=False),
    }
)
NODE = """\
id: seed
labels: [edge]
providers:
  openai: {enabled: false}
  local: {kind: openai, base_url: "http://127.0.0.1:9/v1", enabled: true}
"""
PRINCIPALS = "principals: [{id: ada, teams: [noc]}]\n"


def state_of(files: Mapping[str, str]) -> DesiredState:
    whole = {"node.yaml": NODE, "principals.yaml": PRINCIPALS, **files}
    return DesiredState.of(load(path, path, text.encode()) for path, text in whole.items())


def changed(files: Mapping[str, str], *paths: str) -> Findings:
    return check(state_of(files), paths or files, CATALOGUE)


def told(files: Mapping[str, str], *paths: str) -> list[str]:
    return [str(problem) for problem in changed(files, *paths).problems]


def blueprint(step: str, name: str = "bp.x") -> str:
    return f"id: {name}\nplan:\n  - {{id: a, {step}}}\n"


TRANSFORM = "kind: transform"


# ── Names that mean something elsewhere ──────────────────────────────────────────────────────────


def test_one_id_in_two_files_is_a_problem_of_the_file_that_changed() -> None:
    files = {"blueprints/a.yaml": blueprint(TRANSFORM), "blueprints/b.yaml": blueprint(TRANSFORM)}

    assert told(files, "blueprints/b.yaml") == [
        'blueprints/b.yaml:1:5: duplicate_id: "bp.x" is the id of blueprints/a.yaml already'
    ]


def test_one_id_of_two_kinds_is_fine() -> None:
    files = {
        "blueprints/a.yaml": blueprint(TRANSFORM, "same"),
        "sources/a.yaml": "id: same\nverify: {scheme: none}\nevent_type: a\n",
    }

    assert told(files) == []


def test_a_moved_blueprint_is_no_duplicate() -> None:
    state = state_of({"blueprints/a.yaml": blueprint(TRANSFORM)})
    moved = load("blueprints/b.yaml", "b", blueprint(TRANSFORM).encode())

    after = state.apply([("blueprints/b.yaml", moved), ("blueprints/a.yaml", None)])

    found = check(after, ["blueprints/a.yaml", "blueprints/b.yaml"], CATALOGUE)
    assert found == Findings()


def test_an_unknown_action_is_a_problem_and_one_not_installed_a_remark() -> None:
    wrong = {"blueprints/a.yaml": blueprint("kind: action_task, action: http.cal, with: {}")}
    absent = {"blueprints/a.yaml": blueprint("kind: action_task, action: ssh.run, with: {}")}

    assert told(wrong) == [
        'blueprints/a.yaml:3:40: unknown_action: no action "http.cal" (did you mean "http.call"?)'
    ]
    assert told(absent) == []
    assert [r.code for r in changed(absent).remarks] == ["not_runnable"]


def test_a_pack_makes_its_actions_known_and_its_removal_is_told_to_those_who_use_them() -> None:
    action = "{summary: x, input_schema: {type: object, required: [host]}}"
    pack = f"id: cmk\nversion: 1.0.0\nactions: {{cmk.ack: {action}}}\n"
    files = {
        "packs/cmk/pack.yaml": pack,
        "blueprints/a.yaml": blueprint("kind: action_task, action: cmk.ack, with: {host: web-1}"),
    }
    state = state_of(files)

    gone = state.apply([("packs/cmk/pack.yaml", None)])

    assert check(state, files, CATALOGUE).problems == ()
    assert [str(p) for p in check(gone, ["packs/cmk/pack.yaml"], CATALOGUE).problems] == [
        'blueprints/a.yaml:3:40: unknown_action: no action "cmk.ack"'
    ]


def test_a_provider_is_known_by_the_language_or_by_a_node() -> None:
    def task(provider: str) -> dict[str, str]:
        step = f"kind: agent_task, provider: {provider}, model: m, prompt_template: hello"
        return {"blueprints/a.yaml": blueprint(step)}

    assert [p.code for p in changed(task("opnai")).problems] == ["unknown_provider"]
    assert changed(task("local")) == Findings()
    assert changed(task("openai")).problems == ()
    assert [r.code for r in changed(task("openai")).remarks] == ["not_runnable"]


ALIASES = "aliases: {quick: {provider: local, model: m}, fast: {provider: openai, model: m}}\n"


@pytest.mark.parametrize(
    ("model", "problems", "remarks"),
    [
        ("quick", [], []),
        ("fast", [], ["not_runnable"]),
        ("smart", [], ["not_runnable"]),
        ("gpt-5", ["unknown_alias"], []),
    ],
)
def test_without_a_provider_a_model_is_an_alias(
    model: str, problems: list[str], remarks: list[str]
) -> None:
    step = f"kind: agent_task, model: {model}, prompt_template: hello"

    found = changed({"blueprints/a.yaml": blueprint(step), "node.yaml": NODE + ALIASES})

    assert [p.code for p in found.problems] == problems
    assert [r.code for r in found.remarks] == remarks


def test_a_node_that_no_longer_gives_an_alias_is_told_where_it_is_used() -> None:
    step = "kind: agent_task, model: quick, prompt_template: hello"
    state = state_of({"blueprints/a.yaml": blueprint(step), "node.yaml": NODE + ALIASES})
    without = state.apply([("node.yaml", load("node.yaml", "", NODE.encode()))])

    found = check(without, ["node.yaml"], CATALOGUE).problems

    assert [p.code for p in found] == ["unknown_alias"]


def test_an_override_decides_whether_a_step_can_run() -> None:
    step = "kind: agent_task, provider: openai, model: m, prompt_template: hello"
    override = 'override: {"openai/*": {provider: local, model: m}}\n'

    found = changed({"blueprints/a.yaml": blueprint(step), "node.yaml": NODE + override})

    assert found == Findings()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{url: a, methd: GET}", '3:66: unknown_key: http.call has no key "methd" (did you mean "method"?)'),  # noqa: E501 - the sentence is whole
        ("{url: a, methd: GET}", '3:57: missing_key: http.call needs "method"'),
        ("{url: 3, method: GET}", "3:63: wrong_type: url of http.call has to be text"),
        ("{url: a, method: G}", "3:74: bad_value: method of http.call has to be one of GET, POST"),
    ],
)  # fmt: skip
def test_what_an_action_is_given_fits_its_schema(given: str, expected: str) -> None:
    found = told(
        {"blueprints/a.yaml": blueprint(f"kind: action_task, action: http.call, with: {given}")}
    )

    assert f"blueprints/a.yaml:{expected}" in found


def test_a_template_may_stand_for_any_value_and_for_part_of_one() -> None:
    given = (
        "{url: '{{ event.data.url }}', method: '{{ run.actor }}', timeout: '{{ event.data.t }}'}"
    )
    step = f"kind: action_task, action: http.call, with: {given}"

    assert told({"blueprints/a.yaml": blueprint(step)}) == []


# ── Prompts ──────────────────────────────────────────────────────────────────────────────────────

PROMPTED = blueprint("kind: agent_task, provider: local, model: m, prompt_file: prompts/fix.md")


def test_a_prompt_that_vanishes_is_told_to_those_who_name_it() -> None:
    state = state_of({"blueprints/a.yaml": PROMPTED, "prompts/fix.md": "Hello"})

    gone = state.apply([("prompts/fix.md", None)])

    assert check(state, ["blueprints/a.yaml"], CATALOGUE).problems == ()
    assert [str(p) for p in check(gone, ["prompts/fix.md"], CATALOGUE).problems] == [
        "blueprints/a.yaml:3:71: missing_file: there is no file prompts/fix.md"
    ]


def test_a_prompt_names_only_what_the_step_that_asks_it_knows() -> None:
    files = {"blueprints/a.yaml": PROMPTED, "prompts/fix.md": "Fix\n{{ inputs.host }}\n"}

    assert told(files, "prompts/fix.md") == [
        'blueprints/a.yaml:3:71: unresolved_reference: prompts/fix.md:2:11: no input "host"'
    ]


# ── Remarks ──────────────────────────────────────────────────────────────────────────────────────


def test_nodes_and_subjects_that_nobody_defines_are_remarked_on() -> None:
    text = """\
id: bp.x
nodes: [seed, 'label:edge', sead]
plan:
  - {id: a, kind: gate, mode: manual, approvals: {from_any_of: ['team:noc', 'team:nok']}}
"""

    remarks = [str(remark) for remark in changed({"blueprints/a.yaml": text}).remarks]

    no_node = 'no node "sead" is defined here (did you mean "seed"?)'
    nobody = 'nobody in principals.yaml is "team:nok" (did you mean "team:noc"?)'
    assert remarks == [
        f"blueprints/a.yaml:2:29: unknown_node: {no_node}",
        f"blueprints/a.yaml:4:77: unknown_subject: {nobody}",
    ]


def test_more_than_a_hundred_documents_in_a_folder_are_remarked_on_once() -> None:
    files = {f"blueprints/{n}.yaml": blueprint(TRANSFORM, f"bp.{n}") for n in range(101)}

    remarks = changed(files).remarks

    assert [(remark.path, remark.code) for remark in remarks] == [
        ("blueprints/0.yaml", "crowded_folder")
    ]


def test_a_misspelt_folder_is_remarked_on() -> None:
    assert [r.code for r in check(state_of({}), ["blueprint/a.yaml"], CATALOGUE).remarks] == [
        "stray_file"
    ]


# ── Whole and part ───────────────────────────────────────────────────────────────────────────────


def test_a_repository_without_a_node_is_refused() -> None:
    state = state_of({}).apply([("node.yaml", None)])

    assert [str(p) for p in check(state, ["node.yaml"], CATALOGUE).problems] == [
        "node.yaml:1:1: missing_file: a state repository needs a node.yaml with the id of its node"
    ]


def test_a_part_of_a_repository_is_not_told_what_may_stand_elsewhere() -> None:
    files = {
        "blueprints/a.yaml": PROMPTED.replace("local", "openai").encode(),
        "blueprints/b.yaml": blueprint(
            "kind: action_task, action: cmk.ack, with: {}", "b"
        ).encode(),
        "blueprints/c.yaml": blueprint(
            "kind: action_task, action: http.cal, with: {}", "c"
        ).encode(),
    }

    found = validate_paths(files, CATALOGUE)

    assert [problem.code for problem in found.problems] == ["unknown_action"]
    assert found.problems[0].path == "blueprints/c.yaml"


def test_only_what_changed_is_looked_at() -> None:
    files = {
        "blueprints/bad.yaml": blueprint("kind: action_task, action: http.cal, with: {}"),
        "blueprints/good.yaml": blueprint(TRANSFORM, "bp.good"),
    }

    assert told(files, "blueprints/good.yaml") == []


def test_a_state_does_not_change_when_the_next_one_is_made() -> None:
    state = state_of({"blueprints/a.yaml": blueprint(TRANSFORM)})
    before = (dict(state.files), dict(state.by_identity), dict(state.folders))

    state.apply([("blueprints/a.yaml", None), ("node.yaml", None)])

    assert (dict(state.files), dict(state.by_identity), dict(state.folders)) == before


def test_changes_one_by_one_give_the_state_that_all_at_once_give() -> None:
    files = {f"blueprints/{n}.yaml": blueprint(TRANSFORM, f"bp.{n % 3}") for n in range(6)}
    step_by_step = state_of({})
    for path, text in files.items():
        step_by_step = step_by_step.apply([(path, load(path, path, text.encode()))])

    assert step_by_step == state_of(files)


# ── Runnable here ────────────────────────────────────────────────────────────────────────────────


def test_a_blueprint_says_why_it_cannot_run_on_a_node() -> None:
    text = """\
id: bp.x
plan:
  - {id: a, kind: agent_task, provider: openai, model: m, prompt_template: x}
  - {id: b, kind: action_task, action: ssh.run, with: {}}
"""
    state = state_of({"blueprints/a.yaml": text, "blueprints/b.yaml": blueprint(TRANSFORM, "b")})
    node = state.node("seed")
    assert node is not None

    found = not_runnable(state, "blueprints/a.yaml", CATALOGUE, node)

    assert found is not None
    assert found.reason == "ActionNotInstalled"
    assert found.message == (
        "action ssh.run is not installed on this node; provider openai is not enabled on this node:"
        " in its file set providers: {openai: {enabled: true}}"
    )
    assert not_runnable(state, "blueprints/b.yaml", CATALOGUE, node) is None
    assert not_runnable(state, "node.yaml", CATALOGUE, node) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("host: web1, argv: [uptime]", []),
        ('host: "{{ node.vars.h }}", cmd: uptime', []),
        ("host: web1", ['3:55: missing_key: ssh.run needs "argv" or "cmd"']),
        (
            'host: "{{ node.vars.h }}", argv: [uptime], cmd: "{{ node.vars.c }}"',
            ['3:99: unknown_key: ssh.run takes only one of "argv", "cmd"'],
        ),
    ],
)
def test_a_choice_between_keys_is_told_before_anything_runs_whatever_is_a_template(
    given: str, expected: list[str]
) -> None:
    files = {
        "blueprints/x.yaml": blueprint(f"kind: action_task, action: ssh.run, with: {{{given}}}")
    }
    found = check(state_of(files), files, catalogue(installed_actions())).problems

    assert [str(problem).removeprefix("blueprints/x.yaml:") for problem in found] == expected


@pytest.mark.parametrize(
    "text",
    [
        "id: bp.x\nplan:\n" + "".join(f"  - &a{n} x\n" for n in range(5000)),
        "id: bp.x\nplan: []\n" + "".join(f"key{n}: x\n" for n in range(5000)),
        "id: bp.x\nplan:\n"
        + "".join(
            f'  - {{id: s{n}, kind: transform, set: "{{{{ nope }}}}"}}\n' for n in range(5000)
        ),
    ],
    ids=["anchors", "keys", "expressions"],
)
def test_of_thousands_of_problems_a_file_shows_a_hundred_and_says_how_many_more(text: str) -> None:
    *shown, rest = load("blueprints/x.yaml", "", text.encode()).problems

    assert len(shown) == 100
    assert rest.code == "too_many_problems"
    assert int(rest.message.split()[0].replace(",", "")) >= 4900
