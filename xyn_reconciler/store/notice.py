"""Tell other processes that something was committed; they look for themselves.

A notice is only ever a wake-up: whoever misses one finds the rows at its next look.
"""

from typing import Final, Literal

from sqlalchemy import text

from xyn_reconciler.store.database import Connection

Channel = Literal["xyn_outbox", "xyn_applied", "xyn_review"]

OUTBOX: Final[Channel] = "xyn_outbox"
"""The committer has something to write."""
APPLIED: Final[Channel] = "xyn_applied"
"""A revision became active; the payload is ``node.applied_sequence``."""
REVIEW: Final[Channel] = "xyn_review"
"""A draft, or what is known about one, changed; the payload is the name of the draft."""


def notify(connection: Connection, channel: Channel, payload: str = "") -> None:
    """Send a notice when the transaction commits; never when it is rolled back."""
    connection.execute(
        text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload}
    )
