import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import XYNCTL, clean_environment
from xyn_reconciler.cli.main import main


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XYN_HOME", raising=False)
    monkeypatch.setenv("XYN_URL", "http://127.0.0.1:9")


def test_a_node_that_does_not_answer_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "list"]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("xynctl: no node answers at http://127.0.0.1:9")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("{", "is not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"x": NaN}', "NaN is not a number"),
        ("@nowhere", "nowhere cannot be read: No such file"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_data_that_is_no_object_is_one_clear_line(
    data: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["event", "emit", "x", "--data", data]) == 2

    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1


def test_a_file_that_is_not_utf_8_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_bytes(b'{"x": "\xff"}')

    assert main(["event", "emit", "x", "--data", f"@{tmp_path / 'data'}"]) == 2

    assert "is not text in UTF-8" in capsys.readouterr().err


def xynctl(*words: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*XYNCTL, *words], env=clean_environment(**environment), capture_output=True, check=False
    )


def test_a_locale_that_cannot_say_it_gets_escapes(tmp_path: Path) -> None:
    file = tmp_path / "blueprints" / "x.yaml"
    file.parent.mkdir()
    file.write_text("id: bp.x\nname: grün\nsurprise…: 1\nplan: []\n")

    done = xynctl("validate", str(tmp_path), PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")

    assert done.returncode == 1, done.stderr
    assert b'no key "surprise\\u2026"' in done.stdout


def test_a_reader_who_has_enough_is_no_error_to_speak_of() -> None:
    with subprocess.Popen(
        [*XYNCTL, "schema", "blueprint"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert said == b""
    assert process.returncode == 1


def test_an_error_of_the_system_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    file.write_text("id: x\n")
    (tmp_path / "node.yaml").mkdir()

    done = xynctl("preflight", "--env", str(tmp_path / "no" / "folder" / ".env"))

    assert done.returncode == 1
    assert b"No such file or directory" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_the_whole_command_is_also_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xyn_reconciler.cli", "version"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    )

    assert done.stdout.startswith("xynctl ")
