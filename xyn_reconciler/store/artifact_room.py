"""How many more bytes the artifact store may hold (seed 38.1), known without counting each time.

Counting looks at every artifact there ever was. So whoever counts may then keep
a tenth of what is left before counting again: the fuller the store, the more
exact, and at its edge to the byte. Nothing of it outlives the process, so a
crash cannot make it wrong.

The trap: other processes keep artifacts too. Up to ten at once cannot get past
the quota between two counts.
"""

import threading
from collections.abc import Callable
from typing import Final

from xyn_reconciler.model.errors import XynError

UNCOUNTED: Final = 10
"""This part of what is left may be kept before it is counted again."""


class QuotaExceededError(XynError):
    """The artifact store is full.

    ``limits.artifact_quota`` in ``node.yaml`` says how much it may hold.
    """

    code = "quota_exceeded"
    http_status = 507


class ArtifactRoom:
    """One per process; safe from any thread."""

    def __init__(self, *, quota: Callable[[], int], stored: Callable[[], int]) -> None:
        """``quota`` gives the bytes allowed, asked each time; ``stored`` counts those kept."""
        self._ask_quota = quota
        self._count = stored
        self._lock = threading.Lock()
        self._quota = 0
        self._uncounted = 0

    def take(self, length: int) -> None:
        """Return if so many more bytes may be kept; else raise :class:`QuotaExceededError`."""
        quota = self._ask_quota()
        with self._lock:
            if quota != self._quota or length > self._uncounted:
                left = quota - self._count()
                if length > left:
                    raise QuotaExceededError(
                        f"the artifact store has room for {max(left, 0):,} more bytes: raise"
                        " limits.artifact_quota in node.yaml"
                    )
                self._quota, self._uncounted = quota, left // UNCOUNTED
            self._uncounted -= length

    def note(self, length: int) -> None:
        """Take into account bytes that are kept whether there is room or not."""
        with self._lock:
            self._uncounted -= length
