"""``xynctl validate`` and ``schema``: what needs files and no node."""

import argparse
import json
from pathlib import Path

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.cli.output import answer, remark
from xyn_reconciler.desired.schemas import KINDS
from xyn_reconciler.desired.schemas import schema as schema_of
from xyn_reconciler.desired.validate import validate_paths
from xyn_reconciler.model.errors import NotFoundError


def validate(options: argparse.Namespace) -> int:
    """Print every problem of the named files and folders; 1 where there is one."""
    asked = [Path(path).resolve() for path in options.paths]
    for path in asked:
        if not path.exists():
            raise NotFoundError(f"no such file: {path}")
    root = _root(asked[0])
    files = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }
    named = {name for name in files if any((root / name).is_relative_to(path) for path in asked)}
    findings = validate_paths(files, catalogue(installed_actions()))
    problems = [problem for problem in findings.problems if problem.path in named]
    for found in sorted(problems):
        answer(str(found))
    for found in sorted(findings.remarks):
        if found.path in named:
            remark(f"remark: {found}")
    paths = len({problem.path for problem in problems})
    remark(f"{_count(len(problems), 'problem')} in {_count(paths or len(named), 'file')}")
    return 1 if problems else 0


def schema(options: argparse.Namespace) -> None:
    """Print a JSON Schema (2020-12) for editors."""
    if options.kind not in KINDS:
        raise NotFoundError(f"no kind {options.kind!r}; there are {', '.join(sorted(KINDS))}")
    answer(json.dumps(schema_of(options.kind), indent=2, ensure_ascii=False))


def _root(path: Path) -> Path:
    """The state repository that a file belongs to: the nearest folder with a ``node.yaml``."""
    for folder in (path, *path.parents):
        if (folder / "node.yaml").is_file():
            return folder
    return path if path.is_dir() else path.parent


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
