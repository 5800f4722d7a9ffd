"""A model writes a blueprint with its test, hears what is wrong, and a person has the last word.

``docs/how-to/let-an-agent-write-a-blueprint.md`` in spirit.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aimock import Aimock, aimock
from tests.running import XYNCTL, Node, clean_environment, free_port, git, wait_for

pytestmark = pytest.mark.acceptance

NODE = """\
id: seed
providers:
  openai: {{enabled: true, base_url: "{first}/v1"}}
  local: {{kind: openai, enabled: true, base_url: "{second}/v1"}}
aliases: {{smart: {{provider: openai, model: gpt-5}}}}
"""
GOOD = """\
id: bp.authored.greet_back
triggers: [{event_type: person.arrived}]
inputs:
  who: {type: string, from: "{{ event.data.who }}"}
plan:
  - {id: greet, kind: transform, set: {text: "Welcome, {{ inputs.who }}"}}
outputs: {text: "{{ steps.greet.outputs.text }}"}
"""
UNKNOWN_KEY = GOOD.replace("plan:\n", "plann:\n")
WRONG = GOOD.replace("Welcome", "Hi")
TEST = """\
name: Whoever arrives is greeted
blueprint: bp.authored.greet_back
event: {event_name: person.arrived, data: {who: Ada}}
expect: {status: completed, outputs: {text: "Welcome, Ada"}}
"""
FAREWELL = GOOD.replace("greet_back", "two").replace("arrived", "left")
FAREWELL_TEST = TEST.replace("greet_back", "two").replace("arrived", "left")
PACK = """\
id: tickets
version: 0.1.0
settings: {type: object, properties: {url: {type: string, default: "https://tickets.example.net"}}}
actions:
  tickets.open:
    summary: Open a ticket.
    input_schema: {type: object, required: [title], properties: {title: {type: string}}}
    output_schema: {type: object, required: [id], properties: {id: {type: integer}}}
    request: {method: POST, url: "{{ settings.url }}/tickets", json: {title: "{{ inputs.title }}"}}
    outputs: {id: "{{ response.json.id }}"}
"""
EXAMPLE = """\
action: tickets.open
with: {title: disk full}
answers: [{request: {method: POST, json: {title: disk full}}, response: {json: {id: 7}}}]
expect: {outputs: {id: 7}}
"""


def answers(found: str, **texts: str) -> dict[str, Any]:
    """What the model says to a prompt in which this is found."""
    return {"match": {"userMessage": found}, "response": {"content": json.dumps(texts)}}


def blueprint(found: str, text: str) -> dict[str, Any]:
    return answers(found, blueprint=text, test=TEST, notes="It greets.")


FIXTURES = [
    answers("Say farewell", blueprint=FAREWELL, test=FAREWELL_TEST, notes=""),
    blueprint("Never learn", UNKNOWN_KEY),
    blueprint('"code": "unknown_key"', WRONG),
    blueprint('"code": "test_failed"', GOOD),
    blueprint("Greet whoever arrives", UNKNOWN_KEY),
    answers(
        '"code": "unresolved_reference"', pack=PACK, example=EXAMPLE, notes="It opens tickets."
    ),
    answers(
        "opens a ticket",
        pack=PACK.replace("inputs.title", "inputs.titel"),
        example=EXAMPLE,
        notes="",
    ),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    with aimock(tmp_path_factory.mktemp("aimock"), FIXTURES) as found:
        yield found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    key = {"OPENAI_API_KEY": "sk-a-key-that-no-page-shows"}
    found = Node(tmp_path_factory.mktemp("node") / "home", environment=key).start()
    yield found
    found.stop()


@pytest.fixture
def clone(node: Node, models: Aimock, tmp_path: Path) -> Path:
    """A clone of the node's repository, in which `smart` is a model that answers."""
    git(tmp_path, "clone", "-q", node.git_url, "clone")
    define(tmp_path / "clone", first=models.url, second=models.url)
    return tmp_path / "clone"


def define(clone: Path, *, first: str, second: str, more: str = "") -> None:
    (clone / "node.yaml").write_text(NODE.format(first=first, second=second) + more)
    if git(clone, "status", "--porcelain").stdout:
        git(clone, "commit", "-qam", "Say which model is smart")
        assert "not_runnable" not in git(clone, "push", "origin", "HEAD:main").stderr


def asked(node: Node, event: str, **data: object) -> dict[str, Any]:
    """The run that a wish starts, at its end."""
    run_id = node.run_of(node.emit(event, data))["run_id"]

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = node.get(f"/runs/{run_id}")
        return run if run["status"] in ("completed", "failed") else None

    found: dict[str, Any] = wait_for(ended, node.log, seconds=120)
    return found


def prompts(models: Aimock, wish: str) -> list[str]:
    """What the model was asked with this wish in it, in order."""
    said = [json.dumps(each["body"], ensure_ascii=False) for each in models.seen()]
    return [each.replace("\\", "") for each in said if wish in each]


def test_a_blueprint_is_mended_until_it_passes_and_runs_once_a_person_has_promoted_it(
    node: Node, clone: Path, models: Aimock
) -> None:
    run = asked(node, "blueprint.wanted", name="greet-back", wish="Greet whoever arrives.")

    assert run["status"] == "completed", run["error"]
    review = node.get("/drafts/author%2Fgreet-back/review")
    assert run["outputs"] == {"review": review["url"], "rounds": 3}
    assert [file["path"] for file in review["files"]] == [
        "blueprints/authored/greet-back.yaml",
        "tests/authored/greet-back.yaml",
    ]
    assert review["mergeable"], review["reasons"]
    first, second, third = prompts(models, "Greet whoever arrives.")
    assert "What is wrong with it:" not in first
    assert '"path": "blueprints/authored/greet-back.yaml", "line": 5, "column": 1' in second
    assert '"path": "tests/authored/greet-back.yaml", "line": 4' in third
    assert 'expected "Welcome, Ada", found "Hi, Ada"' in third

    assert not node.get("/runs", blueprint_id="bp.authored.greet_back")["items"]
    node.xynctl("review", "promote", "author/greet-back")
    arrived = node.run_of(node.emit("person.arrived", {"who": "Grace"}))
    ended = node.wait_for_run(arrived["run_id"], "completed", "failed")
    assert ended["outputs"] == {"text": "Welcome, Grace"}


def test_what_never_passes_ends_with_what_is_wrong(node: Node, clone: Path, models: Aimock) -> None:
    run = asked(node, "blueprint.wanted", name="never", wish="Never learn.")

    assert run["status"] == "failed"
    assert run["error"]["code"] == "sub_run_failed"
    assert "blueprints/authored/never.yaml:5:1: unknown_key" in run["error"]["message"]
    inner = run["error"]["details"]["error"]
    assert inner["code"] == "validation_failed"
    assert {each["code"] for each in inner["details"]["issues"]} >= {"unknown_key"}
    assert len(prompts(models, "Never learn.")) == 3


def test_an_action_of_a_pack_is_mended_until_the_linter_is_content(node: Node, clone: Path) -> None:
    run = asked(node, "action.wanted", action="tickets.open", wish="POST /tickets opens a ticket.")

    assert run["status"] == "completed", run["error"]
    assert run["outputs"]["rounds"] == 2
    review = node.get("/drafts/author%2Ftickets.open/review")
    assert [file["path"] for file in review["files"]] == [
        "packs/tickets/examples/tickets.open.yaml",
        "packs/tickets/pack.yaml",
    ]
    git(clone, "fetch", "-q", "origin", "draft/author/tickets.open")
    git(clone, "checkout", "-q", "FETCH_HEAD")
    tried = subprocess.run(
        [*XYNCTL, "pack", "test", "tickets"],
        cwd=clone,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "passed   packs/tickets/examples/tickets.open.yaml" in tried.stdout, tried.stderr


def test_a_provider_that_is_away_fails_the_run_by_name_and_a_fallback_takes_over(
    node: Node, clone: Path, models: Aimock
) -> None:
    away, wish = f"http://127.0.0.1:{free_port()}", "Say farewell to whoever leaves."
    define(clone, first=away, second=models.url)

    failed = asked(node, "blueprint.wanted", name="one", wish=wish)
    instead = "fallback: [{provider: local, model: llama}]\n"
    define(clone, first=away, second=models.url, more=instead)
    answered = asked(node, "blueprint.wanted", name="two", wish=wish)

    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "connection"
    assert "openai gpt-5: " in failed["error"]["message"]
    assert answered["status"] == "completed", answered["error"]
    assert answered["outputs"]["rounds"] == 1
