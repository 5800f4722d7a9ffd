"""The state repository that a newcomer starts from.

``xynctl init`` and the first ``xynctl up`` make a repository of these files.
A wheel carries them beside this module, as package data; in a checkout they
are the folder ``state-repo-template/`` at its top, which people edit.
"""

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

_PACKAGED = "state_repo_template"
_CHECKOUT = "state-repo-template"


def template_files() -> Iterator[tuple[str, bytes]]:
    """Every file as (path with ``/`` between its parts, bytes), sorted by path.

    Raises ``FileNotFoundError`` where neither the wheel's copy nor a checkout's
    folder is there: an installation that has lost files.
    """
    return iter(sorted(_walk(_root(), "")))


def _root() -> Traversable:
    packaged = resources.files("xyn_reconciler") / _PACKAGED
    if packaged.is_dir():
        return packaged
    return Path(__file__).parent.parent / _CHECKOUT


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_bytes()
