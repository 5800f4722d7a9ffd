"""``xynctl blueprint``."""

import argparse

from xyn_reconciler.cli.client import connect, segment
from xyn_reconciler.cli.output import print_list, print_one

_COLUMNS = {
    "blueprint": lambda row: row["blueprint_id"],
    "name": lambda row: row["name"],
    "live": lambda row: row["live"],
    "path": lambda row: row["path"],
    "revision": lambda row: row["revision"][:12],
}
_HISTORY = {
    "revision": lambda row: row["revision"][:12],
    "at": lambda row: row["authored_at"],
    "author": lambda row: row["author"],
    "message": lambda row: row["message"].splitlines()[0],
}


def list_blueprints(options: argparse.Namespace) -> None:
    rows = connect(options).items("/blueprints", limit=options.limit)
    print_list(
        list(rows),
        _COLUMNS,
        name="blueprint_id",
        form=options.output,
        empty="no blueprint is active; push one to main: blueprints/<name>.yaml",
    )


def show(options: argparse.Namespace) -> None:
    client = connect(options)
    blueprint = client.get(f"/blueprints/{segment(options.blueprint_id)}")
    print_one(blueprint, name="blueprint_id", form=options.output)


def history(options: argparse.Namespace) -> None:
    client = connect(options)
    rows = client.get(
        f"/blueprints/{segment(options.blueprint_id)}/history", limit=min(options.limit, 200)
    )
    print_list(
        rows["items"],
        _HISTORY,
        name="revision",
        form=options.output,
        empty="no commit touched it yet",
    )
