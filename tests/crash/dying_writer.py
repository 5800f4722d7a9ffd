"""A put of bytes in a process of its own, for tests that kill it: URL, folder, quota, text."""

import sys
from pathlib import Path

from xyn_reconciler.store.artifact_room import ArtifactRoom
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database


def main(url: str, artifacts: str, quota: str, content: str) -> None:
    with Database(url) as database:
        room = ArtifactRoom(database, quota=lambda _: int(quota))
        ArtifactStore(Path(artifacts), room=room).put(content.encode(), limit=1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
