import argparse
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest

from xyn_reconciler.cli.main import main
from xyn_reconciler.cli.parser import build_parser


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:  # noqa: SLF001 - argparse shows them in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - see above
            for command in action.choices.values():
                yield from parsers(command)


@pytest.mark.parametrize(
    "words",
    [
        ["--home", "H", "run", "list"],
        ["run", "--home", "H", "list"],
        ["run", "list", "--home", "H"],
        ["run", "list", "--home=H", "--limit", "3"],
    ],
)
def test_home_is_taken_anywhere(words: list[str]) -> None:
    assert build_parser().parse_args(words).home == "H"


def test_each_command_stands_beside_its_summary_on_one_line() -> None:
    lines = build_parser().format_help().splitlines()

    for parser in list(parsers(build_parser()))[1:]:
        name = parser.prog.removeprefix("xynctl ")
        if " " not in name:
            assert any(line.split()[:1] == [name] and len(line.split()) > 1 for line in lines), name


def test_every_command_has_a_function() -> None:
    for parser in parsers(build_parser()):
        run = parser.get_default("run")
        if run is not None:
            named = inspect.getclosurevars(run).nonlocals
            module = importlib.import_module(f"xyn_reconciler.cli.commands.{named['module']}")
            assert callable(getattr(module, named["function"]))


@pytest.mark.parametrize("words", [[], ["run"], ["gate"]])
def test_half_a_command_is_usage_and_its_help_no_answer(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: xynctl" in err


@pytest.mark.parametrize(
    "words",
    [
        ["up", "--port", "0"],
        ["run", "list", "--limit", "0"],
        ["run", "start", "b", "--input", "x"],
        ["nonsense"],
    ],
)
def test_what_does_not_parse_is_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], 'no command "rnu" (did you mean "run"?)'),
        (["run", "lst"], 'no command "lst" (did you mean "list"?)'),
        (["gate", "zzz"], 'no command "zzz"; there is list, show, approve, reject'),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_may_be_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)

    assert capsys.readouterr().err.splitlines()[-1].endswith(said)


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"approve", "preflight", "--dry-run"}),
        ("zsh", {"approve", "preflight", "--dry-run"}),
        ("tcsh", {"preflight"}),  # shtab completes one level there
    ],
)
def test_a_shell_can_complete_the_commands(
    shell: str, words: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    assert {word for word in words if word in script} == words


def test_bash_reads_the_completion_script() -> None:
    script = subprocess.run(
        [sys.executable, "-m", "xyn_reconciler.cli", "completion", "bash"],
        capture_output=True,
        check=True,
    ).stdout

    subprocess.run(
        ["bash", "-euc", script.decode() + "\ncomplete -p xynctl"], check=True, capture_output=True
    )


def test_a_token_in_the_place_of_a_command_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--as", "xyn_c669d15aca95_b91e79212ffd", "status"])

    said = capsys.readouterr().err
    assert "--as TOKEN comes after the command" in said
    assert "c669d15aca95" not in said
