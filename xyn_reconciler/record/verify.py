"""``xynctl verify``: whether records, audit and refs are what the node once wrote.

Reads Git alone (and the artifact store, where one is at hand), so it works beside
a running node, on a stopped one and on a plain mirror. Every blob is read past
what is remembered and compared with its name.

The trap: a node notes a move before the ref moves, and writes the note into Git
after it; what is found wrong while refs move is looked at once more.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.model.errors import NotFoundError, XynError
from xyn_reconciler.record import checkpoint, ref_log
from xyn_reconciler.record.audit import ACCEPTED, AUDIT, Link, link_of
from xyn_reconciler.record.chain import Chain
from xyn_reconciler.record.checkpoint import Checkpoint
from xyn_reconciler.record.render import RUNS, node_of
from xyn_reconciler.store.artifacts import ArtifactStore, DamagedError
from xyn_reconciler.store.git import MAIN, Commit, Repository
from xyn_reconciler.store.git_command import GitError
from xyn_reconciler.store.git_commits import parse_commit
from xyn_reconciler.store.git_verify import damaged_objects, signatures

LAG: Final = 5.0
"""Seconds that a node may need to write into Git what it noted."""

LOOKS: Final = 3
FORGOTTEN: Final = "event.forgotten"
PROMOTED: Final = "review.promoted"
KEPT: Final = frozenset({ACCEPTED, FORGOTTEN, PROMOTED, checkpoint.CHECKPOINT})
"""Kinds of entries that other things are compared with."""
ALLOWED_SIGNERS: Final = "allowed_signers"
HEADS: Final = "refs/heads/"
_TOLD: Final = 1000
"""Progress is told after so many commits."""
_DAMAGE_SHOWN: Final = 20

_RESTORE: Final = "compare with a mirror, a clone or a backup, and bring back what it has"
_MOVED: Final = (
    "if the node was killed, start it once: it writes what waits. Otherwise somebody moved it"
    " past the node: find out who, then push what should be there"
)
_NO_LOG: Final = "no audit here tells of main: who moved it is not known"
_BEGIN_LOG: Final = (
    "if the node never ran with an audit (an older version), start it once: its log begins then."
    " Otherwise somebody took the audit away: " + _RESTORE
)
_REWRITTEN: Final = "somebody wrote the records anew past the node: " + _RESTORE

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, what, and what to do."""

    ref: str
    commit: str | None
    wrong: str
    remedy: str


@dataclass(slots=True)
class Verified:
    """What was looked at, and what was found."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be looked at, and what a reader should know."""
    commits: int = 0
    records: int = 0
    entries: int = 0
    artifacts: int = 0


def verify(
    repository: Repository,
    *,
    node_id: str | None = None,
    artifacts: ArtifactStore | None = None,
    against: Checkpoint | None = None,
    progress: Say = lambda _: None,
    lag: float = LAG,
) -> Verified:
    """Look at everything; ``node_id`` is whose home this is, ``None`` for a plain mirror."""
    for _ in range(LOOKS):
        before = repository.refs("refs/")
        look = _Look(repository, node_id, artifacts, against, progress)
        look.everything()
        if not look.done.findings or not _moves(repository, before, lag):
            break
        progress("refs moved meanwhile: looking again")
        # One that is kept remembers trees and packs that may be gone.
        repository = Repository(repository.path)
    return look.done


def _moves(repository: Repository, before: dict[str, str], lag: float) -> bool:
    """Whether a ref has moved, or does within the time that a node may need."""
    deadline = time.monotonic() + lag
    while (same := repository.refs("refs/") == before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not same


class _Look:
    """One look at a repository."""

    def __init__(
        self,
        repository: Repository,
        node_id: str | None,
        artifacts: ArtifactStore | None,
        against: Checkpoint | None,
        progress: Say,
    ) -> None:
        self._repository = repository
        self._node_id = node_id
        self._artifacts = artifacts
        self._progress = progress
        self.done = Verified()
        self._against = against
        self._chains: dict[str, Chain] = {}
        self._months: dict[str, set[str]] = {}
        self._was_at: dict[str, set[str]] = {}
        """Node to commits at which its records say that ``main`` was."""
        self._contents: dict[str, tuple[str, str]] = {}
        """SHA-256 of an artifact's bytes to ref and commit of a record that names it."""
        self._taken_out: set[str] = set()
        """SHA-256 of bytes that retention took."""

    def everything(self) -> None:
        heads = self._repository.refs(HEADS)
        for ref, tip in self._repository.refs(AUDIT).items():
            self._audit(ref, tip)
        for ref, tip in self._repository.refs(RUNS).items():
            self._month(ref, tip)
        for node, chain in self._chains.items():
            self._anchors(node, chain)
        self._heads(heads)
        self._bytes_of_artifacts()
        self._signatures(heads.get(MAIN))
        self._objects()
        if self._against is not None:
            self._compare(self._against)

    def _found(self, ref: str, commit: str | None, wrong: str, remedy: str = _RESTORE) -> None:
        self.done.findings.append(Finding(ref, commit, wrong, remedy))

    # --- chains of commits --------------------------------------------------

    def _segments(self, ref: str, tip: str) -> Iterator[tuple[Commit, list[bytes]]]:
        """Give each commit, the oldest first, with the segments that it adds."""
        commits = self._commits(ref, tip)
        for number, commit in enumerate(commits, start=1):
            yield commit, self._added(ref, commit)
            if number % _TOLD == 0 or number == len(commits):
                self._progress(f"verifying {ref}: {number} of {len(commits)} commits")
        self.done.commits += len(commits)

    def _commits(self, ref: str, tip: str) -> list[Commit]:
        found: list[Commit] = []
        sha: str | None = tip
        while sha is not None:
            try:
                commit = parse_commit(sha, self._repository.verified(sha))
            except (XynError, OSError) as error:
                self._found(ref, sha, f"the commit cannot be read: {_words(error)}")
                break
            found.append(commit)
            if len(commit.parents) > 1:
                self._found(ref, sha, "a merge: the node never writes one here", _REWRITTEN)
            sha = commit.parents[0] if commit.parents else None
        return found[::-1]

    def _added(self, ref: str, commit: Commit) -> list[bytes]:
        """Read the segments that a commit names; it may add these and change nothing else."""
        named = commit.trailer_values("Segment")
        try:
            parent = commit.parents[0] if commit.parents else None
            changes = {each.text: each for each in self._repository.changes(parent, commit.sha)}
        except (XynError, OSError) as error:
            self._found(ref, commit.sha, f"its files cannot be read: {_words(error)}")
            return []
        for path in changes.keys() - set(named):
            self._found(ref, commit.sha, f"it changes {path}, which it does not name", _REWRITTEN)
        contents = []
        for path in named:
            change = changes.get(path)
            if change is None or change.new_blob is None or change.old_blob is not None:
                self._found(ref, commit.sha, f"it does not add the segment {path} that it names")
                continue
            try:
                contents.append(self._repository.verified(change.new_blob))
            except (XynError, OSError) as error:
                self._found(ref, commit.sha, f"the segment {path} cannot be read: {_words(error)}")
        return contents

    # --- the audit -------------------------------------------------------------

    def _audit(self, ref: str, tip: str) -> None:
        node = ref.removeprefix(AUDIT)
        kept = self._against
        watched = kept.audit.sequence if kept is not None and kept.node_id == node else 0
        chain, older = Chain(KEPT, watched), 0
        for commit, segments in self._segments(ref, tip):
            if not commit.trailer_values("Chain") and chain.link == Link():
                older += 1
                continue
            wrong = chain.take(line for each in segments for line in each.splitlines())
            for sentence in filter(None, [*wrong, chain.arrive(link_of(commit))]):
                self._found(ref, commit.sha, sentence, _REWRITTEN)
        if older:
            self.done.notes.append(f"{ref}: {older} entries are older than the chain")
        self._chains[node] = chain
        self.done.entries += chain.link.sequence

    def _anchors(self, node: str, chain: Chain) -> None:
        """Compare months with the checkpoints in the audit; ``event forget`` may rewrite one."""
        allowed: dict[str, list[tuple[str, ...]]] = {}
        for _, entry in chain.entries:
            if entry.kind == checkpoint.CHECKPOINT:
                for ref, tip in entry.entry["records"].items():
                    allowed.setdefault(ref, []).append((tip,))
            elif entry.kind == FORGOTTEN:
                # Killed between the entry and the move, the month is where it was.
                tips = entry.entry["new_tip"], entry.entry["old_tip"]
                allowed[entry.entry["ref"]] = [tips]
        for ref, anchors in allowed.items():
            if not ref.startswith(f"{RUNS}{node}/"):
                self._found(f"{AUDIT}{node}", None, f"it tells of {ref}, which is not its own")
                continue
            lost = [tips for tips in anchors if not self._months.get(ref, set()).intersection(tips)]
            if lost:
                self._found(
                    ref,
                    lost[0][0],
                    "the audit has seen this commit at its tip, and it is not in it any more",
                    _REWRITTEN,
                )

    # --- records -----------------------------------------------------------------

    def _month(self, ref: str, tip: str) -> None:
        shas = self._months.setdefault(ref, set())
        for commit, segments in self._segments(ref, tip):
            shas.add(commit.sha)
            for line in (line for each in segments for line in each.split(b"\n") if line):
                try:
                    value = json.loads(line)
                    self._record(ref, commit.sha, value)
                except (ValueError, TypeError, KeyError, AttributeError):
                    self._found(ref, commit.sha, "a line of its segments is no record", _REWRITTEN)
            self.done.records += sum(each.count(b"\n") for each in segments)

    def _record(self, ref: str, commit: str, value: dict[str, Any]) -> None:
        kind = value["kind"]
        if kind == "event":
            event = value["event"]
            if event["source"] == "xyn" and (was_at := _main_was_at(event)) is not None:
                self._was_at.setdefault(node_of(ref), set()).add(was_at)
        rows = value["artifacts"] if kind == "run" else []
        for row in [value["artifact"]] if kind == "artifact" else rows:
            if row.get("deleted_at") is not None:
                self._taken_out.add(row["sha256"])
            elif row.get("sha256") is not None:
                self._contents.setdefault(row["sha256"], (ref, commit))

    def _bytes_of_artifacts(self) -> None:
        if self._artifacts is None:
            return
        away = 0
        for sha256, (ref, commit) in self._contents.items():
            try:
                self._artifacts.open(sha256, verify=True).close()
                self.done.artifacts += 1
            except NotFoundError:
                away += sha256 not in self._taken_out
            except DamagedError as error:
                self._found(
                    ref, commit, f"an artifact is not what its record says: {error.message}"
                )
        if away:
            self.done.notes.append(
                f"the bytes of {away} artifacts that records name are not in this home"
            )

    # --- refs ----------------------------------------------------------------------

    def _heads(self, heads: dict[str, str]) -> None:
        logs = {
            node: ref_log.moves_by_ref(entry for _, entry in chain.entries)
            for node, chain in self._chains.items()
            if self._node_id in (None, node)
        }
        if not any(MAIN in moves for moves in logs.values()):
            if self._node_id is not None and self._was_at.get(self._node_id):
                self._found(f"{AUDIT}{self._node_id}", None, _NO_LOG, _BEGIN_LOG)
            else:
                self.done.notes.append(_NO_LOG)
            return
        if MAIN not in heads:
            self._found(MAIN, None, "it is gone, and the audit never accepted that", _MOVED)
        for ref, tip in heads.items():
            told = [
                self._of_head(node, ref, moves.get(ref, []), tip) for node, moves in logs.items()
            ]
            # In a mirror of several nodes the one whose log explains it is the one that moved it.
            if all(told):
                commit, wrong = next(filter(None, told))
                self._found(ref, commit, wrong, _MOVED)

    def _of_head(
        self, node: str, ref: str, moves: Sequence[ref_log.Move], tip: str
    ) -> tuple[str, str] | None:
        wrong = ref_log.departure(moves, tip)
        if wrong is not None:
            return tip, f"{wrong} (audit of {node})"
        if ref == MAIN:
            known = self._was_at.get(node, set()) | {
                str(entry.entry.get("commit"))
                for _, entry in self._chains[node].entries
                if entry.kind == PROMOTED
            }
            later = ref_log.moved_back(moves, tip, known)
            if later is not None:
                return later, f"it was at {later}, and somebody moved it back to {tip}"
        return None

    # --- objects and signatures --------------------------------------------------------

    def _signatures(self, main: str | None) -> None:
        if main is None:
            return
        by_list: dict[str, list[str]] = {}
        try:
            for commit in self._repository.log(main, limit=2**31 - 1):
                # By the list before it: a commit cannot let in its own author.
                before = commit.parents[0] if commit.parents else None
                listed = self._repository.read_path(before, ALLOWED_SIGNERS) if before else None
                if listed:
                    by_list.setdefault(listed.decode("utf-8", "replace"), []).append(commit.sha)
            for listed_text, commits in by_list.items():
                for sha, letter in signatures(self._repository.path, commits, listed_text.encode()):
                    if letter == "B":
                        self._found(MAIN, sha, "its signature does not fit what it signs")
                    elif letter == "E":
                        raise GitError("git cannot check the signature of " + sha)
        except (XynError, OSError) as error:
            self.done.notes.append(f"signatures were not looked at: {_words(error)}")

    def _objects(self) -> None:
        self._progress("verifying every object's digest")
        wrong = damaged_objects(self._repository.path)
        for sentence in wrong[:_DAMAGE_SHOWN]:
            self._found("objects", None, sentence)
        if len(wrong) > _DAMAGE_SHOWN:
            self.done.notes.append(f"git found {len(wrong) - _DAMAGE_SHOWN} more objects damaged")

    # --- a checkpoint that somebody kept -------------------------------------------------

    def _compare(self, kept: Checkpoint) -> None:
        ref = f"{AUDIT}{kept.node_id}"
        chain = self._chains.get(kept.node_id, Chain())
        if kept.audit.sequence and chain.digest != kept.audit.digest:
            has = "here is none" if chain.digest is None else f"here it has {chain.digest}"
            self._found(
                ref,
                None,
                f"line {kept.audit.sequence} had {kept.audit.digest} at the checkpoint; {has}",
                _REWRITTEN,
            )
        main = self._repository.resolve(MAIN)
        if kept.main is not None and not (main and self._contains(main, kept.main)):
            self._found(
                MAIN, kept.main, "it was there at the checkpoint, and is not in main", _MOVED
            )
        months = {
            sha
            for each, shas in self._months.items()
            if node_of(each) == kept.node_id
            for sha in shas
        }
        lost = [sha for sha in kept.records if sha not in months]
        forgotten = any(
            entry.kind == FORGOTTEN and sequence > kept.audit.sequence
            for sequence, entry in chain.entries
        )
        if lost and forgotten:
            self.done.notes.append(
                f"commit {lost[0]} of the checkpoint is gone: an event was forgotten since"
            )
        elif lost:
            self._found(
                f"{RUNS}{kept.node_id}",
                lost[0],
                "it held records at the checkpoint, and no month holds it any more",
                _REWRITTEN,
            )

    def _contains(self, tip: str, old: str) -> bool:
        try:
            return self._repository.resolve(old) is not None and self._repository.is_ancestor(
                old, tip
            )
        except (XynError, OSError):
            return False


def _main_was_at(event: dict[str, Any]) -> str | None:
    """Read the commit at which an event of the node's own says that ``main`` was."""
    data = event.get("data") or {}
    if event["event_name"] == "xyn.git.pushed" and data.get("ref") == MAIN:
        return data.get("new")
    return data.get("revision") if event["event_name"] == "xyn.reconcile.succeeded" else None


def _words(error: Exception) -> str:
    return error.message if isinstance(error, XynError) else str(error)
