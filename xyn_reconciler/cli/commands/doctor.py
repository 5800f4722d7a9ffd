"""``xynctl doctor``: look at the machine and at the home, and say how to mend what is wrong."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from xyn_reconciler.cli.client import Client, token_of
from xyn_reconciler.cli.find import home_path
from xyn_reconciler.cli.output import answer
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.node.home import Home

Finding = tuple[str, bool, str]


def doctor(options: argparse.Namespace) -> int:
    """Print a line for each thing looked at; 1 where something needs mending."""
    findings = [*_machine(), *_home(Home(home_path(options.home)))]
    for name, good, text in findings:
        answer(f"{'ok ' if good else 'BAD'}  {name:<12} {text}")
    return 0 if all(good for _, good, _ in findings) else 1


def _machine() -> Iterator[Finding]:
    yield "python", sys.version_info >= (3, 11), f"{platform.python_version()} (3.11 or newer)"
    try:
        from xyn_reconciler.store.git_command import git_program

        yield "git", True, git_program()
    except XynError as error:
        yield "git", False, error.message
    try:
        import xyn_reconciler.desired.source  # noqa: F401 - refuses without libyaml

        yield "libyaml", True, "the fast YAML parser is there"
    except ImportError as error:
        yield "libyaml", False, str(error)
    if os.environ.get("DATABASE_URL"):
        yield "postgres", True, "DATABASE_URL"
    elif os.geteuid() == 0:
        yield "postgres", *_namespaces()
    else:
        yield "postgres", True, "embedded"


def _namespaces() -> tuple[bool, str]:
    """Postgres refuses to run as root; a user namespace gives it another name."""
    unshare = shutil.which("unshare")
    works = unshare and not subprocess.call(
        [unshare, "--user", "--map-user=65534", "true"], stderr=subprocess.DEVNULL
    )
    if works:
        return True, "embedded, in a user namespace because this is root"
    return False, "root without user namespaces: set DATABASE_URL, or run as a normal user"


def _home(home: Home) -> Iterator[Finding]:
    parent = home.path if home.path.exists() else _existing(home.path)
    yield "home", os.access(parent, os.W_OK), f"{home.path}"
    if not home.repository.is_dir():
        yield "repository", True, "none yet; xynctl up makes one"
        return
    from xyn_reconciler.store.git import Repository

    try:
        wrong = Repository.open(home.repository).check()
    except XynError as error:
        wrong = [error.message]
    yield "repository", not wrong, "; ".join(wrong) or "every object is there and whole"
    try:
        status = Client(home.running(), token_of(home)).get("/status")
    except XynError as error:
        yield "node", True, error.message
        return
    if home.postgres.is_dir() and not os.environ.get("DATABASE_URL"):
        from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres

        yield "rows", True, EmbeddedPostgres(home.postgres, home.run).psql
    yield "node", not status["reasons"], "; ".join(status["reasons"]) or f"ready at {status['url']}"


def _existing(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.exists())
