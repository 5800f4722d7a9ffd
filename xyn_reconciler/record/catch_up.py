"""Bring the index up to records that were fetched: what a clone's origin did meanwhile.

A clone lists the runs of the nodes whose history it has. They are held by their
node (:mod:`.rebuild`); nothing here starts or ends anything.
"""

import datetime as dt
import itertools
import uuid
from collections.abc import Mapping
from typing import Final

from xyn_reconciler.record.commit import WRITING
from xyn_reconciler.record.read import read_batches
from xyn_reconciler.record.rebuild import Putting, Rebuilt, holder_of, rebuild_records
from xyn_reconciler.record.render import node_of
from xyn_reconciler.store import forgetting, git_purge, records
from xyn_reconciler.store.database import Connection, Database, lock_in_transaction
from xyn_reconciler.store.git import Repository

AT_ONCE: Final = 1000
"""With more new commits in a month than this, everything is put in anew."""


def catch_up(
    database: Database,
    repository: Repository,
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    now: dt.datetime,
) -> None:
    """Put in what other nodes' months, ref to tip, have now and had not before.

    A month that was written anew (an event was forgotten there) makes the whole
    index be put in anew, and the old month vanish here as well.
    """
    moved = {ref: tip for ref, tip in after.items() if before.get(ref) != tip}
    if not moved:
        return
    rewritten = [
        ref
        for ref, tip in moved.items()
        if ref in before and not repository.is_ancestor(before[ref], tip)
    ]
    with database.begin() as connection:
        lock_in_transaction(connection, WRITING)
        if rewritten or not all(
            _put_new(connection, repository, ref, before.get(ref), now) for ref in moved
        ):
            rebuild_records(connection, repository, now=now, progress=lambda _: None)
    if rewritten:
        git_purge.ask(repository.path, now)


def _put_new(
    connection: Connection, repository: Repository, ref: str, old: str | None, now: dt.datetime
) -> bool:
    """Put in the newest commits of a month, down to ``old``; False where they are too many."""
    batches = itertools.takewhile(lambda batch: batch[0] != old, read_batches(repository, ref))
    chunk = list(itertools.islice(batches, AT_ONCE + 1))
    if len(chunk) > AT_ONCE:
        return False
    runs = [
        entry.value for _, entries in reversed(chunk) for entry in entries if entry.kind == "run"
    ]
    # These records are newer than what is there, unlike in a rebuild.
    records.delete_runs(connection, [uuid.UUID(each["run"]["run_id"]) for each in runs])
    putting = Putting(connection, Rebuilt(), now, held_by=holder_of(node_of(ref)))
    putting.put(chunk)
    putting.finish()
    # An artifact's own line is newer than its run's: it says that the bytes are gone.
    gone = {
        entry.value["artifact"]["artifact_id"]
        for _, entries in chunk
        for entry in entries
        if entry.kind == "artifact" and "deleted_at" in entry.value["artifact"]
    }
    for each in runs:
        rows = [row for row in each["artifacts"] if row["artifact_id"] not in gone]
        forgetting.replace_rows(connection, "artifacts", rows)
    return True
