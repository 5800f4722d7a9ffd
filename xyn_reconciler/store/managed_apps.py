"""The inventory of apps that this node brought up, and how each of them is."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.tables import ManagedAppRow

Status = Literal["up", "failing"]


@dataclass(frozen=True, slots=True)
class ManagedApp:
    """One row."""

    pack_id: str
    project: str
    wanted: str
    status: Status
    reason: str
    message: str
    services: Sequence[Mapping[str, Any]]
    """``{name, state, fingerprint}`` of each, as it was brought up; none where it never was."""
    failures: int
    next_try_at: dt.datetime | None
    since: dt.datetime


_COLUMNS = (
    ManagedAppRow.pack_id,
    ManagedAppRow.project,
    ManagedAppRow.wanted,
    ManagedAppRow.status,
    ManagedAppRow.reason,
    ManagedAppRow.message,
    ManagedAppRow.services,
    ManagedAppRow.failures,
    ManagedAppRow.next_try_at,
    ManagedAppRow.since,
)


def managed_apps(connection: Connection) -> dict[str, ManagedApp]:
    """Give all of them by pack."""
    found = connection.execute(select(*_COLUMNS)).mappings()
    return {row["pack_id"]: ManagedApp(**row) for row in found}


def get_managed_app(connection: Connection, pack_id: str) -> ManagedApp | None:
    wanted = select(*_COLUMNS).where(ManagedAppRow.pack_id == pack_id)
    row = connection.execute(wanted).mappings().first()
    return None if row is None else ManagedApp(**row)


def save(connection: Connection, app: ManagedApp) -> None:
    """Put one in the place of what is there."""
    values = asdict(app)
    connection.execute(
        insert(ManagedAppRow)
        .values(**values)
        .on_conflict_do_update(
            index_elements=[ManagedAppRow.pack_id],
            set_={key: value for key, value in values.items() if key != "pack_id"},
        )
    )


def forget(connection: Connection, pack_id: str) -> None:
    connection.execute(delete(ManagedAppRow).where(ManagedAppRow.pack_id == pack_id))
