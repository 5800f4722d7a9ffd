"""Judge a revision against what is active: what would change, and is it fit for it.

The push hook asks before anything moves, the loop before anything is applied,
``--dry-run`` asks and leaves it at that: one judgement for all three. Only what
changed, and what depends on it, is read; parsed files are kept by path and blob, so
what the hook has read the loop need not read again.

The trap: a revision is judged against the *applied* state, not against the
commit before it, which may itself have been refused.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xyn_reconciler.desired.load import Loaded, kind_of, load
from xyn_reconciler.desired.pack_checks import touched_packs
from xyn_reconciler.desired.pack_lint import since
from xyn_reconciler.desired.secret_file import NOT_ENCRYPTED
from xyn_reconciler.desired.tree_rules import check_tree
from xyn_reconciler.desired.validate import DesiredState, check
from xyn_reconciler.model.capability import Catalogue
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.reconcile.plan import Change, plan, plan_changes
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.recent import Recent

_LOADED_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Known:
    """What is active, as one process holds it in memory; immutable."""

    state: DesiredState
    revision: str | None
    sequence: int
    database_id: uuid.UUID

    def blobs(self) -> Mapping[str, str]:
        """Path to blob of what is active."""
        return _Blobs(self.state)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a revision would do here."""

    revision: str
    changes: Sequence[Change]
    state: DesiredState
    """The state once it is applied."""
    problems: Sequence[Problem]
    """With any of these it is not applied."""
    remarks: Sequence[Problem]
    tree_problems: bool = False
    """Whether names or modes are at fault, or what should be encrypted is not: such a tree is
    not taken as a draft either."""


class Judge:
    """Reads and judges; one per process, safe from any thread."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._loaded: Recent[tuple[str, str], Loaded] = Recent(_LOADED_KEPT)

    def judge(
        self, repository: Repository, known: Known, revision: str, *, everything: bool = False
    ) -> Judgement:
        """Judge a revision; ``everything`` compares all files, for drift that no diff shows."""
        since = known.revision
        if since is not None and repository.resolve(since) is None:
            # Another repository stands in its place: there is nothing to tell a difference from.
            since, everything = None, True
        wrong_names = check_tree(repository.directories(revision, since=since))
        if wrong_names:
            return Judgement(revision, (), known.state, wrong_names, (), tree_problems=True)
        strays: list[Problem] = []
        if everything:
            desired = repository.files(revision)
            changes = plan(known.blobs(), {p: b for p, b in desired.items() if _is_document(p)})
        else:
            differing = {
                change.text: change.new_blob
                for change in repository.changes(since, revision)
                if change.text is not None
            }
            strays = _strays(differing)
            documents = {path: blob for path, blob in differing.items() if _is_document(path)}
            changes = plan_changes(known.blobs(), documents)
        return self._judged(repository, known, revision, changes, strays)

    def _judged(
        self,
        repository: Repository,
        known: Known,
        revision: str,
        changes: Sequence[Change],
        strays: Sequence[Problem],
    ) -> Judgement:
        loaded = [(change.path, self._load(repository, change)) for change in changes]
        state = known.state.apply(loaded)
        paths = [path for path, _ in loaded]
        findings = check(state, paths, self._catalogue)
        wrong, noted = since(known.state, state, touched_packs(paths))
        problems = sorted({*findings.problems, *wrong})
        remarks = sorted([*findings.remarks, *noted, *strays])
        plain = any(problem.code == NOT_ENCRYPTED for problem in problems)
        return Judgement(revision, changes, state, problems, remarks, tree_problems=plain)

    def _load(self, repository: Repository, change: Change) -> Loaded | None:
        if change.blob_id is None:
            return None
        key = (change.path, change.blob_id)
        found = self._loaded.get(key)
        if found is None:
            data = repository.read(change.blob_id)
            found = self._loaded.put(key, load(change.path, change.blob_id, data))
        return found


class _Blobs(Mapping[str, str]):
    """The blobs of a state, looked at and not copied."""

    def __init__(self, state: DesiredState) -> None:
        self._files = state.files

    def __getitem__(self, path: str) -> str:
        return self._files[path].blob_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _is_document(path: str) -> bool:
    return kind_of(path) != "other"


def _strays(differing: Mapping[str, str | None]) -> list[Problem]:
    """What to say of files that Xyn does not read and that look as if it should."""
    return [
        remark
        for path, blob in differing.items()
        if blob is not None and not _is_document(path)
        for remark in load(path, blob, b"").remarks
    ]
