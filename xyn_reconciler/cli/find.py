"""Find the node that a command is meant for.

In this order: ``--home``, ``XYN_HOME``, ``XYN_URL``, the Git remote of the clone
that the command stands in, a home further up (``.xyn``).
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from xyn_reconciler.model.errors import NotFoundError, XynError
from xyn_reconciler.node.home import DEFAULT, Home

_GIT_PATH: Final = "/git/state.git"
_BARE: Final = "state.git"


@dataclass(frozen=True, slots=True)
class StateClone:
    """A plain clone of a state repository; ``origin`` is the clone itself where it has none."""

    root: Path
    origin: str


@dataclass(frozen=True, slots=True)
class Found:
    """Where a node answers, and its home where that is on this machine and known."""

    url: str
    home: Home | None = None


def find_url(home: str | None) -> str:
    """Give the URL of the node to ask; ``NotFoundError`` names the command that starts one."""
    return find_node(home).url


def find_node(home: str | None) -> Found:
    """Give the node to ask; ``NotFoundError`` names the command that starts one."""
    given = home or os.environ.get("XYN_HOME")
    if given:
        return _running_in(Home(_absolute(given)))
    if os.environ.get("XYN_URL"):
        return Found(os.environ["XYN_URL"].rstrip("/").removesuffix(_GIT_PATH))
    for remote in _remotes():
        found = _node_at(remote)
        if found is not None:
            return found
    further_up = _home_further_up()
    if further_up is not None:
        return _running_in(further_up)
    raise NotFoundError(
        "no node here: stand in a clone of its repository, or say --home DIR; xynctl up starts one"
    )


def home_path(home: str | None) -> Path:
    """Give the home to make or to work on.

    ``--home``, ``XYN_HOME``, that of the clone we stand in, one further up, else ``./.xyn``.
    """
    given = home or os.environ.get("XYN_HOME")
    if given:
        return _absolute(given)
    further_up = _home_further_up()
    if further_up is not None:
        return further_up.path
    clone = state_clone()
    return (Path.cwd() if clone is None else clone.root) / DEFAULT


def state_clone() -> StateClone | None:
    """Give the plain clone of a state repository that we stand in, if we do."""
    root = _git("rev-parse", "--show-toplevel")
    if not root or not (Path(root[0]) / "node.yaml").is_file():
        return None
    origins = _git("config", "--get", "remote.origin.url")
    return StateClone(Path(root[0]), origins[0] if origins else root[0])


def _absolute(text: str) -> Path:
    return Path(text).expanduser().resolve()


def _home_further_up() -> Home | None:
    for folder in (Path.cwd(), *Path.cwd().parents):
        for candidate in (Home(folder), Home(folder / DEFAULT)):
            if candidate.repository.is_dir() and candidate.artifacts.is_dir():
                return candidate
    return None


def _remotes() -> Iterator[str]:
    """Addresses of the remotes of the clone we stand in, ``origin`` first."""
    root = _git("rev-parse", "--show-toplevel")
    if not root:
        return
    lines = _git("config", "--get-regexp", r"^remote\..*\.url$")
    for line in sorted(lines, key=lambda line: not line.startswith("remote.origin.url ")):
        url = line.partition(" ")[2]
        # Git takes a relative path from the root of the work tree.
        yield url if "://" in url else str(Path(root[0]) / url)


def _running_in(home: Home) -> Found:
    return Found(home.running(), home)


def _node_at(remote: str) -> Found | None:
    """The node whose repository a remote names, by address or by the home it is in."""
    parts = urlsplit(remote)
    path = parts.path.rstrip("/")
    if parts.scheme in {"http", "https"} and path.endswith(_GIT_PATH):
        host = parts.netloc.rpartition("@")[2]
        return _known_here(f"{parts.scheme}://{host}{path.removesuffix(_GIT_PATH)}")
    place = Path(unquote(parts.path) if parts.scheme == "file" else remote)
    if place.name == _BARE and place.is_dir():
        return _running_in(Home(place.parent.resolve()))
    return None


def _known_here(url: str) -> Found:
    """A node by its address; a home further up that answers there is its home."""
    home = _home_further_up()
    with contextlib.suppress(XynError):
        if home is not None and home.running() == url:
            return Found(url, home)
    return Found(url)


def _git(*arguments: str) -> list[str]:
    """Ask Git about the folder we stand in: worktrees and subfolders are its business."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, errors="replace", check=False
        )
    except OSError:
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
