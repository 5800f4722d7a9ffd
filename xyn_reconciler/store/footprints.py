"""What runs used up, and the months that it is kept by: a partition each, made beforehand.

A month of footprints is dropped as a whole, and an old one costs a new one nothing.
``records`` makes the months that a rebuild needs, the maintenance those to come.

The trap: rows that came before their month had a partition lie in the default one,
and Postgres refuses a partition whose rows the default holds. They are moved over.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text

from xyn_reconciler.store.database import Connection, lock_in_transaction
from xyn_reconciler.store.tables import FootprintRow

_LOCK = "xyn.footprints"

_THERE = text(
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'partitions'"
)


@dataclass(frozen=True, slots=True)
class Used:
    """One measure of a step, or of the run itself (seed 5.3)."""

    key: str
    """The step's; empty for what is the run's own."""
    metric: str
    source_kind: str
    source_ref: str
    quantity: float
    unit: str
    dims: Mapping[str, Any] | None
    occurred_at: dt.datetime


def of_run(connection: Connection, run_id: uuid.UUID) -> list[Used]:
    """Give all that a run used up, step by step."""
    columns = (
        FootprintRow.key,
        FootprintRow.metric,
        FootprintRow.source_kind,
        FootprintRow.source_ref,
        FootprintRow.quantity,
        FootprintRow.unit,
        FootprintRow.dims,
        FootprintRow.occurred_at,
    )
    wanted = (
        select(*columns)
        .where(FootprintRow.run_id == run_id)
        .order_by(FootprintRow.key, FootprintRow.source_ref, FootprintRow.metric)
    )
    return [Used(**row) for row in connection.execute(wanted).mappings()]


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
