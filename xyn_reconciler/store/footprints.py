"""The months of the table ``footprints``: a partition each, made before its first row comes.

A month of footprints is dropped as a whole, and an old one costs a new one nothing.
``records`` makes the months that a rebuild needs, the maintenance those to come.

The trap: rows that came before their month had a partition lie in the default one,
and Postgres refuses a partition whose rows the default holds. They are moved over.
"""

from collections.abc import Iterable

from sqlalchemy import text

from xyn_reconciler.store.database import Connection, lock_in_transaction

_LOCK = "xyn.footprints"

_THERE = text(
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'partitions'"
)


def ensure_months(connection: Connection, months: Iterable[str]) -> None:
    """Make the partition of each month, ``YYYY-MM`` in UTC, that has none."""
    wanted = {f"footprints_{month.replace('-', '_')}": month for month in months}
    if wanted.keys() <= _there(connection):
        return
    lock_in_transaction(connection, _LOCK)
    for name in sorted(wanted.keys() - _there(connection)):
        _make(connection, name, wanted[name])


def _there(connection: Connection) -> set[str]:
    return set(connection.execute(_THERE).scalars())


def _make(connection: Connection, name: str, month: str) -> None:
    year, number = int(month[:4]), int(month[5:7])
    first = f"{year:04d}-{number:02d}-01 00:00:00+00"
    end = f"{year + number // 12:04d}-{number % 12 + 1:02d}-01 00:00:00+00"
    within = f"occurred_at >= '{first}' AND occurred_at < '{end}'"
    # Nobody may write into the default while its rows are moved.
    moved = f"DELETE FROM partitions.footprints_other WHERE {within} RETURNING *"  # noqa: S608 - digits alone
    bounds = f"FROM ('{first}') TO ('{end}')"
    for statement in (
        "LOCK TABLE partitions.footprints_other IN ACCESS EXCLUSIVE MODE",
        f"CREATE TABLE partitions.{name} (LIKE footprints INCLUDING ALL)",
        f"WITH moved AS ({moved}) INSERT INTO partitions.{name} SELECT * FROM moved",  # noqa: S608 - as above
        f"ALTER TABLE footprints ATTACH PARTITION partitions.{name} FOR VALUES {bounds}",
    ):
        connection.exec_driver_sql(statement)
