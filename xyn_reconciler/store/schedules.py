"""Schedules as rows: which exist, which are due, up to where each was looked at.

``trigger.schedule`` alone writes them. The trap: two processes may look at once.
A due row is taken under its lock, and whoever finds it locked passes by: the
other one fires it, and a slot's delivery id is unique besides.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import delete, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.tables import EventRow, NodeRow, ScheduleRow

SOURCE = "schedule"
"""The ``source`` of the events that schedules emit."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as its blueprint has it."""

    blueprint_id: str
    trigger_index: int
    cron: str
    timezone: str
    missed: Literal["skip", "last", "all"]
    event_name: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A schedule, and up to where its slots were looked at."""

    schedule: Schedule
    looked_until: dt.datetime


_SCHEDULE = (
    ScheduleRow.blueprint_id,
    ScheduleRow.trigger_index,
    ScheduleRow.cron,
    ScheduleRow.timezone,
    ScheduleRow.missed,
    ScheduleRow.event_name,
)


def lock_schedules(connection: Connection) -> None:
    """Let nobody else change which schedules there are until the transaction ends."""
    connection.execute(text("LOCK TABLE schedules IN SHARE ROW EXCLUSIVE MODE"))


def all_schedules(connection: Connection) -> list[Schedule]:
    rows = connection.execute(select(*_SCHEDULE))
    return [_schedule(tuple(row)) for row in rows]


def remove_schedules(connection: Connection, gone: Sequence[Schedule]) -> None:
    """Take out schedules that are no more, or are other ones now."""
    keys = [(each.blueprint_id, each.trigger_index) for each in gone]
    if keys:
        connection.execute(
            delete(ScheduleRow).where(
                tuple_(ScheduleRow.blueprint_id, ScheduleRow.trigger_index).in_(keys)
            )
        )


def add_schedule(
    connection: Connection,
    schedule: Schedule,
    *,
    looked_until: dt.datetime,
    next_at: dt.datetime | None,
) -> None:
    connection.execute(
        insert(ScheduleRow).values(**asdict(schedule), looked_until=looked_until, next_at=next_at)
    )


def applied_at(connection: Connection) -> dt.datetime | None:
    """When the revision that is active here became so."""
    return connection.execute(select(NodeRow.applied_at)).scalar_one()


def last_slot_fired(connection: Connection, prefix: str) -> dt.datetime | None:
    """The newest slot among this schedule's events; ``prefix`` begins their delivery ids.

    It names the node: a clone's index holds the events of other nodes' slots as well.
    """
    found = connection.execute(
        select(func.max(EventRow.occurred_at)).where(
            EventRow.source == SOURCE, func.starts_with(EventRow.delivery_id, prefix)
        )
    )
    return found.scalar_one()


def due_schedules(
    connection: Connection, *, now: dt.datetime, ahead: dt.datetime, limit: int
) -> list[Waiting]:
    """Take those with a slot up to ``now``, or looked at beyond ``ahead``: the clock went back."""
    rows = connection.execute(
        select(*_SCHEDULE, ScheduleRow.looked_until)
        .where(or_(ScheduleRow.next_at <= now, ScheduleRow.looked_until > ahead))
        .order_by(ScheduleRow.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [Waiting(_schedule(tuple(row)[:-1]), row[-1]) for row in rows]


def save_looked(
    connection: Connection,
    schedule: Schedule,
    *,
    looked_until: dt.datetime,
    next_at: dt.datetime | None,
) -> None:
    """Note up to where a schedule was looked at, and its first slot after that."""
    connection.execute(
        update(ScheduleRow)
        .where(
            ScheduleRow.blueprint_id == schedule.blueprint_id,
            ScheduleRow.trigger_index == schedule.trigger_index,
        )
        .values(looked_until=looked_until, next_at=next_at)
    )


def _schedule(row: Sequence[Any]) -> Schedule:
    return Schedule(*row)
