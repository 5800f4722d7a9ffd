"""Make the rows of the audit anew from its chain, and reviews and grants from those.

Only this node's own chain: a clone has those of other nodes as well, and what
they decided was decided there. The trap: entries that wait to be written are in
no commit yet, and what they tell of is in rows that are made anew here.
"""

import json
import uuid
from collections.abc import Iterator
from itertools import islice
from typing import Final

from xyn_reconciler.model.audit import AuditEntry, from_line
from xyn_reconciler.record.audit import audit_ref, read_audit
from xyn_reconciler.record.read import DamagedRecordError
from xyn_reconciler.store import audit, grants, review_rebuild
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.git import Repository

CHUNK: Final = 2000
"""Entries that are put into the database together."""
TELLING: Final = ("review.", "break_glass.")
"""What the kinds begin with that rows other than those of the audit are made of."""


def rebuild_audit(connection: Connection, repository: Repository, node_id: str) -> int:
    """Write every row that the audit of this node holds; gives the number of its entries.

    In the caller's transaction. Raises :class:`~.read.DamagedRecordError` for a
    line that cannot be read; whether the chain is whole is what ``verify`` asks.
    """
    audit.clear(connection)
    told: dict[uuid.UUID, AuditEntry] = {}
    count = 0
    recorded = _recorded(repository, audit_ref(node_id))
    while chunk := list(islice(recorded, CHUNK)):
        audit.put_recorded(connection, chunk)
        count += len(chunk)
        told |= {entry.audit_id: entry for entry, _ in chunk if entry.kind.startswith(TELLING)}
    for entry in audit.unrecorded(connection):
        # One that a killed committer has written stands in both.
        told.setdefault(entry.audit_id, entry)
    review_rebuild.put_back(connection, list(told.values()))
    grants.put_back(connection, list(told.values()))
    return count


def _recorded(repository: Repository, ref: str) -> Iterator[tuple[AuditEntry, str]]:
    for commit, lines in read_audit(repository, ref):
        # What is older than the chain is in a form of its own, and nothing was made of it.
        for line in lines if commit.trailer_values("Chain") else ():
            try:
                entry = from_line(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise DamagedRecordError(
                    f"commit {commit.sha} of {ref} holds a line that is no audit entry"
                ) from error
            yield entry, commit.sha
