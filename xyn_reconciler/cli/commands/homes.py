"""``xynctl clone`` and ``rebuild``: work on a home that no node runs in."""

import argparse
import os
from pathlib import Path

from xyn_reconciler.cli.find import home_path
from xyn_reconciler.cli.output import answer, remark
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.node.clone import clone as clone_node
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.rebuild import rebuild as rebuild_home


def clone(options: argparse.Namespace) -> None:
    """Make a home from another node's repository, its history included."""
    home = clone_node(
        options.url, Path(options.directory).resolve(), identity=options.identity, say=remark
    )
    remark(f"start it: xynctl up --home {home.path}")
    answer(str(home.path))


def rebuild(options: argparse.Namespace) -> None:
    """Drain the outbox into Git, then write the index anew; 4 while a node runs."""
    home = Home(home_path(options.home))
    if not home.repository.is_dir():
        raise NotFoundError(f"{home.path} has no state repository; xynctl up makes one")
    done = rebuild_home(home, os.environ, say=remark)
    answer(f"rebuilt: {done.events} events, {done.runs} runs, {done.artifacts} artifacts")
