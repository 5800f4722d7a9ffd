"""``xynctl pack``: those that are active on a node, and those that are in the making."""

import argparse
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.cli.client import connect, segment
from xyn_reconciler.cli.commands.files import read_files, root_of
from xyn_reconciler.cli.output import answer, print_list, print_one, remark
from xyn_reconciler.desired.layout import in_pack
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.pack_checks import definition_of, taken_names
from xyn_reconciler.desired.packs import content_digest
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.validate import check
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError, Problem
from xyn_reconciler.model.pack import PACK_ID
from xyn_reconciler.model.source import RESERVED_SOURCES
from xyn_reconciler.pack_kit.skeleton import skeleton

_COLUMNS = {
    "pack": lambda row: row["pack_id"],
    "version": lambda row: row["version"],
    "digest": lambda row: row["digest"][:12],
    "here": lambda row: row["works_here"],
    "attachment": lambda row: row["attachment"],
    "actions": lambda row: ", ".join(action["name"] for action in row["actions"]),
}
_ACTION_COLUMNS = {
    "action": lambda row: row["name"],
    "by": lambda row: row["body"],
    "here": lambda row: row["installed"],
    "summary": lambda row: row["summary"],
}
_VERIFIED_COLUMNS = {
    "pack": lambda row: row["pack_id"],
    "version": lambda row: row["version"],
    "problems": lambda row: row["problems"],
    "remarks": lambda row: row["remarks"],
    "digest": lambda row: row["digest"][:12],
}


def list_packs(options: argparse.Namespace) -> None:
    rows = connect(options).items("/packs", limit=options.limit)
    print_list(
        list(rows),
        _COLUMNS,
        name="pack_id",
        form=options.output,
        empty="no pack is active; begin one in a clone: xynctl pack new NAME",
    )


def show(options: argparse.Namespace) -> None:
    pack = connect(options).get(f"/packs/{segment(options.pack)}")
    if options.output != "table":
        print_one(pack, name="pack_id", form=options.output)
        return
    actions = pack.pop("actions")
    print_one(pack, name="pack_id", form=options.output)
    answer("")
    print_list(actions, _ACTION_COLUMNS, name="name", form="table", empty="it brings no actions")


def verify(options: argparse.Namespace) -> int:
    """Check packs in files, and print version and digest of each; 1 where one has a problem."""
    asked = [Path(each) for each in options.packs]
    root = root_of((asked[0] if asked and asked[0].is_dir() else Path()).resolve())
    if not (root / "packs").is_dir():
        raise NotFoundError(f"there is no packs/ in {root}: stand in a clone of the repository")
    state = DesiredState.of(
        load(path, blob_id(data), data) for path, data in read_files(root).items()
    )
    names = [each.resolve().name for each in asked] or sorted(state.by_pack)
    for name in names:
        if name not in state.by_pack:
            there = ", ".join(sorted(state.by_pack)) or "none"
            raise NotFoundError(f"there is no packs/{name}/ in {root}; there is {there}")
    meant = [path for name in names for path in state.by_pack[name]]
    findings = check(
        state, meant, catalogue(installed_actions()), whole=state.main_node() is not None
    )
    told = {
        "problems": [each for each in findings.problems if in_pack(each.path)[0] in names],
        "remarks": [each for each in findings.remarks if in_pack(each.path)[0] in names],
    }
    for problem in told["problems"]:
        answer(str(problem))
    for found in told["remarks"]:
        remark(f"remark: {found}")
    print_list(
        [_verified(name, state, told) for name in names],
        _VERIFIED_COLUMNS,
        name="pack_id",
        form=options.output,
        empty="there are no packs here",
    )
    return 1 if told["problems"] else 0


def _verified(
    name: str, state: DesiredState, told: Mapping[str, Sequence[Problem]]
) -> dict[str, Any]:
    inside = state.by_pack[name]
    definition = definition_of(inside)
    known = {} if definition is None or definition.document is None else definition.document
    return {
        "pack_id": name,
        "version": known.get("version"),
        "digest": content_digest(inside.values()),
        **{
            what: sum(in_pack(each.path)[0] == name for each in findings)
            for what, findings in told.items()
        },
    }


def blob_id(data: bytes) -> str:
    """Give the name that Git has for these bytes, so that a digest here is that of a node."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def new(options: argparse.Namespace) -> None:
    """Write a pack that is whole and valid, for its author to change."""
    name = options.name
    if re.fullmatch(PACK_ID, name, re.ASCII) is None:
        raise InvalidError(
            "a pack's name begins with a small letter and has only a-z, 0-9, _ and -"
        )
    if name in taken_names(catalogue(installed_actions())) | RESERVED_SOURCES:
        raise InvalidError(f"names that begin with {name} are Xyn's own: choose another one")
    root = root_of(Path.cwd())
    if not (root / "node.yaml").is_file():
        raise NotFoundError(
            "there is no node.yaml here or above: stand in a clone of the repository"
        )
    folder = root / "packs" / name
    if folder.exists():
        raise ConflictError(f"there is {folder.relative_to(root)}/ already: choose another name")
    for path, text in skeleton(name).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        answer(file.relative_to(root).as_posix())
    remark(f"next: xynctl pack test {name}, xynctl test, then commit and push")
