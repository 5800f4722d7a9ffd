"""Fire what is due: schedules by the clock, debounced events when their key is quiet.

The node calls :meth:`Clockwork.tick` every second, with the transaction's
connection. A schedule is a row that follows the applied documents. A slot that
fires is an event with the delivery id ``<node>/<blueprint>/<trigger>/<slot>``, written
in the transaction that moves the row on: the unique index on deliveries keeps it from
firing twice, over restarts, several processes and a rebuilt database. The node stands
in it because ``nodes:`` may name several, and each has the others' events in its index.

The traps: a new schedule starts from the moment at which its revision was applied,
not from when its file was written; and a clock that is put back must neither fire
again nor fall silent until it has caught up.
"""

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from xyn_reconciler.model import ids
from xyn_reconciler.model.blueprint import SCHEDULE_EVENT
from xyn_reconciler.model.event import SYSTEM_ACTOR, Event, isoformat
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store import schedules as store
from xyn_reconciler.store import suppressions as storm_store
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.schedules import Schedule, Waiting
from xyn_reconciler.trigger import cron
from xyn_reconciler.trigger.active import View
from xyn_reconciler.trigger.intake import HERE, Intake
from xyn_reconciler.trigger.match import SCHEDULE

AT_ONCE: Final = 200
"""Schedules, and quiet keys, of one tick; the next one follows in a second."""

logger = logging.getLogger(__name__)


class Clockwork:
    """One per node process. Several may tick on one database: each slot fires once."""

    def __init__(self, intake: Intake, *, new_id: Callable[[], uuid.UUID] = ids.new_id) -> None:
        self._intake = intake
        self._new_id = new_id
        self._wanted: tuple[tuple[uuid.UUID, int], frozenset[Schedule]] | None = None
        """The schedules that are live here, and the revision that says so."""

    def tick(self, connection: Connection, now: dt.datetime) -> int:
        """Fire what is due at ``now``, in the caller's transaction; how many events and runs."""
        view = self._intake.view(connection)
        node_id = view.index.node.id
        _follow(connection, self._live(view), node_id, now)
        fired = self._fire(connection, node_id, now) + self._start_quiet(connection, now)
        storm_store.forget_ended(connection, now=now)
        return fired

    def _live(self, view: View) -> frozenset[Schedule]:
        if self._wanted is None or self._wanted[0] != view.position:
            self._wanted = view.position, live_schedules(view)
        return self._wanted[1]

    def _fire(self, connection: Connection, node_id: str, now: dt.datetime) -> int:
        fired = 0
        for waiting in store.due_schedules(
            connection, now=now, ahead=now + cron.LATE, limit=AT_ONCE
        ):
            schedule = waiting.schedule
            found = _due(waiting, now)
            if found.passed_over:
                logger.warning("%s/%d: missed slots do not fire", *_place(schedule))
            events = [self._event(schedule, node_id, slot) for slot in found.slots]
            if events:
                self._intake.take_in_each(connection, [events])
            store.save_looked(connection, schedule, looked_until=now, next_at=_next(schedule, now))
            fired += len(events)
        return fired

    def _event(self, schedule: Schedule, node_id: str, slot: dt.datetime) -> Event:
        event_id = self._new_id()
        return Event(
            event_id=event_id,
            event_name=schedule.event_name,
            occurred_at=slot,
            env_id=HERE,
            actor=SYSTEM_ACTOR,
            correlation_id=str(event_id),
            resource={"type": "blueprint", "id": schedule.blueprint_id},
            data={
                "blueprint_id": schedule.blueprint_id,
                "trigger": schedule.trigger_index,
                "slot": isoformat(slot),
                "cron": schedule.cron,
                "timezone": schedule.timezone,
            },
            source=SCHEDULE,
            delivery_id=f"{_prefix(node_id, schedule)}{slot:%Y-%m-%dT%H:%M:%SZ}",
        )

    def _start_quiet(self, connection: Connection, now: dt.datetime) -> int:
        quiet = storm_store.take_quiet(connection, now=now, limit=AT_ONCE)
        for key, event_id in quiet:
            stored = event_store.get_event(connection, event_id)
            if stored is not None:
                self._intake.start_paused(connection, key, stored.event)
        return len(quiet)


def schedules_of(document: Mapping[str, Any]) -> list[Schedule]:
    """Give the schedules of a normalised blueprint document, by place."""
    return [
        Schedule(
            blueprint_id=document["id"],
            trigger_index=index,
            cron=trigger["schedule"]["cron"],
            timezone=trigger["schedule"].get("timezone", "UTC"),
            missed=trigger["schedule"].get("missed", "last"),
            event_name=trigger.get("event_type") or SCHEDULE_EVENT,
        )
        for index, trigger in enumerate(document.get("triggers") or ())
        if trigger.get("schedule") is not None
    ]


def live_schedules(view: View) -> frozenset[Schedule]:
    """The schedules that fire on this node."""
    return frozenset(
        schedule
        for name, blueprint in view.blueprints.items()
        if view.starts_runs and view.index.is_live(name)
        for schedule in schedules_of(blueprint.document)
    )


def _follow(
    connection: Connection, wanted: frozenset[Schedule], node_id: str, now: dt.datetime
) -> None:
    """Make the rows what the active revision says; one that stays keeps its place in time."""
    if wanted == set(store.all_schedules(connection)):
        return
    store.lock_schedules(connection)
    there = set(store.all_schedules(connection))
    store.remove_schedules(connection, sorted(there - wanted, key=_place))
    began = store.applied_at(connection) or now
    for schedule in sorted(wanted - there, key=_place):
        # After a rebuild the events say what fired; what passed since then was missed.
        fired = store.last_slot_fired(connection, _prefix(node_id, schedule))
        since = began if fired is None else max(began, fired)
        store.add_schedule(connection, schedule, looked_until=since, next_at=_next(schedule, since))


def _due(waiting: Waiting, now: dt.datetime) -> cron.Due:
    schedule = waiting.schedule
    if waiting.looked_until > now:
        return cron.Due([], 0)
    return cron.due(schedule.cron, schedule.timezone, schedule.missed, waiting.looked_until, now)


def _next(schedule: Schedule, after: dt.datetime) -> dt.datetime | None:
    return next(iter(cron.next_slots(schedule.cron, schedule.timezone, after, 1)), None)


def _place(schedule: Schedule) -> tuple[str, int]:
    return schedule.blueprint_id, schedule.trigger_index


def _prefix(node_id: str, schedule: Schedule) -> str:
    return f"{node_id}/{schedule.blueprint_id}/{schedule.trigger_index}/"
