"""Retention in a process of its own, for tests that kill it: URL, artifacts, what time it is."""

import datetime as dt
import sys
from pathlib import Path

from xyn_reconciler.node.artifact_upkeep import ArtifactUpkeep
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database


def main(url: str, artifacts: str, now: str) -> None:
    with Database(url) as database:
        store = ArtifactStore(Path(artifacts))
        ArtifactUpkeep(database, store, lambda: dt.datetime.fromisoformat(now)).look()


if __name__ == "__main__":
    main(*sys.argv[1:])
