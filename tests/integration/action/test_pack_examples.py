"""Examples of packs, run as ``xynctl pack test`` runs them: on folders, with a report."""

import datetime as dt
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.neighbours import confinement
from xyn_reconciler.action import landlock
from xyn_reconciler.cli.main import main
from xyn_reconciler.pack_kit import NAME, kit
from xyn_reconciler.store.git import Repository

PACK = """
id: hello
version: 0.1.0
settings:
  type: object
  properties:
    url: {type: string, default: "https://api.example.com/v1"}
    token_ref: {type: string, default: env/HELLO_TOKEN}
actions:
  hello.find:
    summary: Find a host.
    input_schema:
      type: object
      required: [name]
      properties: {name: {type: string}}
    output_schema: {type: object, properties: {id: {type: integer}}}
    request:
      method: POST
      url: "{{ settings.url }}/find"
      bearer_ref: "{{ settings.token_ref }}"
      json: {name: "{{ inputs.name }}"}
    outputs: {id: "{{ response.json.id }}"}
    errors:
      - {status: [404], code: not_there, message: "there is no {{ inputs.name }}"}
  hello.greet:
    summary: Greet.
    input_schema: {type: object, properties: {name: {type: string}}}
    output_schema: {type: object, properties: {text: {type: string}}}
    run: {file: actions/greet.py}
  hello.restart:
    summary: Restart a service.
    input_schema: {type: object, properties: {service: {type: string}}}
    output_schema: {type: object}
    ssh: {host: web, cmd: "systemctl restart {{ inputs.service }}"}
    outputs: {said: "{{ response.stdout }}"}
"""

GREET = """
from xyn_kit import Failure, Request, action, log

@action
def greet(request: Request) -> dict[str, object]:
    log("greeting")
    if not request.inputs["name"]:
        raise Failure("no_name", "there is nobody to greet")
    return {"text": "Hello, " + request.inputs["name"]}

if __name__ == "__main__":
    greet()
"""

FIND = """
action: hello.find
with: {name: web1}
secrets: {env/HELLO_TOKEN: made-up}
answers:
  - request:
      method: POST
      url: https://api.example.com/v1/find
      headers: {Authorization: Bearer made-up}
      json: {name: web1}
    response: {json: {id: 7}}
expect: {outputs: {id: 7}}
"""


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repo" / "packs" / "hello"
    for name, text in {
        "pack.yaml": PACK,
        "actions/greet.py": GREET,
        f"actions/{NAME}": kit(),
    }.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (folder / "examples").mkdir()
    monkeypatch.chdir(tmp_path / "repo")
    return folder


Outcome = Callable[[str], tuple[str, str]]


@pytest.fixture
def outcome(pack: Path, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Runs one example and gives its outcome, with all that was said."""

    def run(example: str) -> tuple[str, str]:
        (pack / "examples" / "it.yaml").write_text(textwrap.dedent(example))
        code = main(["pack", "test", "hello", "-o", "json"])
        [found] = json.loads(capsys.readouterr().out)
        assert code == (1 if found["outcome"] == "failed" else 0)
        return found["outcome"], "\n".join(found["reasons"])

    return run


def test_a_request_meets_a_server_that_speaks_the_answers(outcome: Outcome) -> None:
    assert outcome(FIND) == ("passed", "")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("method: POST", "method: PUT", 'request 1: method: expected "PUT", found "POST"'),
        ("v1/find", "v2/find", 'v2/find", found "https://api.example.com/v1/find"'),
        ("Bearer made-up", "Bearer other", 'expected "Bearer other", found "Bearer made-up"'),
        ("json: {name: web1}", "json: {name: db}", 'json.name: expected "db", found "web1"'),
        ("json: {name: web1}", "json: {}", 'json.name: expected none, found "web1"'),
        ("outputs: {id: 7}", "outputs: {id: 8}", "outputs.id: expected 8, found 7"),
        ("outputs: {id: 7}", "outputs: {name: x}", 'outputs.name: expected "x", found none'),
        ("outputs: {id: 7}", "error: {code: no}", "expected the error no, but it went well"),
        ("response: {json", "response: {status: 500, json", "it failed with http_status"),
        ("{json: {id: 7}}", "{json: {}}", "it failed with invalid_output"),
    ],
)
def test_a_difference_is_told(outcome: Outcome, old: str, new: str, told: str) -> None:
    assert old in FIND
    result, reasons = outcome(FIND.replace(old, new))

    assert result == "failed"
    assert told in reasons


def test_a_request_too_many_and_one_too_few_are_told(outcome: Outcome) -> None:
    one, _, expect = FIND.partition("expect:")
    few = outcome(one + "  - {response: {}}\nexpect:" + expect)
    none = outcome(one.partition("answers:")[0] + "expect:" + expect)

    assert few == ("failed", "answers to 2 are declared, and 1 came\nlog: POST 127.0.0.1: 200")
    assert none[0] == "failed"
    assert "request 1, POST https://api.example.com/v1/find, is one more" in none[1]


def test_a_declared_failure_is_expected_by_its_code_and_words(outcome: Outcome) -> None:
    example = """
    action: hello.find
    with: {name: web1}
    secrets: {env/HELLO_TOKEN: made-up}
    answers: [{request: {method: POST}, response: {status: 404}}]
    expect: {error: {code: not_there, message: there is no web1, temporary: false}}
    """

    assert outcome(example) == ("passed", "")
    assert outcome(example.replace("is no web1", "is none"))[0] == "failed"


def test_a_program_is_really_run(outcome: Outcome) -> None:
    confinement()
    example = """
    action: hello.greet
    with: {name: Bob}
    expect: {outputs: {text: "Hello, Bob"}}
    """
    failing = example.replace("Bob}", "''}", 1)

    assert outcome(example) == ("passed", "")
    result, reasons = outcome(failing)
    assert result == "failed"
    assert "it failed with no_name: there is nobody to greet" in reasons
    assert "log: greeting" in reasons


def test_where_no_program_can_be_confined_its_example_is_skipped(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    result, reasons = outcome("action: hello.greet\nwith: {name: Bob}\n")

    assert result == "skipped"
    assert "Landlock" in reasons


def test_a_command_for_another_machine_has_its_answer_from_the_example(outcome: Outcome) -> None:
    example = """
    action: hello.restart
    with: {service: "a; reboot"}
    answers:
      - request: {with: {host: web, cmd: "systemctl restart 'a; reboot'"}}
        response: {stdout: done}
    expect: {outputs: {said: done}}
    """

    assert outcome(example) == ("passed", "")
    assert outcome(example.replace("'a; reboot'", "x"))[0] == "failed"
    assert outcome("action: hello.restart\nwith: {service: a}\n")[0] == "skipped"


@pytest.mark.parametrize(
    ("example", "told"),
    [
        ("action: hello.nothing\n", "the pack has no action hello.nothing"),
        ("action: hello.find\nanswer: []\n", "it.yaml:2:1: unknown_key"),
        ("action: hello.find\nsettings: {url: 3}\n", "its settings do not fit"),
        ("action: hello.find\nwith: {}\n", "invalid_inputs"),
        ("action: hello.find\nwith: {name: x}\n", "an example has secrets of its own"),
        ("action: [\n", "it.yaml:2:1"),
    ],
)
def test_what_is_wrong_with_an_example_is_told(outcome: Outcome, example: str, told: str) -> None:
    result, reasons = outcome(example)

    assert result == "failed"
    assert told in reasons


def test_what_would_become_an_artifact_is_read(outcome: Outcome, pack: Path) -> None:
    text = (pack / "pack.yaml").read_text()
    text = text.replace('    outputs: {id: "{{ response.json.id }}"}\n', "")
    (pack / "pack.yaml").write_text(
        text.replace("bearer_ref", "save_to: it.json\n      bearer_ref")
    )

    result, reasons = outcome(FIND.replace("outputs: {id: 7}", "outputs: {bytes: 9}"))
    assert (result, reasons) == ("passed", "")


# ── the command ──────────────────────────────────────────────────────────────────────────────────


def test_the_report_has_a_line_for_each_example_and_their_number(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pack / "examples" / "a.yaml").write_text(FIND)
    (pack / "examples" / "b.yaml").write_text("action: hello.restart\nwith: {service: a}\n")

    assert main(["pack", "test"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "passed   packs/hello/examples/a.yaml"
    assert said.out.splitlines()[1] == "skipped  packs/hello/examples/b.yaml"
    assert said.err == "1 example passed, 0 failed, 1 skipped\n"


@pytest.mark.parametrize("named", ["hello", "packs/hello", "./packs/hello/"])
def test_a_pack_is_named_by_its_name_or_its_folder(
    named: str, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pack / "examples" / "a.yaml").write_text(FIND)

    assert main(["pack", "test", named, "-o", "name"]) == 0
    assert capsys.readouterr().out == "packs/hello/examples/a.yaml\n"


def test_a_pack_that_is_not_there_is_told(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", "test", "other"]) == 3
    assert "there is no pack other; there is hello" in capsys.readouterr().err


def test_a_pack_that_cannot_be_read_fails_with_its_problems(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pack / "pack.yaml").write_text("id: hello\n")

    assert main(["pack", "test"]) == 1
    assert "packs/hello/pack.yaml:1:1: missing_key" in capsys.readouterr().out


def test_a_homes_main_is_tested_without_a_checkout(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (pack / "examples" / "a.yaml").write_text(FIND)
    files: dict[str, Any] = {
        path.relative_to(pack.parents[1]).as_posix(): path.read_bytes()
        for path in pack.rglob("*")
        if path.is_file()
    }
    home = tmp_path / "home"
    (home / "artifacts").mkdir(parents=True)
    Repository.create(home / "state.git").commit_files(
        "refs/heads/main",
        expected=None,
        changes=files,
        message="A pack",
        author="T <t@example.net>",
        now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )
    monkeypatch.chdir(tmp_path)

    assert main(["--home", str(home), "pack", "test"]) == 0
    assert "passed   packs/hello/examples/a.yaml" in capsys.readouterr().out
