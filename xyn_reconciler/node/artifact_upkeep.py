"""Keep the artifact store as ``retention`` says, and free of what nobody has.

The node process asks it every hour. It may be killed anywhere: what was not done is
found again, for it begins with a look at everything that is there.
"""

import datetime as dt
from collections.abc import Callable, Iterable

from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.store import artifact_claims as claims
from xyn_reconciler.store import artifact_retention, desired
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database


class ArtifactUpkeep:
    """One per node."""

    def __init__(
        self, database: Database, artifacts: ArtifactStore, clock: Callable[[], dt.datetime]
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._clock = clock

    def look(self) -> int:
        """Take out bytes whose time is over or that nobody has; how many artifacts lost theirs."""
        self._artifacts.prepare()
        self._remove(claims.look_over(self._database, self._artifacts.contents()))
        with self._database.begin() as connection:
            claims.release(connection, now=self._clock())
        gone = 0
        while buried := self._bury():
            crash_point("artifact.buried")
            self._remove(buried)
            gone += len(buried)
        with self._database.begin() as connection:
            overdue = claims.overdue(connection, now=self._clock())
        self._remove(overdue)
        return gone

    def _bury(self) -> list[str]:
        with self._database.begin() as connection:
            settings = desired.read_node(connection).settings
            times = settings.get("retention")
            if not times or settings["mode"] != "active":
                return []
            return artifact_retention.bury(connection, times, now=self._clock())

    def _remove(self, digests: Iterable[str]) -> None:
        for sha256 in set(digests):
            if claims.remove_unused(
                self._database, sha256, self._artifacts.remove, now=self._clock()
            ):
                crash_point("artifact.removed")
