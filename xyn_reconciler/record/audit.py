"""The audit chain: who did what to refs, drafts, policies, records; ``refs/xyn/audit/<node>``.

JSON lines, in folders by time as run records are. Each line names the SHA-256
of the one before it, so that a line which was taken out or changed later shows;
the newest commit's ``Chain:`` trailer says how far the chain has come. What it
does not show: a whole chain that was written anew by whoever owns the repository.
``verify`` walks it. The content of files is never in it.
"""

import datetime as dt
import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.model.audit import START, AuditEntry, line_digest
from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.model.principal import OPERATOR
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.record.guard import guarded
from xyn_reconciler.record.read import EVERYTHING
from xyn_reconciler.record.render import place, ranges
from xyn_reconciler.store import audit
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.git import MAIN, Commit, Repository

AUDIT: Final = "refs/xyn/audit/"
ACCEPTED: Final = "ref.accepted"
"""A ref may move: ``old``, ``new``, ``how``; noted before it does."""
AUTHOR: Final = "Xyn <xyn@localhost>"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """How far a chain has come: the number and the digest of its last line."""

    sequence: int = 0
    digest: str = START


def audit_ref(node_id: str) -> str:
    return f"{AUDIT}{node_id}"


def link_of(commit: Commit) -> Link:
    """Where the chain stood after a commit; one that is older than the chain stood before it."""
    stood = commit.trailer_values("Chain")
    if not stood:
        return Link()
    sequence, _, digest = stood[-1].partition(" ")
    return Link(int(sequence), digest)


def begin_log(connection: Connection, repository: Repository, *, now: dt.datetime) -> None:
    """Note where ``main`` and the drafts stand, unless moves of ``main`` were noted before.

    What was there before the first start, or before there was an audit, nobody accepted.
    """
    if not audit.list_entries(connection, limit=1, kinds=[ACCEPTED], subject=MAIN):
        audit.put(
            connection,
            [
                AuditEntry(
                    kind=ACCEPTED,
                    actor=OPERATOR.id,
                    at=now,
                    subject=ref,
                    entry={"old": None, "new": tip, "how": "init"},
                )
                for ref, tip in repository.refs("refs/heads/").items()
            ],
        )


@dataclass(frozen=True, slots=True)
class Appended:
    """A commit of the chain; ``caught`` are places where the guard replaced a secret."""

    commit: str
    caught: Sequence[str]


def append_audit(
    repository: Repository,
    node_id: str,
    entries: Sequence[AuditEntry],
    *,
    now: dt.datetime,
    redactor: Redactor,
    outbox: tuple[uuid.UUID, Sequence[int]] | None = None,
) -> "Appended":
    """Append entries, durably, as one commit. At least one entry.

    ``outbox`` names the rows (database, ids) that they came from, so that a
    committer which was killed knows what is in.
    """
    ref = audit_ref(node_id)
    while True:
        tip = repository.resolve(ref)
        before = Link() if tip is None else link_of(repository.commit(tip))
        lines, after, caught = _chained(entries, before, redactor)
        path = f"{now:%Y-%m}/{place(now, f'{before.sequence + 1:08d}')}.jsonl"
        trailers = [f"Segment: {path}", f"Chain: {after.sequence} {after.digest}"]
        if outbox is not None:
            trailers.append(f"Outbox: {outbox[0]} {ranges(outbox[1])}")
        try:
            commit = repository.append_records(
                ref,
                expected=tip,
                files={path: "".join(f"{line}\n" for line in lines).encode()},
                message=f"Audit {_named(entries)}\n\n" + "\n".join(trailers) + "\n",
                author=AUTHOR,
                now=now,
            )
            return Appended(commit, caught)
        except ConflictError:
            _log.info("%s moved meanwhile; taking the new tip", ref)


def _chained(
    entries: Sequence[AuditEntry], before: Link, redactor: Redactor
) -> tuple[list[str], Link, list[str]]:
    lines, link, places = list[str](), before, list[str]()
    for entry in entries:
        plain = entry.line(link.sequence + 1, link.digest)
        clean, caught = guarded(redactor, plain.encode())
        line = clean.decode().removesuffix("\n")
        lines.append(line)
        places += caught
        link = Link(link.sequence + 1, line_digest(line))
    return lines, link, places


def _named(entries: Sequence[AuditEntry]) -> str:
    kinds = sorted({entry.kind for entry in entries})
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    return f"{kinds[0]}{more}"


def read_audit(repository: Repository, ref: str) -> Iterator[tuple[Commit, list[bytes]]]:
    """Give each commit of a chain, the oldest first, with its lines; a lost segment has none."""
    tip = repository.resolve(ref)
    if tip is None:
        return
    for commit in reversed(repository.log(tip, limit=EVERYTHING)):
        lines: list[bytes] = []
        for path in commit.trailer_values("Segment"):
            # At the tip: its folders are the same for most commits, and so are read once.
            lines += (repository.read_path(tip, path) or b"").splitlines()
        yield commit, lines
