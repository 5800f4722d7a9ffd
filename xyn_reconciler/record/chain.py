"""The audit's chain of lines, checked. Pure: lines in, what is wrong with them out."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from xyn_reconciler.model.audit import AuditEntry, from_line, line_digest
from xyn_reconciler.record.audit import Link


@dataclass(slots=True)
class Chain:
    """One node's chain as far as it was read.

    Kept are the entries of some kinds alone (``None``: of all), and the digest of
    one line: an audit may be longer than what goes into memory.
    """

    kinds: Collection[str] | None = None
    watched: int = 0
    link: Link = field(default_factory=Link)
    entries: list[tuple[int, AuditEntry]] = field(default_factory=list)
    """Number and entry of each line that is kept."""
    digest: str | None = None
    """Of the line that is watched, if there is one."""

    def take(self, lines: Iterable[bytes]) -> list[str]:
        """Read the next lines; gives what is wrong with them.

        After a line that does not follow, the chain goes on from that line, so
        that one fault is told once.
        """
        wrong: list[str] = []
        for line in lines:
            number = self.link.sequence + 1
            try:
                text = line.decode()
                value = json.loads(text)
                sequence, previous = int(value["sequence"]), value["previous"]
                entry = from_line(value)
            except (ValueError, TypeError, KeyError, AttributeError):
                wrong.append(f"line {number} of the chain is no audit entry")
                continue
            if sequence != number:
                wrong.append(f"line {sequence} of the chain stands where line {number} has to be")
            elif previous != self.link.digest:
                wrong.append(
                    f"line {sequence} of the chain does not follow the one before it:"
                    f" it names {previous}, and that one has {self.link.digest}"
                )
            self.link = Link(sequence, line_digest(text))
            if sequence == self.watched:
                self.digest = self.link.digest
            if self.kinds is None or entry.kind in self.kinds:
                self.entries.append((sequence, entry))
        return wrong

    def arrive(self, claimed: Link) -> str | None:
        """Compare with how far a commit says that the chain has come; gives what is wrong."""
        if self.link == claimed:
            return None
        told = (
            f"the commit says that the chain has come to line {claimed.sequence}"
            f" ({claimed.digest}), and its lines come to {self.link.sequence} ({self.link.digest})"
        )
        self.link = claimed
        return told
