"""What the actions on managed repositories have in common: where those are, and their words.

The repositories stand in the home of the node, so a step of these runs on the machine
that has it. git's own libraries are loaded by the first step that needs them.
"""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from xyn_reconciler.store.managed_git import ManagedRepositories

REPOSITORY: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    "description": "Name of a managed repository: a-z 0-9 . _ and -.",
}

REF: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 200,
    "description": "Branch, origin/<branch>, tag or full name of a commit;"
    " else the default branch: main, master, or the first.",
}

PATH: Final[dict[str, Any]] = {
    "type": "string",
    # Half a surrogate pair, which no path holds either, does not fit any pattern.
    "pattern": r"^[^\x00]+$",
    "maxLength": 1000,
}

ERRORS: Final = {
    "not_beside_the_repository": "this worker runs on a machine without the node's home",
    "invalid_request": "a name, path or ref cannot be one",
    "git_failed": "git refused; the message is what it said",
    "git_missing": "there is no git 2.38 or newer here",
}
"""Codes of every action here."""

OF_A_REPOSITORY: Final = {
    **ERRORS,
    "repository_not_found": "there is no managed repository of that name",
    "ref_not_found": "it has no such branch, tag or commit",
    "too_large": "more files or bytes than are looked at",
}


class Managed(Protocol):
    """The repositories of the node, as ``node`` binds them."""

    def root(self) -> Path:
        """Give the folder of them all; ``PermanentError`` where this is not its machine."""
        ...

    def author(self, run_id: uuid.UUID) -> str:
        """Give who caused a run, as ``Name <mail>``."""
        ...


def repositories(managed: Managed) -> "ManagedRepositories":
    """Open the room of all repositories."""
    from xyn_reconciler.store.managed_git import ManagedRepositories  # noqa: PLC0415 - dulwich: by the first step alone

    return ManagedRepositories(managed.root())
