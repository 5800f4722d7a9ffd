"""The reference of actions is made of their specs, and its examples are sound."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.validate import DesiredState, check

CHECKOUT = Path(__file__).parents[3]
EXAMPLES = CHECKOUT / "docs" / "actions"
NODE = b"id: seed\nenv_id: local\nmode: active\nstage: dev\n"
HELLO = b"id: bp.demo.hello\ninputs: {host: {type: string}}\nplan: [{id: a, kind: transform}]\n"
PACK = """\
id: door
name: Door
version: 0.1.0
requires: {secrets: [env/DOOR_TOKEN]}
settings:
  type: object
  properties: {url: {type: string, default: "https://door.example", description: Where it is.}}
actions:
  door.open:
    summary: Open the door.
    input_schema:
      type: object
      required: [who]
      properties: {who: {type: string, description: Who comes in.}}
    output_schema: {type: object, properties: {open: {type: boolean}}}
    idempotent: true
    request: {method: POST, url: "{{ settings.url }}/open", json: {who: "{{ inputs.who }}"}}
    outputs: {open: "{{ response.json.open }}"}
    errors: [{status: [423], code: locked, message: it is locked from inside}]
"""


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    path = CHECKOUT / "docs" / "build_actions.py"
    spec = importlib.util.spec_from_file_location("build_actions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_say_what_the_code_says(builder: ModuleType) -> None:
    made = builder.pages()
    there = {*builder.PAGES.glob("*.md"), *builder.PACK_PAGES.glob("*.md")}

    assert there == made.keys(), "run: python docs/build_actions.py"
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/build_actions.py"


def test_every_action_has_an_example_that_uses_it() -> None:
    for name in catalogue(installed_actions()).actions:
        document = load(f"blueprints/{name}.yaml", "", (EXAMPLES / f"{name}.yaml").read_bytes())
        assert name in [step.get("action") for step in document.document["plan"]]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_a_sound_blueprint(path: Path) -> None:
    name = f"blueprints/{path.name}"
    files = {
        name: load(name, "", path.read_bytes()),
        "node.yaml": load("node.yaml", "", NODE),
        "blueprints/hello.yaml": load("blueprints/hello.yaml", "", HELLO),
    }

    found = check(DesiredState().apply(files.items()), files, catalogue(installed_actions()))

    assert [str(problem) for problem in (*found.problems, *files[name].problems)] == []
    assert [str(remark) for remark in found.remarks if remark.path == name] == []


def test_every_action_says_what_it_is_given_and_how_it_fails() -> None:
    for spec in catalogue(installed_actions()).actions.values():
        assert spec.capabilities, spec.name
        assert spec.errors, spec.name


def test_a_pack_has_a_page_of_its_settings_and_actions(builder: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "door"
    folder.mkdir()
    (folder / "pack.yaml").write_text(PACK)

    page = builder.pack_page(folder)

    assert "# Door\n" in page
    assert "- **Secrets**: `env/DOOR_TOKEN`" in page
    assert '| `url` | string | Where it is. Default `"https://door.example"`. |' in page
    assert "## door.open\n\nOpen the door.\n" in page
    assert "| `who` | string | **Required.** Who comes in. |" in page
    assert "| `locked` | it is locked from inside |" in page
    assert "| `egress_denied` |" in page
