"""``xynctl test`` and ``run to-test``: examples of what blueprints do."""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.cli.client import connect
from xyn_reconciler.cli.commands.files import count, root_of
from xyn_reconciler.cli.ids import find_id
from xyn_reconciler.cli.output import answer, json_text, remark
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.review.blueprint_tests import run_tests


def test(options: argparse.Namespace) -> int:
    """Print every failure of the tests of files and folders; 1 where there is one."""
    if options.revision is None:
        found = _of_files([Path(path).resolve() for path in options.paths])
    else:
        found = connect(options).get("/tests", revision=options.revision)["results"]
    failed = [each for each in found if not each["passed"]]
    if options.output == "json":
        answer(json_text(found))
    elif options.output == "name":
        for each in found:
            answer(each["path"])
    else:
        for each in failed:
            for failure in each["failures"]:
                answer("{path}:{line}:{column}: {code}: {message}".format(**failure))
    passed = count(len(found) - len(failed), "test") + " passed"
    remark(f"{passed}, {len(failed)} failed" if failed else passed)
    return 1 if failed else 0


def make_test(options: argparse.Namespace) -> None:
    """Write a test of a run, and say what it says of ``main``."""
    client = connect(options)
    run_id = find_id(client, "runs", "run_id", options.run_id)
    made = client.get(f"/runs/{run_id}/test")
    if options.out is None:
        answer(made["text"])
    else:
        path = Path(options.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made["text"], encoding="utf-8")
        remark(f"written: {path}")
    for failure in made["failures"]:
        remark(f"as main is now it fails: {failure}")


def _of_files(asked: Sequence[Path]) -> list[Mapping[str, Any]]:
    for path in asked:
        if not path.exists():
            raise NotFoundError(f"no such file: {path}")
    root = root_of(asked[0])
    files = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }
    named = {name for name in files if any((root / name).is_relative_to(path) for path in asked)}

    def read(loaded: Loaded) -> bytes:
        return files[loaded.path]

    state = DesiredState.of(
        load(name, hashlib.sha256(data).hexdigest(), data) for name, data in files.items()
    )
    results = run_tests(state, catalogue(installed_actions()).actions, read, only=named)
    return [each.to_json() for each in results]
