"""The repositories that steps work on: bare, below ``<home>/repositories``, never checked out.

``git.repo.*`` rely on it. Nothing of a repository is ever executed or unfolded on the disk:
there is no work tree, no hook, no attribute or filter that counts, and no remote is
remembered. The state repository is none of them.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from xyn_reconciler.model.errors import ConflictError, NotFoundError
from xyn_reconciler.store import git_command
from xyn_reconciler.store.git import PathTakenError, Repository
from xyn_reconciler.store.git_mirror import without_credentials
from xyn_reconciler.store.managed_names import check_name, reads_as_another
from xyn_reconciler.store.managed_repository import (
    Look,
    ManagedRepository,
    TooMuchError,
    alone,
    check_size,
    default_branch,
)
from xyn_reconciler.store.own_folder import own_folder, sweep

MOST_BRANCHES: Final = 10_000
"""Branches of another repository."""

_UNFINISHED: Final = ".new-"


class RepositoryNotFoundError(NotFoundError):
    """There is no managed repository of that name."""

    code = "repository_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where to fetch from, and git's settings for just that."""

    url: str
    protocol: Literal["http", "https", "ssh", "file"]
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch came to."""

    created: bool
    """Whether the repository is new."""
    default_branch: str | None
    branches: dict[str, str]
    """Branch to its tip over there."""
    diverged: list[str]
    """Branches that could not follow: they have commits here which are not over there, or
    another branch here stands in their way."""


class ManagedRepositories:
    """All of one node; safe from any thread and process."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def init(self, name: str) -> bool:
        """Make an empty repository; False where it is there already."""
        place = self._place(name)
        if place.is_dir():
            return False
        with self._fresh() as fresh:
            Repository.create(fresh)
            return _moved(fresh, place)

    def open(self, name: str) -> "ManagedRepository":
        """Open one; :class:`RepositoryNotFoundError`."""
        place = self._place(name)
        if place.is_symlink() or not place.is_dir():
            raise RepositoryNotFoundError(
                f"no repository {name!r} here: make it with git.repo.init or git.repo.clone"
            )
        return ManagedRepository(name, Repository.open(place))

    def address(self, name: str) -> str:
        """What a fetch from one of these repositories is given."""
        return str(self.open(name).repository.path)

    def fetch(self, name: str, remote: Remote, look: Look) -> Fetched:
        """Bring branches and tags of another repository, into a new one or one that is there.

        Branches there become ``origin/<branch>``, and those that are gone there are gone; the
        branch of the same name follows, as long as it has no commits of its own. A new repository
        is there when its content is. Raises ``GitError`` with what the other side said,
        :class:`TooMuchError`.
        """
        place = self._place(name)
        if place.is_dir():
            return self._fetch(self.open(name).repository, remote, look, created=False)
        with self._fresh() as fresh:
            fetched = self._fetch(Repository.create(fresh), remote, look, created=True)
            if not _moved(fresh, place):
                raise ConflictError(f"repository {name} was made by somebody else just now")
        return fetched

    def _place(self, name: str) -> Path:
        check_name(name)
        return self._root / f"{name}.git"

    @contextlib.contextmanager
    def _fresh(self) -> Iterator[Path]:
        """Give a folder beside the repositories, which is gone in the end."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self._root, _UNFINISHED)
        with own_folder(self._root, _UNFINISHED) as fresh:
            yield fresh

    def _fetch(
        self, repository: Repository, remote: Remote, look: Look, *, created: bool
    ) -> Fetched:
        with alone(repository.path):
            environment = git_command.environment(
                repository.path,
                {
                    "GIT_ALLOW_PROTOCOL": remote.protocol,
                    # No .netrc, no keys, no settings of whoever runs the node.
                    "HOME": os.devnull,
                    "XDG_CONFIG_HOME": os.devnull,
                    "GIT_ASKPASS": "true",
                    **remote.environment,
                },
                settings=remote.settings,
            )
            # Not atomic: a branch a that became a/b has to go before the other can come. Tags by
            # their option, since those of a refspec would be pruned too.
            arguments = [
                "fetch",
                "--quiet",
                "--prune",
                "--tags",
                "--force",
                "--no-write-fetch-head",
            ]
            arguments += ["--no-auto-maintenance", "--no-recurse-submodules", "--end-of-options"]
            try:
                git_command.run(
                    repository.path,
                    [*arguments, remote.url, "+refs/heads/*:refs/remotes/origin/*"],
                    env=environment,
                    seconds=24 * 3600.0,  # the attempt's own limit is in ``look``
                    look=lambda: _look(repository, look),
                )
            except git_command.GitError as error:
                message = without_credentials(error.message)
                raise git_command.GitError(message) from None
            finally:
                _sweep(repository.path)
            # What came between two looks.
            check_size(repository.path)
            repository.sync_folders()
        return _followed(repository, created=created)


def _moved(fresh: Path, place: Path) -> bool:
    """Give a finished repository its name; False where somebody was quicker."""
    try:
        fresh.rename(place)
    except OSError:
        if place.is_dir():
            return False
        raise
    return True


def _followed(repository: Repository, *, created: bool) -> Fetched:
    """Have the branches here follow those that were fetched."""
    there = {
        ref.removeprefix("refs/remotes/origin/"): tip
        for ref, tip in repository.refs("refs/remotes/origin/").items()
    }
    if len(there) > MOST_BRANCHES:
        raise TooMuchError(f"it has more than {MOST_BRANCHES:,} branches")
    diverged = []
    for branch, tip in there.items():
        if reads_as_another(branch):
            continue
        ref = f"refs/heads/{branch}"
        here = repository.resolve(ref)
        if here is None or (here != tip and repository.is_ancestor(here, tip)):
            try:
                repository.update_ref(ref, expected=here, new=tip)
            except PathTakenError:
                diverged.append(branch)
        elif not repository.is_ancestor(tip, here):
            diverged.append(branch)
    return Fetched(
        created=created,
        default_branch=default_branch(repository),
        branches=there,
        diverged=diverged,
    )


def _look(repository: Repository, look: Look) -> None:
    look()
    check_size(repository.path)


def _sweep(repository: Path) -> None:
    """Remove what git was writing when it was ended."""
    for kind in ("pack", "idx", "rev"):
        # Six characters are git's; the names of our own unfinished packs are longer.
        for left in (repository / "objects" / "pack").glob(f"tmp_{kind}_??????"):
            left.unlink(missing_ok=True)
