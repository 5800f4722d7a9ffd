"""Make a home from another node's repository, its history included."""

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from xyn_reconciler.desired.load import kind_of, load
from xyn_reconciler.model.errors import ConflictError, NotFoundError
from xyn_reconciler.node.age_key import ensure_age_key
from xyn_reconciler.node.home import Home
from xyn_reconciler.record.render import RUNS
from xyn_reconciler.store.git import MAIN, Repository

_GIT_PATH: Final = "/git/state.git"


def clone(url: str, directory: Path, *, identity: str | None, say: Callable[[str], None]) -> Home:
    """Mirror ``url`` into a new home in ``directory``.

    The home gets a node id of its own and follows its origin; as long as no
    commit defines that id it is in shadow mode. With ``identity`` it is the node
    of that id, which the repository defines: one that never lived before, or one
    that is gone, whose runs it goes on with. Only the node of ``node.yaml`` then
    follows nobody. Raises ``ConflictError`` where something is in the way and
    ``NotFoundError`` for a repository or an id that is not there; then nothing
    of the new home is left.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConflictError(f"{directory} is not empty; name a folder that does not exist yet")
    address = repository_url(url)
    home = Home(directory)
    with _all_or_nothing(directory):
        home.create()
        with home.lock():
            repository = Repository.create(home.repository)
            say(f"cloning {address} with its history")
            repository.mirror_from(address)
            defined = _defined_nodes(repository, address)
            if identity is None:
                node_id = f"node-{secrets.token_hex(4)}"
                say(
                    f"this node is {node_id}; it follows {address} and starts nothing (mode shadow)"
                    f" until a commit there defines it: nodes/{node_id}.yaml"
                )
            else:
                node_id = _taken_over(repository, identity, defined, address, say)
            if defined.get(node_id) != "node.yaml":
                home.set_origin(address)
            home.set_node_id(node_id)
            recipient, _ = ensure_age_key(home)
            defined_in = defined.get(node_id, f"nodes/{node_id}.yaml")
            say(
                f"secrets cannot be opened here until {defined_in} says so and they are encrypted"
                f" anew, on the origin: recipient: {recipient}, then: xynctl secret rekey"
            )
    return home


def repository_url(url: str) -> str:
    """Give the address of the repository for the address of a node, or that itself."""
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.path in {"", "/"}:
        return url.rstrip("/") + _GIT_PATH
    if not parts.scheme and (Path(url) / "state.git").is_dir():
        return str((Path(url) / "state.git").resolve())
    if not parts.scheme and Path(url).is_dir():
        # A relative path would be looked for elsewhere by the processes that follow it.
        return str(Path(url).resolve())
    return url


@contextlib.contextmanager
def _all_or_nothing(directory: Path) -> Iterator[None]:
    there = directory.exists()
    try:
        yield
    except BaseException:
        for entry in directory.iterdir() if directory.exists() else ():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        if not there and directory.exists():
            directory.rmdir()
        raise


def _defined_nodes(repository: Repository, address: str) -> dict[str, str]:
    """Node id to the file that defines it."""
    revision = repository.resolve(MAIN)
    files = {} if revision is None else repository.files(revision)
    if "node.yaml" not in files:
        raise NotFoundError(f"{address} is not a state repository: no node.yaml on main")
    loaded = [
        load(path, blob, repository.read(blob))
        for path, blob in files.items()
        if kind_of(path) == "node"
    ]
    return {each.document_id: each.path for each in loaded}


def _taken_over(
    repository: Repository,
    identity: str,
    defined: dict[str, str],
    address: str,
    say: Callable[[str], None],
) -> str:
    lived = bool(repository.refs(f"{RUNS}{identity}/"))
    if identity not in defined and not lived:
        known = ", ".join(sorted(defined))
        raise NotFoundError(f"{address} defines no node {identity}; it defines {known}")
    if lived:
        say(
            f"this node takes over {identity}. If that one still lives, both start the same "
            "runs and write the same records, and their histories part: stop it first"
        )
    else:
        say(f"this node is {identity}, as {defined[identity]} defines it")
    return identity
