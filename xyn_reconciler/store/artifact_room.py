"""How many more bytes the artifact store may hold (seed 38.1), exact also after a crash.

Bytes are claimed in Postgres before they are kept (:mod:`.artifact_claims`), under
a lock: however many processes put at once, and wherever one is killed, what was let
in together fits. To count looks at every artifact there ever was, so within a
process a count is good for a minute and for a tenth of what is left: others' claims
are added to it.

Logs are never refused and so are not claimed; the next count has them.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from xyn_reconciler.model.errors import XynError
from xyn_reconciler.store import artifact_claims as claims
from xyn_reconciler.store.database import Connection, Database, lock_in_transaction
from xyn_reconciler.store.patience import patiently

UNCOUNTED: Final = 10
"""This part of what is left may be claimed before it is counted again."""
_COUNT_SECONDS: Final = 60.0


class QuotaExceededError(XynError):
    """The artifact store is full.

    ``limits.artifact_quota`` in ``node.yaml`` says how much it may hold.
    """

    code = "quota_exceeded"
    http_status = 507


class ArtifactRoom:
    """One per process; safe from any thread."""

    def __init__(
        self, database: Database, *, quota: Callable[[Connection], int], patience: float = 0.0
    ) -> None:
        """``quota`` gives the bytes allowed, asked each time.

        ``patience``: seconds to wait for a database that is away.
        """
        self._database = database
        self._ask_quota = quota
        self._patience = patience
        self._lock = threading.Lock()
        self._counted = 0
        self._newest_claim = 0
        self._good_until = 0.0

    def take(self, sha256: str, length: int) -> None:
        """Claim bytes; raises :class:`QuotaExceededError` where there is no room for them.

        Those that are there, or claimed, need none; they are claimed anew, so that
        nobody takes them out before a row names them.
        """
        patiently(lambda: self._take(sha256, length), self._patience)

    def _take(self, sha256: str, length: int) -> None:
        with self._database.begin() as connection:
            claims.lock_content(connection, sha256)
            if not claims.is_counted(connection, sha256):
                quota = self._ask_quota(connection)
                lock_in_transaction(connection, claims.ROOM)
                left = quota - self._stored(connection, quota, length)
                if length > left:
                    raise QuotaExceededError(
                        f"the artifact store has room for {max(left, 0):,} more bytes: raise"
                        " limits.artifact_quota in node.yaml"
                    )
            claims.claim(connection, sha256, length)

    def _stored(self, connection: Connection, quota: int, length: int) -> int:
        with self._lock:
            since = claims.claimed_since(connection, self._newest_claim)
            few = (since + length) * UNCOUNTED <= quota - self._counted
            if time.monotonic() < self._good_until and few:
                return self._counted + since
            self._newest_claim = claims.newest_claim(connection)
            self._counted = claims.stored_bytes(connection)
            self._good_until = time.monotonic() + _COUNT_SECONDS
            return self._counted
