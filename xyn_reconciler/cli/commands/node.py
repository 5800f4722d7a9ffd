"""``xynctl init``, ``status``, ``reconcile``, ``version`` and ``completion``."""

import argparse
from pathlib import Path

from xyn_reconciler import __version__
from xyn_reconciler.cli.client import connect
from xyn_reconciler.cli.find import home_path
from xyn_reconciler.cli.output import answer, print_one, remark
from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.node.home import Home


def init(options: argparse.Namespace) -> None:
    """Make a home; one that has a repository already is left as it is (4)."""
    from xyn_reconciler.node.prepare import open_or_create

    home = Home(home_path(options.home) if options.home else Path.cwd() / ".xyn")
    if home.repository.exists():
        raise ConflictError(f"{home.path} has a state repository already; xynctl up starts it")
    home.create()
    with home.lock():
        open_or_create(home, remark)
    remark(f"start it: xynctl up --home {home.path}")
    answer(str(home.repository))


def status(options: argparse.Namespace) -> int:
    """Print the node's status; 1 where it is not ready."""
    found = connect(options).get("/status")
    if options.output == "table":
        # Of a condition, what a person wants: whether, and what it says.
        conditions = found.pop("conditions")
        found |= {
            c["type"]: f"{'yes' if c['status'] else 'no'}: {c['message']}" for c in conditions
        }
    print_one(found, name="node_id", form=options.output)
    return 0 if found["ready"] else 1


def reconcile(options: argparse.Namespace) -> None:
    client = connect(options)
    found = client.post("/reconcile", {"dry_run": options.dry_run})
    print_one(found, name="revision", form=options.output)


def version(_: argparse.Namespace) -> None:
    answer(f"xynctl {__version__}")


def completion(options: argparse.Namespace) -> None:
    """Print a completion script, for the folder where the shell looks for them."""
    import shtab

    from xyn_reconciler.cli.parser import build_parser

    answer(shtab.complete(build_parser(), shell=options.shell))
