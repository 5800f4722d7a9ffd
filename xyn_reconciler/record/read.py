"""Read records back: every line of a node's months, the newest commit first.

``rebuild`` puts the index together from them. The order is that of the commits,
not of the paths, which are made of a clock.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.errors import XynError
from xyn_reconciler.record.render import RUNS, month_of, node_of
from xyn_reconciler.store.git import Commit, Repository

EVERYTHING: Final = 2**31 - 1
"""As a limit on commits: none."""


class DamagedRecordError(XynError):
    """A segment of records cannot be read."""

    code = "damaged_record"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a record, as text and as the JSON object that it is."""

    kind: str
    """``run``, ``event``, ``artifact`` or ``plan``."""
    text: str
    value: dict[str, Any]


def months_by_node(repository: Repository) -> dict[str, list[str]]:
    """Node id to its months' refs, the newest first."""
    found: dict[str, list[str]] = {}
    for ref in sorted(repository.refs(RUNS), key=month_of, reverse=True):
        found.setdefault(node_of(ref), []).append(ref)
    return found


def commits(repository: Repository, ref: str) -> list[Commit]:
    """Every commit of a month, the newest first."""
    return repository.log(ref, limit=EVERYTHING)


def read_batches(repository: Repository, ref: str) -> Iterator[tuple[str, list[Entry]]]:
    """Give (commit, its lines) for every commit of a month, the newest first."""
    tip = repository.resolve(ref)
    if tip is None:
        return
    for commit in commits(repository, ref):
        entries = [
            entry
            for segment in commit.trailer_values("Segment")
            # At the tip: its folders are the same for most commits, and so are read once.
            for entry in read_segment(repository, tip, segment)
        ]
        yield commit.sha, entries


def read_segment(repository: Repository, revision: str, path: str) -> Iterator[Entry]:
    """Give the lines of one segment."""
    content = repository.read_path(revision, path)
    if content is None:
        raise DamagedRecordError(f"the records have lost the segment {path}")
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        try:
            text = line.decode()
            value = json.loads(text)
            kind = value["kind"]
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedRecordError(f"{path}:{number} is not a record") from error
        yield Entry(kind, text, value)
