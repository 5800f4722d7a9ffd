"""Checkpoints: one line that says where ``main``, the audit and the records stand.

The node notes one every hour in its audit, which ties the records to the chain,
and prints it. The chain alone cannot show that all of it was written anew; a
line that somebody keeps elsewhere can: ``xynctl verify --against``.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.record.audit import Link, audit_ref, link_of
from xyn_reconciler.record.render import RUNS, month_of
from xyn_reconciler.store import audit
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository

CHECKPOINT: Final = "checkpoint"
ACTOR: Final = "xyn"
_MONTHS: Final = 2
"""The newest ones: what is older does not change, and stood in an earlier checkpoint."""
_LINE: Final = re.compile(
    r"(?:Checkpoint: )?(?P<node>\S+) main (?P<main>[0-9a-f]{40}|-) audit (?P<sequence>\d{1,18})"
    r" (?P<digest>[0-9a-f]{64}) records(?P<records>(?: [0-9a-f]{40})*)"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a node's repository stood; ``records`` are tips of its months."""

    node_id: str
    main: str | None
    audit: Link
    records: tuple[str, ...]

    def line(self) -> str:
        """Give the line that a person copies."""
        said = f"Checkpoint: {self.node_id} main {self.main or '-'}"
        return " ".join(
            [f"{said} audit {self.audit.sequence} {self.audit.digest} records", *self.records]
        )


def parse(line: str) -> Checkpoint:
    """Read a checkpoint's line back; ``InvalidError`` for anything else."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise InvalidError(
            "this is no checkpoint; one reads: Checkpoint: <node> main <commit> audit <number>"
            " <sha256> records <commit>..."
        )
    return Checkpoint(
        found["node"],
        None if found["main"] == "-" else found["main"],
        Link(int(found["sequence"]), found["digest"]),
        tuple(found["records"].split()),
    )


def of_entry(entry: AuditEntry) -> Checkpoint:
    """Read the audit's entry of a checkpoint."""
    value = entry.entry
    link = Link(value["sequence"], value["digest"])
    return Checkpoint(str(entry.subject), value["main"], link, tuple(value["records"].values()))


def take(
    database: Database, repository: Repository, node_id: str, *, now: dt.datetime
) -> Checkpoint | None:
    """Note where everything stands; ``None`` where nothing has changed since the last one."""
    tip = repository.resolve(audit_ref(node_id))
    link = Link() if tip is None else link_of(repository.commit(tip))
    months = repository.refs(f"{RUNS}{node_id}/")
    newest = sorted(months, key=month_of)[-_MONTHS:]
    stands = {"main": repository.resolve(MAIN), "records": {ref: months[ref] for ref in newest}}
    entry = AuditEntry(
        kind=CHECKPOINT,
        actor=ACTOR,
        at=now,
        subject=node_id,
        entry={**stands, "sequence": link.sequence, "digest": link.digest},
    )
    with database.begin() as connection:
        last = audit.list_entries(connection, limit=1, kinds=[CHECKPOINT])
        if last and _unchanged(last[0].entry, stands, link):
            return None
        audit.put(connection, [entry])
    return of_entry(entry)


def _unchanged(last: Mapping[str, Any], stands: Mapping[str, Any], link: Link) -> bool:
    # Its own line is in the chain by now, or will be.
    grown = link.sequence - last["sequence"]
    return grown <= 1 and all(last[name] == value for name, value in stands.items())
