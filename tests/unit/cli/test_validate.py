"""``xynctl validate`` on files in and outside a state repository."""

import argparse
from pathlib import Path

import pytest

from xyn_reconciler.cli.commands.files import validate
from xyn_reconciler.model.errors import InvalidError

WRONG = "id: bp.x\nplan:\n  - {id: a, kind: transform, set: {x: 1}, foo: 1}\n"


def written(folder: Path, name: str, text: str = WRONG) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def check(*paths: Path) -> int:
    return validate(argparse.Namespace(paths=[str(path) for path in paths]))


@pytest.mark.parametrize("name", ["blueprints/x.yaml", "blueprints/night/shift/x.yaml"])
def test_a_file_outside_a_state_repository_is_what_its_folder_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = written(tmp_path, name)

    assert check(path) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{name}:3:")
    assert "1 problem in 1 file" in said.err


def test_a_folder_of_blueprints_alone_is_checked_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "blueprints/x.yaml")

    assert check(path.parent) == 1
    assert capsys.readouterr().out.startswith("blueprints/x.yaml:3:")


@pytest.mark.parametrize("name", ["x.yaml", "blueprint/x.yaml"])
def test_a_file_that_may_be_anything_is_not_called_free_of_problems(
    tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, name)
    if "/" in name:
        written(tmp_path, "node.yaml", "id: seed\n")

    with pytest.raises(InvalidError, match="blueprints/"):
        check(path)


def test_what_is_no_part_of_a_repository_is_not_even_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "blueprints/x.yaml")
    written(tmp_path, "photos/huge.bin")
    written(tmp_path, "prompts/a.md")
    read, really = list[str](), Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path.name)
        return really(path)

    monkeypatch.setattr(Path, "read_bytes", noted)

    check(path)

    assert set(read) == {"x.yaml", "a.md"}


def test_paths_of_two_repositories_are_not_mixed(tmp_path: Path) -> None:
    one, other = (written(tmp_path, f"{name}/blueprints/x.yaml") for name in ("one", "other"))

    with pytest.raises(InvalidError, match="by itself"):
        check(one, other)
