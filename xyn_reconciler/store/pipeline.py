"""Several statements in one round trip, below SQLAlchemy and within its transaction.

For the engine's hot path only: a step of a run is worth about a millisecond,
and a statement that is waited for costs a tenth of one before it does anything.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import psycopg
from sqlalchemy.exc import DBAPIError

from xyn_reconciler.store.database import Connection

Asked = tuple[bytes, Sequence[Any] | Mapping[str, Any]]
"""A statement and its parameters, as psycopg takes them."""


def send(connection: Connection, asked: Sequence[Asked]) -> list[tuple[Any, ...]]:
    """Send statements together; the rows of the first one. It begins the transaction, if need be.

    Raises as SQLAlchemy would, so that ``Database.begin()`` finds what it knows.
    """
    if not asked:
        return []
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    try:
        if len(asked) == 1:
            # A pipeline costs the interpreter more than the round trip that BEGIN takes.
            first = _execute(driver, *asked[0])
        else:
            with driver.pipeline():
                first, *_ = [_execute(driver, *each) for each in asked]
        # Asked for its description, psycopg would make an object of each column.
        return first.fetchall() if first.rownumber is not None else []
    except psycopg.Error as error:
        raise cast(
            "Exception",
            DBAPIError.instance(
                None,
                None,
                error,
                psycopg.Error,
                hide_parameters=True,
                connection_invalidated=driver.broken,
            ),
        ) from error


def _execute(
    driver: psycopg.Connection, statement: bytes, given: Sequence[Any] | Mapping[str, Any]
) -> "psycopg.RawCursor[tuple[Any, ...]]":
    numbered, names = _numbered(statement)
    values = [given[name] for name in names] if isinstance(given, Mapping) else given
    return psycopg.RawCursor(driver).execute(numbered, values)


@functools.cache
def _numbered(statement: bytes) -> tuple[bytes, list[str]]:
    """Write ``$1`` for each ``%s`` or name; the names in that order.

    psycopg does so too, but reads a statement of more than 4096 bytes anew each time.
    """
    names: list[str] = []

    def number(found: re.Match[bytes]) -> bytes:
        name = (found[1] or b"%d" % len(names)).decode()
        if name not in names:
            names.append(name)
        return b"$%d" % (names.index(name) + 1)

    return re.sub(rb"%(?:\((\w+)\))?s", number, statement), names
