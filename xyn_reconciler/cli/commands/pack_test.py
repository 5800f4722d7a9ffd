"""``xynctl pack test``: run the examples of packs, without a node.

With ``--live`` it runs their smoke tests on one instead.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xyn_reconciler.action.context import Action
from xyn_reconciler.action.pack_examples import Result, run_example
from xyn_reconciler.action.registry import installed_actions
from xyn_reconciler.cli.client import Client, connect, segment
from xyn_reconciler.cli.commands.files import count, root_of
from xyn_reconciler.cli.commands.runs import follow
from xyn_reconciler.cli.find import home_path
from xyn_reconciler.cli.output import answer, json_text, plain, remark
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.pack_example import read_example
from xyn_reconciler.desired.packs import CONFIG, whole_pack, with_defaults
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.model.schema_check import mismatch
from xyn_reconciler.node.home import Home

Files = Mapping[str, bytes]
Told = tuple[str, str, str | None, Result]
"""Path (or pack), name, action, and what became of it."""


def test(options: argparse.Namespace) -> int:
    """Print what became of each example, or of each smoke test; 1 where one failed."""
    found: list[dict[str, Any]] = []
    for path, name, action, result in _live(options) if options.live else _offline(options):
        told = {
            "path": path,
            "name": name,
            "action": action,
            "outcome": result.outcome,
            "reasons": list(result.reasons),
            "seconds": round(result.seconds, 3),
        }
        found.append(told)
        if options.output == "name":
            answer(path)
        elif options.output == "table":
            # As it ends: a program may take its time.
            answer("\n".join([f"{result.outcome:<8} {path}", *_indented(result.reasons)]))
    if options.output == "json":
        answer(json_text(found))
    outcomes = [each["outcome"] for each in found]
    remark(
        f"{count(outcomes.count('passed'), 'smoke test' if options.live else 'example')} passed,"
        f" {outcomes.count('failed')} failed, {outcomes.count('skipped')} skipped"
    )
    return 1 if "failed" in outcomes else 0


def _indented(reasons: Sequence[str]) -> Iterator[str]:
    # What came from outside must not command a terminal.
    return (f"         {plain(reason)}" for reason in reasons)


# ── on a node ────────────────────────────────────────────────────────────────────────────────────


def _live(options: argparse.Namespace) -> Iterator[Told]:
    """Run the smoke tests of active packs, each as a run of its own."""
    client = connect(options)
    for name in options.packs or [pack["pack_id"] for pack in client.items("/packs", limit=1000)]:
        smoke = client.get(f"/packs/{segment(name)}")["smoke"]
        if smoke is None:
            reason = "its pack.yaml declares no smoke test"
            yield name, name, None, Result(outcome="skipped", reasons=(reason,))
            continue
        given = {"action": smoke["action"], "with": smoke.get("with", {}), "wait_seconds": 0}
        began = client.post(f"{client.url}/api/internal/actions/execute", given)
        run = follow(client, str(began["run_id"]))
        yield name, name, smoke["action"], _ended(client, run)


def _ended(client: Client, run: Mapping[str, Any]) -> Result:
    if run["status"] == "completed":
        return Result(outcome="passed")
    (step,) = client.get(f"/runs/{run['run_id']}/steps")["items"]
    error = step["error"] or run["error"] or {"code": run["status"], "message": "it was ended"}
    told = (f"{error['code']}: {error['message']}", f"run {run['run_id']}")
    return Result(outcome="failed", reasons=told)


# ── which ────────────────────────────────────────────────────────────────────────────────────────


def _asked(options: argparse.Namespace) -> tuple[Files, list[str]]:
    """Give the files of a checkout, or of ``main`` in a home, and the packs that are meant."""
    here = Path.cwd()
    paths = [Path(each).resolve() for each in options.packs if (Path(each) / "pack.yaml").is_file()]
    if paths:
        # A folder that is named by its path says where the others are, too.
        here = paths[0]
    root = root_of(here)
    checkout = options.home is None and (root / "packs").is_dir()
    files = _of_folder(root) if checkout else _of_home(Home(home_path(options.home)))
    there = sorted({pack for path in files if (pack := in_pack(path)[0]) is not None})
    named = [Path(each).resolve().name for each in options.packs]
    for name in named:
        if name not in there:
            raise NotFoundError(f"there is no pack {name}; there is {', '.join(there) or 'none'}")
    return files, named or there


def _of_folder(root: Path) -> Files:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted((root / "packs").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _of_home(home: Home) -> Files:
    from xyn_reconciler.store.git import Repository

    if not home.repository.is_dir():
        raise NotFoundError("no packs/ here and no home: stand in a clone, or say --home DIR")
    repository = Repository.open(home.repository)
    main = repository.resolve("refs/heads/main")
    blobs = {} if main is None else repository.files(main)
    return {
        path: repository.read(blob) for path, blob in blobs.items() if path.startswith("packs/")
    }


# ── at work ──────────────────────────────────────────────────────────────────────────────────────


def _offline(options: argparse.Namespace) -> Iterator[Told]:
    files, names = _asked(options)
    tools = installed_actions()
    for name in names:
        loaded = [
            load(path, hashlib.sha256(data).hexdigest(), data)
            for path, data in files.items()
            if in_pack(path)[0] == name
        ]
        pack = whole_pack(each for each in loaded if each.kind != "pack_settings")
        if pack is None:
            yield f"packs/{name}/pack.yaml", name, None, _unsound(loaded)
            continue
        schema = next(each.document for each in loaded if each.kind == "pack").get("settings") or {}
        for each in loaded:
            if in_pack(each.path)[1].startswith("examples/"):
                yield (each.path, *_result(each, pack, schema, files, tools))


def _unsound(loaded: Sequence[Loaded]) -> Result:
    problems = [str(problem) for each in loaded if each.kind == "pack" for problem in each.problems]
    why = problems or ["it has no pack.yaml, or is made for another version of Xyn"]
    return Result(outcome="failed", reasons=tuple(why))


def _result(
    loaded: Loaded,
    pack: PlanPack,
    schema: Mapping[str, Any],
    files: Files,
    tools: Mapping[str, Action],
) -> tuple[str, str | None, Result]:
    text = files[loaded.path].decode("utf-8", "replace")
    example, problems = read_example(loaded.path, text)
    if example is None or loaded.problems:
        told = tuple(map(str, sorted({*problems, *loaded.problems})))
        return loaded.path, None, Result(outcome="failed", reasons=told)
    name, action = example.get("name") or loaded.path, example["action"]
    settings = with_defaults(schema, example.get("settings") or {})
    problem = mismatch(schema, settings)
    if problem is not None:
        reason = f"its settings do not fit the pack's: {problem}"
        return name, action, Result(outcome="failed", reasons=(reason,))
    pack = pack.model_copy(update={"settings": settings, "files": _files(pack, example)})
    return name, action, run_example(example, pack, tools)


def _files(pack: PlanPack, example: Mapping[str, Any]) -> Mapping[str, str]:
    """Those of the pack, but what an example says of ``config/`` stands for all of that."""
    told: Mapping[str, Any] | None = example.get("config")
    if told is None:
        return pack.files
    others = {path: text for path, text in pack.files.items() if not path.startswith(CONFIG)}
    return {**others, **{f"{CONFIG}{name}.json": json.dumps(each) for name, each in told.items()}}
