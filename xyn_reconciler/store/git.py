"""The state repository: a bare Git repository, read and written without a checkout.

Git is the truth for what a node should do and for what it did. Every room
above reads snapshots, history and changes through :class:`Repository`, and
nothing else writes Git. What is answered is durable: objects, their folder, the
ref and its folder are synced before a call returns.

Traps: a ref moves only by compare-and-swap, so every writer names what it
expects and is answered with :class:`~xyn_reconciler.model.errors.ConflictError`
when somebody was faster. Paths are bytes in Git; ``text`` is None where they
are not UTF-8. All methods may be called from many threads and processes at once.
"""

import datetime as dt
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError
from xyn_reconciler.store import git_command, git_maintenance, git_trees
from xyn_reconciler.store.git_command import GitError, GitMissingError
from xyn_reconciler.store.git_commits import Commit, parse_commit, serialize_commit
from xyn_reconciler.store.git_objects import (
    BLOB,
    COMMIT,
    TREE,
    CorruptObjectError,
    ObjectBatch,
    ObjectMissingError,
    ObjectReader,
    ObjectTooLargeError,
    object_name,
    sync_folder,
)
from xyn_reconciler.store.git_refs import Refs
from xyn_reconciler.store.git_trees import (
    Directory,
    FileChange,
    Lines,
    PathTakenError,
    TreeEntry,
    TreeTooLargeError,
)
from xyn_reconciler.store.recent import Recent

__all__ = [
    "FILE_BYTES",
    "PUSH_BYTES",
    "Commit",
    "CorruptObjectError",
    "Directory",
    "FileChange",
    "GitError",
    "GitMissingError",
    "ObjectMissingError",
    "ObjectTooLargeError",
    "PathTakenError",
    "Repository",
    "TreeEntry",
    "TreeTooLargeError",
]

MAIN = "refs/heads/main"

PUSH_BYTES = 64 * 1024 * 1024
"""Largest pack that a push may bring (``receive.maxInputSize``)."""

FILE_BYTES = 64 * 1024 * 1024
"""Largest file that :meth:`Repository.read` takes into memory."""

TREE_BYTES = 8 * 1024 * 1024
"""Largest tree or commit object that is read: some 150,000 entries."""

_CONFIGURATION = f"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tfsync = all
\tfsyncMethod = fsync
\tprotectHFS = true
\tprotectNTFS = true
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\tfsckObjects = true
\tunpackLimit = 1
[receive]
\tautogc = false
\tfsckObjects = true
\tunpackLimit = 1
\tmaxInputSize = {PUSH_BYTES}
\tadvertisePushOptions = true
\tdenyDeleteCurrent = refuse
\tdenyNonFastForwards = false
\thideRefs = refs/xyn
[fetch]
\tfsckObjects = true
\tunpackLimit = 1
[pack]
\twindow = 0
\tthreads = 1
[http]
\treceivepack = true
"""
"""``unpackLimit = 1`` keeps a push as one pack: one folder to sync before it is answered.
``denyNonFastForwards`` stays off because drafts may be force-pushed; the hook guards ``main``."""

_OBJECT_NAME = re.compile(r"[0-9a-f]{40}")

_TREES_KEPT = 512
_COMMIT_KEPT_BYTES = 64 * 1024
_TREE_KEPT_ENTRIES = 4096
"""A larger directory is parsed anew each time: it bounds the cache whatever was pushed."""


class Repository:
    """One bare repository. Keep it: it remembers trees, commits and where the packs are."""

    def __init__(self, path: Path, *, quarantine: tuple[Path, ObjectReader] | None = None) -> None:
        """For :meth:`create`, :meth:`open` and :meth:`quarantined`; use those."""
        self.path = path
        self._refs = Refs(path)
        self._trees: Recent[str, Lines] = Recent(_TREES_KEPT)
        self._commits: Recent[str, Commit] = Recent(_TREES_KEPT)
        self._environment: dict[str, str] = {}
        if quarantine is None:
            self._objects = ObjectReader([path / "objects"])
        else:
            folder, behind = quarantine
            self._objects = ObjectReader([folder], behind=behind)
            self._environment = {
                "GIT_OBJECT_DIRECTORY": str(folder),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(path / "objects"),
            }

    @classmethod
    def create(cls, path: Path) -> "Repository":
        """Make an empty repository with the settings that pushes and durability need.

        Raises :class:`ConflictError` where something is already, and
        :class:`GitMissingError` without git 2.38.
        """
        if path.exists() and any(path.iterdir()):
            raise ConflictError(f"{path} is not empty: a state repository is made in a new folder")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        arguments = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main"]
        git_command.run(path, [*arguments, "--object-format=sha1"])
        (path / "hooks").mkdir(exist_ok=True)
        (path / "config").write_text(_CONFIGURATION, encoding="ascii")
        git_maintenance.sync_new(path)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Repository":
        """Open what :meth:`create` made; :class:`NotFoundError` where it is not."""
        if not (path / "objects").is_dir() or not (path / "HEAD").is_file():
            raise NotFoundError(f"no state repository at {path}")
        git_command.git_program()
        return cls(path.absolute())

    # --- refs -------------------------------------------------------------

    def resolve(self, ref: str) -> str | None:
        """The commit that a full ref name (``refs/heads/main``) points at; None if there is none.

        A full object name is answered as it is, when the object is here.
        """
        if _OBJECT_NAME.fullmatch(ref):
            return ref if ref in self._objects else None
        return self._refs.read(ref)

    def refs(self, prefix: str) -> dict[str, str]:
        """Ref name to commit of every ref below ``prefix`` (``refs/xyn/``), sorted by name."""
        return self._refs.below(prefix)

    def update_ref(self, ref: str, *, expected: str | None, new: str | None) -> None:
        """Move a ref durably from ``expected`` (None: not there) to ``new`` (None: delete it).

        Raises :class:`ConflictError` if the ref is elsewhere by now.
        """
        if new is not None and new not in self._objects:
            raise ObjectMissingError(f"{ref} cannot point at {new}: no such object")
        self._refs.swap(ref, expected, new)

    # --- reading ------------------------------------------------------------

    def commit(self, sha: str) -> Commit:
        """One commit; :class:`ObjectMissingError` (a NotFoundError) without it."""
        found = self._commits.get(sha)
        if found is None:
            content = self._content(sha, COMMIT, TREE_BYTES)
            found = parse_commit(sha, content)
            if len(content) <= _COMMIT_KEPT_BYTES:
                self._commits.put(sha, found)
        return found

    def entries(self, revision: str) -> Iterator[TreeEntry]:
        """Every file of a revision in path order (links and submodules too)."""
        return git_trees.walk(self._read_tree, self.commit(revision).tree)

    def entries_below(self, revision: str, folder: str) -> Iterator[TreeEntry]:
        """Every file of one folder at the top of a revision; none where there is no such folder.

        Paths count from the folder: of records a day is read and not its month.
        """
        tree = self._child(self.commit(revision).tree, folder.encode(), directory=True)
        return iter(()) if tree is None else git_trees.walk(self._read_tree, tree)

    def files(self, revision: str) -> dict[str, str]:
        """Path to blob of every plain file with a UTF-8 name: what a checked revision holds."""
        return {
            entry.text: entry.sha
            for entry in self.entries(revision)
            if entry.text is not None and entry.mode in (0o100644, 0o100755)
        }

    def directories(
        self, revision: str, *, since: str | None = None, sizes: bool = True
    ) -> Iterator[Directory]:
        """Directories that ``since`` has not got in the same form: what the tree rules look at.

        With ``sizes`` every file in them carries its size.
        """
        old = self.commit(since).tree if since else None
        for directory in git_trees.directories(self._read_tree, old, self.commit(revision).tree):
            yield self._with_sizes(directory) if sizes else directory

    def changes(self, old: str | None, new: str) -> list[FileChange]:
        """Files that differ between two revisions, by path; None as ``old`` is the empty tree."""
        before = self.commit(old).tree if old else None
        return git_trees.changes(self._read_tree, before, self.commit(new).tree)

    def read(self, blob: str, *, limit: int = FILE_BYTES) -> bytes:
        """The content of a blob; :class:`ObjectTooLargeError` above ``limit`` bytes."""
        return self._content(blob, BLOB, limit)

    def size(self, blob: str) -> int:
        """Bytes of a blob, without reading it."""
        return self._objects.size(blob)[1]

    def verified(self, sha: str) -> bytes:
        """The content of any object, read past what is remembered and compared with its name.

        Raises :class:`CorruptObjectError`, :class:`ObjectMissingError`, ``OSError``.
        """
        kind, content = self._objects.read(sha)
        if object_name(kind, content) != sha:
            raise CorruptObjectError(f"object {sha} has another content than its name says")
        return content

    def read_path(self, revision: str, path: str) -> bytes | None:
        """The file at ``path`` of a revision (commit or full ref name); None if there is none."""
        sha = self.resolve(revision)
        tree = self.commit(sha).tree if sha else None
        *parents, name = path.encode().split(b"/")
        for part in parents:
            tree = self._child(tree, part, directory=True)
        blob = self._child(tree, name, directory=False)
        return None if blob is None else self.read(blob)

    def walk_records(self, ref: str) -> Iterator[tuple[str, bytes]]:
        """``(path, content)`` of every file at a ref's tip, in path order; none without a ref."""
        tip = self.resolve(ref)
        if tip is None:
            return
        for entry in self.entries(tip):
            if entry.text is not None:
                yield entry.text, self.read(entry.sha)

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether ``new`` contains ``old`` (or is it): moving there is a fast-forward."""
        step = new
        # The usual push is a few commits on top of what is there: no process for that.
        for _ in range(32):
            if step == old:
                return True
            parents = self.commit(step).parents
            if not parents:
                return False
            if len(parents) > 1:
                break
            step = parents[0]
        done = self._git(["merge-base", "--is-ancestor", old, new], accept=(0, 1))
        return done == (0, b"")

    def log(self, revision: str, *, path: str | None = None, limit: int = 50) -> list[Commit]:
        """Commits that ``revision`` contains, newest first; with ``path`` those that touched it."""
        only = ["--", path] if path is not None else []
        found = self._git(
            ["rev-list", f"--max-count={limit}", "--end-of-options", self._known(revision), *only]
        )[1]
        return [self.commit(sha) for sha in found.decode().split()]

    def unsigned(self, held: str, new: str, signers: bytes) -> list[str]:
        """Commits that ``new`` contains and ``held`` does not, and that none of ``signers`` signed.

        ``signers`` are SSH keys as ``ssh-keygen`` lists allowed signers; the newest comes first.
        """
        with tempfile.NamedTemporaryFile(prefix="xyn-signers-") as listed:
            listed.write(signers)
            listed.flush()
            settings = [
                f"gpg.ssh.allowedSignersFile={listed.name}",
                # Whatever keys this user trusts otherwise say nothing here.
                "gpg.program=false",
                "gpg.x509.program=false",
            ]
            options = [word for setting in settings for word in ("-c", setting)]
            wanted = ["--format=%H %G?", "--end-of-options", new, f"^{held}"]
            found = self._git([*options, "log", *wanted])[1]
        lines = [line.split(" ") for line in found.decode().splitlines()]
        return [sha for sha, verdict in lines if verdict != "G"]

    # --- writing ------------------------------------------------------------

    def commit_files(
        self,
        ref: str,
        *,
        expected: str | None,
        changes: Mapping[str, bytes | None],
        message: str,
        author: str,
        now: dt.datetime,
    ) -> str:
        """Commit files (``None`` deletes) on top of ``expected`` and move ``ref`` to it, durably.

        ``author`` is ``Name <mail>``. Returns the new commit. Raises
        :class:`ConflictError` if ``ref`` is not at ``expected`` (read it and try
        again), :class:`PathTakenError` where a file stands in the way of a
        directory or the other way round. What was written until then does no harm.
        """
        return self._write(ref, expected, changes, message, author, now, only_new=False)

    def append_records(
        self,
        ref: str,
        *,
        expected: str | None,
        files: Mapping[str, bytes],
        message: str,
        author: str,
        now: dt.datetime,
    ) -> str:
        """As :meth:`commit_files`, but a record is never overwritten: PathTakenError instead.

        One pack per batch. Reads and writes only the trees on the paths given, so
        the cost is that of the batch and of the directories that it goes into:
        keep those below ~100 entries (``<DD>/<HH>/<MM>/...``), an hour of 20
        batches a second in one directory would rewrite 3 MB with each of them.
        """
        return self._write(ref, expected, files, message, author, now, only_new=True)

    def write_commit(
        self, *, tree: str, parents: Sequence[str], message: str, author: str, now: dt.datetime
    ) -> str:
        """Write a commit that no ref names yet, durably; :meth:`update_ref` may move one to it."""
        batch = ObjectBatch()
        sha = batch.add(COMMIT, serialize_commit(tree, parents, message, author, now)).hex()
        batch.write(self.path / "objects")
        return sha

    def write_files(
        self,
        base: str,
        *,
        changes: Mapping[str, bytes | None],
        message: str,
        author: str,
        now: dt.datetime,
    ) -> str:
        """As :meth:`commit_files` on top of a commit, but no ref names what is written yet."""
        batch = ObjectBatch()
        tree, _ = git_trees.edit(self._read_tree, self.commit(base).tree, changes, batch)
        sha = batch.add(COMMIT, serialize_commit(tree, [base], message, author, now)).hex()
        batch.write(self.path / "objects")
        return sha

    def _write(
        self,
        ref: str,
        expected: str | None,
        files: Mapping[str, bytes | None],
        message: str,
        author: str,
        now: dt.datetime,
        *,
        only_new: bool,
    ) -> str:
        if self._refs.read(ref) != expected:
            # Early: a writer who is late anyway need not leave a pack behind.
            raise ConflictError(_moved(ref))
        batch = ObjectBatch()
        base = self.commit(expected).tree if expected else None
        tree, made = git_trees.edit(self._read_tree, base, files, batch, only_new=only_new)
        parents = [expected] if expected else []
        content = serialize_commit(tree, parents, message, author, now)
        sha = batch.add(COMMIT, content).hex()
        batch.write(self.path / "objects")
        self._refs.swap(ref, expected, sha)
        # The next batch begins where this one ended: its trees need no reading.
        for name, lines in made.items():
            self._trees.put(name, lines)
        self._commits.put(sha, parse_commit(sha, content))
        return sha

    # --- pushes, fetches, upkeep ----------------------------------------------

    def quarantined(self, environment: Mapping[str, str]) -> "Repository":
        """A view that also has the objects of a push which is still under quarantine.

        ``environment`` is the pushing hook's. Raises :class:`InvalidError` when
        its quarantine is not inside this repository. Read only.
        """
        named = environment.get("GIT_QUARANTINE_PATH") or environment.get("GIT_OBJECT_DIRECTORY")
        if not named:
            return self
        folder = Path(os.path.realpath(self.path / named))
        objects = Path(os.path.realpath(self.path / "objects"))
        if folder != objects and objects not in folder.parents:
            raise InvalidError("the quarantine of this push is not inside the state repository")
        return Repository(self.path, quarantine=(folder, self._objects))

    def fetch(
        self, url: str, refspecs: Sequence[str], *, prune: bool = False, seconds: float = 600.0
    ) -> dict[str, str]:
        """Fetch by the git program, without questions; returns the refs that moved, by name.

        Only file, http, https and ssh are spoken. Raises :class:`GitError` with
        what the other side said.
        """
        if url.startswith("-") or not url or any(spec.startswith("-") for spec in refspecs):
            raise InvalidError(f"{url!r} is not the address of a repository")
        before = self.refs("refs/")
        arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
        ]
        arguments += ["--atomic", *(["--prune"] if prune else []), "--end-of-options"]
        git_command.run(
            self.path,
            [*arguments, url, *refspecs],
            env=git_command.network_environment(self.path),
            seconds=seconds,
        )
        self.sync_folders()
        after = self.refs("refs/")
        return {name: sha for name, sha in after.items() if before.get(name) != sha}

    def mirror_from(self, url: str) -> dict[str, str]:
        """Bring ``main``, the drafts and all history of another repository into this new one."""
        return self.fetch(
            url,
            [
                "+refs/heads/main:refs/heads/main",
                "+refs/heads/draft/*:refs/heads/draft/*",
                "+refs/xyn/*:refs/xyn/*",
            ],
        )

    def sync_folders(self) -> None:
        """Make the names that a push or fetch wrote durable: git syncs files, never folders.

        Called before a push is answered (architecture.md, Dependencies settled).
        """
        for folder in (self.path / "objects", self.path / "objects" / "pack", self.path):
            sync_folder(folder)
        for heads, _names, _files in os.walk(self.path / "refs" / "heads"):
            sync_folder(Path(heads))

    def pack_count(self) -> int:
        """Pack files at the moment: what tells the maintenance thread that it is time."""
        return sum(1 for _ in (self.path / "objects" / "pack").glob("*.pack"))

    def maintain(self) -> None:
        """Geometric repack and commit-graph; safe beside readers, writers and pushes."""
        git_maintenance.maintain(self.path)

    def sweep_stale_files(self) -> list[str]:
        """Remove what a kill left behind, return the names; only under the home lock."""
        return git_maintenance.sweep(self.path)

    def check(self) -> list[str]:
        """What ``xynctl doctor`` reports: missing objects, odd settings; empty is well."""
        return git_maintenance.check(self.path)

    # --- inside -----------------------------------------------------------------

    def _content(self, sha: str, kind: int, limit: int) -> bytes:
        found, content = self._objects.read(sha, limit)
        if found != kind:
            raise CorruptObjectError(f"object {sha} is not of the kind that was asked for")
        return content

    def _read_tree(self, sha: str) -> Lines:
        found = self._trees.get(sha)
        if found is None:
            found = git_trees.parse(self._content(sha, TREE, TREE_BYTES))
            if len(found) <= _TREE_KEPT_ENTRIES:
                self._trees.put(sha, found)
        return found

    def _child(self, tree: str | None, name: bytes, *, directory: bool) -> str | None:
        if tree is None:
            return None
        for found, mode, sha in self._read_tree(tree):
            if found == name and (mode == git_trees.TREE_MODE) == directory:
                return sha
        return None

    def _with_sizes(self, directory: Directory) -> Directory:
        return Directory(
            directory.path,
            tuple(
                (name, mode, sha, self.size(sha) if stat.S_ISREG(mode) else None)
                for name, mode, sha, _size in directory.entries
            ),
        )

    def _known(self, revision: str) -> str:
        sha = self.resolve(revision)
        if sha is None:
            raise NotFoundError(f"no revision {revision}")
        return sha

    def _git(self, arguments: Sequence[str], accept: Sequence[int] = (0,)) -> tuple[int, bytes]:
        env = git_command.environment(self.path, self._environment)
        done = git_command.run(self.path, arguments, env=env, accept=accept)
        return done.returncode, done.stdout


def _moved(ref: str) -> str:
    return f"{ref} was moved by somebody else in the meantime"
