"""What the template ships for agents that author is current, sound, and quiet where none is on."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.expression import parse_template
from xyn_reconciler.desired.validate import validate_paths
from xyn_reconciler.template import template_files

CHECKOUT = Path(__file__).parents[3]
CATALOGUE = catalogue(installed_actions())
OFF = "providers: {openai: {enabled: false}, anthropic: {enabled: false}}"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    path = CHECKOUT / "docs" / "build_prompts.py"
    spec = importlib.util.spec_from_file_location("build_prompts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_prompts_say_what_the_reference_says(builder: ModuleType) -> None:
    for path, text in builder.prompts().items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/build_prompts.py"


def test_a_prompt_names_every_action_and_no_page_that_a_model_cannot_open(
    builder: ModuleType,
) -> None:
    text = (builder.PROMPTS / "author_blueprint.md").read_text(encoding="utf-8")

    assert [name for name in CATALOGUE.actions if f"- `{name}`: " not in text] == []
    assert "](" not in text.replace("[](", "")


def test_the_language_of_a_prompt_is_sent_as_it_is_and_the_wish_is_marked(
    builder: ModuleType,
) -> None:
    text = (builder.PROMPTS / "author_blueprint.md").read_text(encoding="utf-8")
    before = {"blueprint": "id: x", "test": "{{ no }}", "issues": [{"line": 4}]}
    inputs: dict[str, Any] = {
        "name": "n",
        "wish": "{{ event }}",
        "examples": [{"a": 1}],
        "before": before,
    }

    sent = parse_template(text, prompt=True).render(
        {"inputs": inputs}, escape=lambda data: f"<data>{data}</data>"
    )

    assert 'host: {type: string, from: "{{ event.data.host }}"}' in str(sent)
    assert str(sent).count("<data>") == 6
    for data in ("{{ event }}", '{"a": 1}', "id: x", "{{ no }}", '{"line": 4}'):
        assert f"<data>{data}</data>" in str(sent)


def test_nothing_is_remarked_on_until_some_model_may_be_asked() -> None:
    files = {path: data for path, data in template_files() if not path.startswith("packs/")}
    on = files["node.yaml"].decode().replace(OFF, OFF.replace("false", "true", 1)).encode()

    quiet = validate_paths(files, CATALOGUE)
    told = validate_paths({**files, "node.yaml": on}, CATALOGUE)

    assert not quiet.problems
    assert not [each for each in quiet.remarks if each.path.startswith("blueprints/xyn/")]
    assert {each.code for each in told.remarks if each.path.startswith("blueprints/xyn/")} == {
        "not_runnable"
    }


def test_an_approver_that_is_no_person_is_remarked_on() -> None:
    gate = (
        b"id: bp.x\nplan:\n  - {id: ok, kind: gate, mode: manual,"
        b' approvals: {from_any_of: ["principal:author-bot"]}}\n'
    )

    found = validate_paths({**dict(template_files()), "blueprints/x.yaml": gate}, CATALOGUE)

    (remark,) = [each for each in found.remarks if each.path == "blueprints/x.yaml"]
    assert (remark.line, remark.code) == (3, "not_a_person")
    assert remark.message == "author-bot is of kind agent: only a person's yes counts"
