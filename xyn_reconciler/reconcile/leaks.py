"""Secrets of this node in what somebody pushes: files, their names, and all that a commit says.

What came into the repository stays in its history, so it is refused before it does, on
``main`` and on drafts. Shapes of tokens are the loader's concern; here are live values.
"""

from collections.abc import Callable, Iterator
from typing import Final

from xyn_reconciler.model.errors import Problem
from xyn_reconciler.store.git import Repository

COMMITS: Final = 200
"""Looked at one by one; of a longer push what is different at its end."""

Knows = Callable[[bytes], bool]
"""Whether bytes hold the value of a live secret, in any form."""


def leaks(repository: Repository, old: str | None, new: str, knows: Knows) -> list[Problem]:
    """Give a problem for each place that holds one; none of them repeats it."""
    return sorted(set(_leaks(repository, old, new, knows)))


def _leaks(repository: Repository, old: str | None, new: str, knows: Knows) -> Iterator[Problem]:
    seen = set[str]()
    for before, commit in _steps(repository, old, new):
        # As it is kept: message, names and addresses of people, signature.
        if knows(repository.verified(commit)):
            yield _problem(".", f"the message or author of commit {commit[:12]}")
        for change in repository.changes(before, commit):
            if knows(change.path):
                yield _problem(".", f"the name of a file in commit {commit[:12]}")
            elif change.new_blob is not None and change.new_blob not in seen:
                seen.add(change.new_blob)
                if knows(repository.read(change.new_blob)):
                    path = change.path.decode("utf-8", "backslashreplace")
                    yield _problem(path, f"this file, in commit {commit[:12]},")


def _steps(repository: Repository, old: str | None, new: str) -> Iterator[tuple[str | None, str]]:
    """Pairs to compare: each commit that ``old`` has not with its first parent."""
    waiting, found = [new], dict[str, str | None]()
    while waiting and len(found) < COMMITS:
        sha = waiting.pop()
        if sha in found or sha == old:
            continue
        if sha != new and old is not None and repository.is_ancestor(sha, old):
            continue
        parents = repository.commit(sha).parents
        found[sha] = parents[0] if parents else None
        waiting += parents
    if waiting:
        found[new] = old
    for sha, before in found.items():
        yield before, sha


def _problem(path: str, where: str) -> Problem:
    message = (
        f"{where} holds a secret of this node: take it out of every commit, and name it by its"
        " reference"
    )
    return Problem(path, 1, 1, "literal_secret", message)
