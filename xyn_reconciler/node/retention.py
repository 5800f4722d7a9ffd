"""Keep handled events in the index for as long as ``limits.backlog`` says."""

import datetime as dt
from collections.abc import Callable
from typing import Final

from xyn_reconciler.store import desired, retention
from xyn_reconciler.store.database import Database

_EVER: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Retention:
    """Told every minute by the node process."""

    def __init__(self, database: Database, clock: Callable[[], dt.datetime]) -> None:
        self._database = database
        self._clock = clock
        self._looked_until = _EVER
        """What is older was looked at: the events that runs keep are not read every minute."""

    def look(self) -> int:
        """Take what is too old out of the index; how many events."""
        with self._database.begin() as connection:
            limits = desired.read_node(connection).settings.get("limits")
            if limits is None:
                return 0  # no revision says anything yet
            seconds = float(limits["backlog"])
            before = self._clock() - dt.timedelta(seconds=seconds)
            gone = retention.drop_handled(connection, since=self._looked_until, before=before)
        if gone < retention.AT_ONCE:
            self._looked_until = max(before, self._looked_until)
        return gone
