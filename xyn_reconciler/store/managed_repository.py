"""One managed repository: commits by compare-and-swap, its history and its files.

The traps: what came by a fetch was made by strangers, so every walk over a tree is bounded
here; and a commit that an attempt made is found again by its ``Step-Id``, so whoever tries
again never commits twice.
"""

import contextlib
import datetime as dt
import fcntl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xyn_reconciler.model.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from xyn_reconciler.store import git_command
from xyn_reconciler.store.git import MAIN, Commit, Repository, TreeEntry
from xyn_reconciler.store.managed_names import SHA, check_branch, check_path, check_ref

MOST_BYTES: Final = 1_000_000_000
"""Bytes of the packs of one repository."""

MOST_FILES: Final = 100_000
"""Files of one revision that anything looks at."""

_PACKS: Final = 64
"""Packs of a repository that are repacked into fewer."""

_TRIES: Final = 20

Look = Callable[[], None]
"""Called several times a second while git is at work; what it raises ends it."""


class RefNotFoundError(NotFoundError):
    """A repository has no such branch, tag or commit."""

    code = "ref_not_found"


class TooMuchError(InvalidError):
    """More files or bytes than a managed repository may have."""

    code = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit came to; where nothing would change, ``commit`` is what is there."""

    commit: str
    parent: str | None
    changed: bool


class ManagedRepository:
    """One repository that is there."""

    def __init__(self, name: str, repository: Repository) -> None:
        self.name = name
        self.repository = repository

    def default_branch(self) -> str | None:
        """``main``, else ``master``, else the first; None in an empty repository."""
        return default_branch(self.repository)

    def resolve(self, ref: str | None) -> str:
        """Give the commit of a branch, ``origin/<branch>``, tag or full name of a commit.

        None is the default branch. Raises :class:`RefNotFoundError`.
        """
        found = self.find(ref)
        if found is None:
            what = "any branch" if ref is None else repr(ref)
            raise RefNotFoundError(f"repository {self.name} has not got {what}")
        return found

    def find(self, ref: str | None) -> str | None:
        """As :meth:`resolve`, with None for what is not there."""
        ref = self.default_branch() if ref is None else ref
        if ref is None:
            return None
        check_ref(ref)
        if not SHA.fullmatch(ref):
            for kind in ("heads", "remotes"):
                if (tip := self.repository.resolve(f"refs/{kind}/{ref}")) is not None:
                    return tip
        # A tag may be an object of its own, and a name of 40 digits that of a file.
        name = ref if SHA.fullmatch(ref) else f"refs/tags/{ref}"
        asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        done = git_command.run(self.repository.path, asked, accept=(0, 1, 128))
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def commit(
        self,
        *,
        branch: str | None,
        files: Mapping[str, bytes | None],
        message: str,
        author: str,
        step: str,
        base: str | None,
        expected: str | None,
        now: dt.datetime,
    ) -> Committed:
        """Commit files (None takes one out) to a branch, which ``base`` begins where it is not.

        ``step`` names the step (and item) that commits: ``message`` ends with it as the trailer
        ``Step-Id``, and what it has committed to the branch already is given again. With
        ``expected`` only where the branch is there. Raises ``ConflictError``, ``InvalidError``,
        ``PathTakenError``.
        """
        branch = branch or self.default_branch() or "main"
        check_branch(branch)
        for path in files:
            check_path(path)
        check_size(self.repository.path)
        ref = f"refs/heads/{branch}"
        for _ in range(_TRIES):
            tip = self.repository.resolve(ref)
            found = None if tip is None else self._own(tip, step)
            if found is not None:
                return found
            if expected is not None and tip != expected:
                raise ConflictError(
                    f"{branch} of {self.name} is at {tip or 'no commit'}, not at {expected}"
                )
            with contextlib.suppress(ConflictError):
                return self._commit(ref, tip, base, files, message, author, now)
        raise ConflictError(f"{branch} of {self.name} moves all the time: try again")

    def _own(self, tip: str, step: str) -> Committed | None:
        asked = ["rev-list", "--max-count=1", "--fixed-strings", f"--grep=Step-Id: {step}"]
        found = git_command.run(self.repository.path, [*asked, "--end-of-options", tip]).stdout
        for sha in found.decode().split():
            commit = self.repository.commit(sha)
            if step in commit.trailer_values("Step-Id"):
                return Committed(commit=sha, parent=_parent(commit), changed=True)
        return None

    def _commit(
        self,
        ref: str,
        tip: str | None,
        base: str | None,
        files: Mapping[str, bytes | None],
        message: str,
        author: str,
        now: dt.datetime,
    ) -> Committed:
        repository = self.repository
        begins = tip or (self.resolve(base) if base is not None else self.find(None))
        if begins is None:
            made = repository.commit_files(
                ref, expected=None, changes=files, message=message, author=author, now=now
            )
            return Committed(commit=made, parent=None, changed=True)
        made = repository.write_files(
            begins, changes=files, message=message, author=author, now=now
        )
        if repository.commit(made).tree == repository.commit(begins).tree:
            if tip is None:
                repository.update_ref(ref, expected=None, new=begins)
            commit = repository.commit(begins)
            return Committed(commit=begins, parent=_parent(commit), changed=False)
        repository.update_ref(ref, expected=tip, new=made)
        if repository.pack_count() > _PACKS:
            with contextlib.suppress(UnavailableError), alone(repository.path):
                repository.maintain()
        return Committed(commit=made, parent=begins, changed=True)

    def log(self, revision: str, *, path: str | None, limit: int) -> list[Commit]:
        """Commits that ``revision`` contains, newest first; with ``path`` those that touched it."""
        return self.repository.log(revision, path=path, limit=limit)

    def files(self, revision: str) -> list[TreeEntry]:
        """Every file of a revision, links and submodules too; :class:`TooMuchError`."""
        found = []
        for entry in self.repository.entries(revision):
            found.append(entry)
            if len(found) > MOST_FILES:
                raise TooMuchError(f"{revision[:12]} has more than {MOST_FILES:,} files")
        return found


def default_branch(repository: Repository) -> str | None:
    """``main``, else ``master``, else the first; None in an empty repository."""
    heads = "refs/heads/"
    for ref in (MAIN, f"{heads}master"):
        if repository.resolve(ref) is not None:
            return ref.removeprefix(heads)
    return next((ref.removeprefix(heads) for ref in repository.refs(heads)), None)


@contextlib.contextmanager
def alone(repository: Path) -> Iterator[None]:
    """Hold a repository against other fetches and upkeep: each removes what it left unfinished."""
    with (repository / "xyn-fetch.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError("somebody else fetches into this repository just now") from None
        yield


def check_size(repository: Path) -> None:
    """Raise :class:`TooMuchError` where a repository is larger than it may be."""
    packs = repository / "objects" / "pack"
    total = 0
    for file in packs.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    if total > MOST_BYTES:
        raise TooMuchError(f"a repository has at most {MOST_BYTES:,} bytes here")


def _parent(commit: Commit) -> str | None:
    return commit.parents[0] if commit.parents else None
