"""What the artifact store holds, to the byte, and taking out what no artifact has any more.

Whoever puts bytes claims them first, so a writer that is killed before its row
leaves them counted. A claim is over soon after a row has its bytes; without one, after
:data:`GRACE`: then the bytes go with it. Logs are kept without a claim; one that lost its
row is claimed when it is found (:func:`look_over`), and goes the same way.

The trap is to take bytes out while somebody puts the same ones. Both hold the lock
of the digest: a put claims before it looks whether the bytes are there, a removal
looks for claims and rows and removes before it lets go.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from sqlalchemy import text

from xyn_reconciler.store.database import Connection, Database, lock_in_transaction

GRACE: Final = dt.timedelta(days=7)
"""A claim holds so long without a row: that of a step comes with the end of its attempt."""
SETTLED: Final = dt.timedelta(minutes=10)
"""A claim holds so long beside a row: somebody else may be putting the same bytes."""
ROOM: Final = "artifact_room"
"""The lock of whoever counts, to claim what is left."""
_AT_ONCE: Final = 1000

_LIVE: Final = "a.deleted_at IS NULL AND a.here"
_STORED: Final = text(
    "SELECT coalesce(sum(length), 0) FROM ("  # noqa: S608 - our own words
    " SELECT max(a.byte_length) AS length FROM artifacts a"
    f" WHERE a.sha256 IS NOT NULL AND {_LIVE} GROUP BY a.sha256"
    " UNION ALL SELECT c.byte_length FROM artifact_claims c WHERE NOT EXISTS"
    f" (SELECT FROM artifacts a WHERE a.sha256 = c.sha256 AND {_LIVE})) found"
)
_COUNTED: Final = text(
    "SELECT EXISTS (SELECT FROM artifact_claims"  # noqa: S608 - see above
    " WHERE sha256 = :sha256) OR EXISTS"
    f" (SELECT FROM artifacts a WHERE a.sha256 = :sha256 AND {_LIVE})"
)
_CLAIM: Final = text(
    "INSERT INTO artifact_claims (sha256, byte_length, claimed_at)"
    " VALUES (:sha256, :length, clock_timestamp())"
    " ON CONFLICT (sha256) DO UPDATE SET claimed_at = excluded.claimed_at"
)
_SINCE: Final = text("SELECT coalesce(sum(byte_length), 0) FROM artifact_claims WHERE id > :newest")
_NEWEST: Final = text("SELECT coalesce(max(id), 0) FROM artifact_claims")
_UNUSED: Final = text(
    "SELECT NOT EXISTS (SELECT FROM artifact_claims"
    " WHERE sha256 = :sha256 AND claimed_at >= :before)"
    " AND NOT EXISTS (SELECT FROM artifacts WHERE sha256 = :sha256 AND deleted_at IS NULL)"
)
_RELEASE: Final = text("DELETE FROM artifact_claims WHERE sha256 = :sha256")
_OVER: Final = text(
    "SELECT sha256 FROM artifact_claims c WHERE claimed_at < :before AND NOT EXISTS"
    " (SELECT FROM artifacts a WHERE a.sha256 = c.sha256 AND a.deleted_at IS NULL)"
    " ORDER BY id LIMIT :most"
)
_TAKEN_OVER: Final = text(
    "DELETE FROM artifact_claims c"  # noqa: S608 - see above
    " WHERE claimed_at < :before AND EXISTS"
    f" (SELECT FROM artifacts a WHERE a.sha256 = c.sha256 AND {_LIVE})"
)
_HERE: Final = text(
    "UPDATE artifacts SET here = true WHERE NOT here AND sha256 = ANY(CAST(:digests AS text[]))"
)
_PRESENT: Final = text(
    "CREATE TEMPORARY TABLE present (sha256 text PRIMARY KEY, length bigint) ON COMMIT DROP"
)
_NOTE: Final = text(
    "INSERT INTO present SELECT * FROM"
    " unnest(CAST(:digests AS text[]), CAST(:lengths AS bigint[])) ON CONFLICT DO NOTHING"
)
_ADOPT: Final = text(
    "INSERT INTO artifact_claims (sha256, byte_length, claimed_at)"
    " SELECT p.sha256, p.length, clock_timestamp() FROM present p"
    " WHERE NOT EXISTS (SELECT FROM artifacts a"
    " WHERE a.sha256 = p.sha256)"
    " ON CONFLICT (sha256) DO NOTHING"
)
_BURIED: Final = text(
    "SELECT p.sha256 FROM present p"
    " WHERE EXISTS (SELECT FROM artifacts a WHERE a.sha256 = p.sha256)"
    " AND NOT EXISTS (SELECT FROM artifacts a"
    " WHERE a.sha256 = p.sha256 AND a.deleted_at IS NULL) LIMIT :most"
)
_HERE_AND_THERE: Final = text(
    "UPDATE artifacts a SET here = NOT a.here WHERE a.sha256 IS NOT NULL AND a.deleted_at IS NULL"
    " AND a.here <> (EXISTS (SELECT FROM present p WHERE p.sha256 = a.sha256)"
    " OR EXISTS (SELECT FROM artifact_claims c WHERE c.sha256 = a.sha256 AND a.here))"
)


def stored_bytes(connection: Connection) -> int:
    """Bytes that are here or about to be, equal content counted once."""
    return int(connection.execute(_STORED).scalar_one())


def is_counted(connection: Connection, sha256: str) -> bool:
    """Whether :func:`stored_bytes` has these bytes in it already."""
    return bool(connection.execute(_COUNTED, {"sha256": sha256}).scalar_one())


def claim(connection: Connection, sha256: str, length: int) -> None:
    """Count bytes from now on; those that are claimed already are so anew."""
    connection.execute(_CLAIM, {"sha256": sha256, "length": length})


def newest_claim(connection: Connection) -> int:
    """The number of the latest claim."""
    return int(connection.execute(_NEWEST).scalar_one())


def claimed_since(connection: Connection, newest: int) -> int:
    """Bytes of the claims after that number."""
    return int(connection.execute(_SINCE, {"newest": newest}).scalar_one())


def lock_content(connection: Connection, sha256: str) -> None:
    """Hold these bytes against whoever would put or remove them, to the transaction's end."""
    lock_in_transaction(connection, f"artifact {sha256}")


def remove_unused(
    database: Database, sha256: str, remove: Callable[[str], None], *, now: dt.datetime
) -> bool:
    """Take bytes out that no artifact has and nobody puts; whether they went."""
    with database.begin() as connection:
        lock_content(connection, sha256)
        asked = {"sha256": sha256, "before": now - GRACE}
        if not connection.execute(_UNUSED, asked).scalar_one():
            return False
        remove(sha256)
        connection.execute(_RELEASE, {"sha256": sha256})
    return True


def release(connection: Connection, *, now: dt.datetime) -> None:
    """Let go of claims whose bytes a row has."""
    connection.execute(_TAKEN_OVER, {"before": now - SETTLED})


def overdue(connection: Connection, *, now: dt.datetime) -> list[str]:
    """Give what was claimed longer than :data:`GRACE` ago and no row has, the oldest first.

    At most a thousand.
    """
    asked = {"before": now - GRACE, "most": _AT_ONCE}
    return list(connection.execute(_OVER, asked).scalars())


def look_over(database: Database, contents: Iterable[tuple[str, int]]) -> list[str]:
    """Compare rows with all that the store has, name to length; gives what only tombstones have.

    That is what was to be taken out when somebody was killed, at most a thousand.
    Rows learn whether their bytes are here: records cannot say it. Bytes without any
    row are claimed: from now on they count, and go after :data:`GRACE`. What is put
    meanwhile is right after the next time.
    """
    with database.begin() as connection:
        connection.execute(_PRESENT)
        for part in _parts(contents):
            connection.execute(_NOTE, {"digests": list(part), "lengths": list(part.values())})
        connection.execute(_ADOPT)
        connection.execute(_HERE_AND_THERE)
        return list(connection.execute(_BURIED, {"most": _AT_ONCE}).scalars())


def note_here(connection: Connection, sha256: str) -> None:
    """Note that bytes were fetched: rows that name them have them here."""
    connection.execute(_HERE, {"digests": [sha256]})


def _parts(contents: Iterable[tuple[str, int]]) -> Iterator[Mapping[str, int]]:
    left = iter(contents)
    while part := dict(islice(left, _AT_ONCE)):
        yield part
