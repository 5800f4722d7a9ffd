"""A committer in a process of its own, for tests that kill it: URL, repository, artifacts."""

import datetime as dt
import sys
from pathlib import Path

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.record.commit import Committer
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository


def main(url: str, repository: str, artifacts: str) -> None:
    with Database(url) as database:
        Committer(
            database,
            Repository.open(Path(repository)),
            artifacts=ArtifactStore(Path(artifacts)),
            node_id="seed",
            redactor=Redactor(),
            clock=lambda: dt.datetime.now(dt.UTC),
        ).drain()


if __name__ == "__main__":
    main(*sys.argv[1:])
