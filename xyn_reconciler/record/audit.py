"""Audit records: what was done to the records and to the repository, by whom and when.

JSON lines on ``refs/xyn/audit/<node>``, in folders by time as run records are.
They say who and what, never the content itself.
"""

import datetime as dt
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.model.run import digest
from xyn_reconciler.record.render import place
from xyn_reconciler.store.git import Repository

AUDIT: Final = "refs/xyn/audit/"
AUTHOR: Final = "Xyn <xyn@localhost>"

_log = logging.getLogger(__name__)


def append_audit(
    repository: Repository, node_id: str, entry: Mapping[str, Any], *, now: dt.datetime
) -> str:
    """Append one entry, durably; gives its commit. ``entry["kind"]`` becomes the subject."""
    ref = f"{AUDIT}{node_id}"
    line = json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    name = f"{now.microsecond:06d}-{digest(entry)[:12]}"
    path = f"{now:%Y-%m}/{place(now, name)}.jsonl"
    while True:
        try:
            return repository.append_records(
                ref,
                expected=repository.resolve(ref),
                files={path: line},
                message=f"Audit {entry['kind']}\n\nSegment: {path}\n",
                author=AUTHOR,
                now=now,
            )
        except ConflictError:
            _log.info("%s moved meanwhile; taking the new tip", ref)
