"""Audit: privileged decisions and moves of refs, each an entry of one chain (issue: who did what).

An entry is put into the database with the change that it tells of and written
into Git by the committer. It says who, what and why, never a value that is secret.
"""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.ids import new_id

START: Final = "0" * 64
"""What the first line of a chain names as the one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing that was done or decided.

    ``kind`` is dotted (``ref.accepted``, ``policy.decided``, ``review.promoted``);
    ``subject`` is the ref, id or name that it is about; ``entry`` is JSON.
    """

    kind: str
    actor: str
    at: dt.datetime
    subject: str | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)
    audit_id: uuid.UUID = field(default_factory=new_id)

    def line(self, sequence: int, previous: str) -> str:
        """Give its line in the chain: ``previous`` is the :func:`line_digest` of the one before."""
        return json.dumps(
            {
                "kind": "audit",
                "sequence": sequence,
                "previous": previous,
                "audit_id": str(self.audit_id),
                "at": isoformat(self.at),
                "what": self.kind,
                "actor": self.actor,
                "subject": self.subject,
                "entry": self.entry,
            },
            ensure_ascii=True,
            separators=(",", ":"),
        )


def from_line(value: Mapping[str, Any]) -> AuditEntry:
    """Read a line's JSON object back; ``KeyError`` or ``ValueError`` for what is none."""
    return AuditEntry(
        kind=value["what"],
        actor=value["actor"],
        at=dt.datetime.fromisoformat(value["at"]),
        subject=value["subject"],
        entry=value["entry"],
        audit_id=uuid.UUID(value["audit_id"]),
    )


def line_digest(line: str) -> str:
    """What the next line names: SHA-256, in hex, of a line without its line break."""
    return hashlib.sha256(line.encode()).hexdigest()
