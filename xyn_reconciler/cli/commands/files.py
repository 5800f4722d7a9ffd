"""``xynctl validate`` and ``schema``: what needs files and no node."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.cli.output import answer, remark
from xyn_reconciler.desired.layout import FOLDERS, kind_of, stray
from xyn_reconciler.desired.schemas import KINDS
from xyn_reconciler.desired.schemas import schema as schema_of
from xyn_reconciler.desired.validate import validate_paths
from xyn_reconciler.model.errors import InvalidError, NotFoundError


def validate(options: argparse.Namespace) -> int:
    """Print every problem of the named files and folders; 1 where there is one."""
    asked = [Path(path).resolve() for path in options.paths]
    for path in asked:
        if not path.exists():
            raise NotFoundError(f"no such file: {path}")
    root = root_of(asked[0])
    for path in asked:
        _refuse_unknown(root, path)
    files = read_files(root, asked)
    named = {name for name in files if any((root / name).is_relative_to(path) for path in asked)}
    findings = validate_paths(files, catalogue(installed_actions()))
    problems = [problem for problem in findings.problems if problem.path in named]
    for found in sorted(problems):
        answer(str(found))
    for found in sorted(findings.remarks):
        if found.path in named:
            remark(f"remark: {found}")
    paths = len({problem.path for problem in problems})
    remark(f"{count(len(problems), 'problem')} in {count(paths or len(named), 'file')}")
    return 1 if problems else 0


def read_files(root: Path, asked: Iterable[Path] = ()) -> dict[str, bytes]:
    """Give what Xyn reads of a state repository, and what was asked for, by path below it."""
    read = [path for path in root.iterdir() if path.is_file() or path.name in FOLDERS]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for start in (*read, *asked)
        for path in ((start,) if start.is_file() else sorted(start.rglob("*")))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def schema(options: argparse.Namespace) -> None:
    """Print a JSON Schema (2020-12) for editors."""
    if options.kind not in KINDS:
        raise NotFoundError(f"no kind {options.kind!r}; there are {', '.join(sorted(KINDS))}")
    answer(json.dumps(schema_of(options.kind), indent=2, ensure_ascii=False))


def root_of(path: Path) -> Path:
    """The state repository that a file belongs to: the nearest folder with a ``node.yaml``.

    Without one, the folder that ``blueprints/`` or another of its folders stands in.
    """
    folders = (path, *path.parents)
    for folder in folders:
        if (folder / "node.yaml").is_file():
            return folder
    home = next((folder.parent for folder in folders if folder.name in FOLDERS), None)
    if home is None:
        return path if path.is_dir() else path.parent
    # A pack has folders of the same names.
    return home.parent.parent if home.parent.name == "packs" else home


def _refuse_unknown(root: Path, path: Path) -> None:
    """Say of a file that is no document where it stands that it cannot be checked."""
    if not path.is_relative_to(root):
        raise InvalidError(f"{path} is not in {root}, as the first path is: check it by itself")
    name = path.relative_to(root).as_posix()
    if path.is_file() and kind_of(name) == "other" and stray(name) is not None:
        raise InvalidError(
            f"{path.name} may be anything: what a file is, its folder says"
            f" ({', '.join(f'{folder}/' for folder in FOLDERS)})"
        )


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
