"""What triggers wait for: the next times of schedules, and sources that accept nothing yet."""

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from xyn_reconciler.model.dto import Timestamp
from xyn_reconciler.service.context import Context
from xyn_reconciler.trigger import pressure
from xyn_reconciler.trigger.cron import next_slots
from xyn_reconciler.trigger.schedule import live_schedules, schedules_of
from xyn_reconciler.trigger.signature import secret_refs

TIMES: Final = 5
"""Next times that are shown."""


class ScheduleDto(BaseModel):
    """A schedule of a blueprint, and when it fires next."""

    model_config = ConfigDict(extra="forbid")

    blueprint_id: str
    trigger: int
    """Its place in ``triggers``, from 0."""
    cron: str
    timezone: str
    missed: str
    event_name: str
    live: bool
    """Whether it fires on this node (``nodes:``, and the node's own mode)."""
    next_times: list[Timestamp]


class SourceDto(BaseModel):
    """A webhook source that is active here."""

    model_config = ConfigDict(extra="forbid")

    source_id: str
    path: str
    scheme: str
    unset_secrets: list[str]
    """References of secrets that hold nothing here; where all do, every delivery is refused."""
    accepts: bool


class BacklogDto(BaseModel):
    """What waits to be handled, whose next runs step back in the queue, who was refused."""

    model_config = ConfigDict(extra="forbid")

    waiting: int
    """Runs that no worker has taken up yet."""
    limit: int
    slowed: dict[str, int]
    """Blueprint -> by how much of its priority; empty while the backlog is within its limit."""
    waiting_bytes: int
    """Of events that are not in Git yet, or wait with their run; counted a moment ago."""
    limit_bytes: int
    refused: dict[str, int]
    """Source -> requests that this process answered 429, for want of room."""


def next_times(document: Mapping[str, Any], now: dt.datetime) -> list[ScheduleDto]:
    """Give the schedules of a normalised blueprint document, active or only proposed."""
    return [
        ScheduleDto(
            blueprint_id=each.blueprint_id,
            trigger=each.trigger_index,
            cron=each.cron,
            timezone=each.timezone,
            missed=each.missed,
            event_name=each.event_name,
            live=False,
            next_times=next_slots(each.cron, each.timezone, now, TIMES),
        )
        for each in schedules_of(document)
    ]


def foretold(document: Mapping[str, Any], now: dt.datetime) -> list[str]:
    """Say for each schedule of a document that is only proposed when it would fire next."""
    return [
        f"{each.blueprint_id}: {each.cron} {each.timezone}: {_on_the_clock(each)}"
        for each in next_times(document, now)
    ]


def _on_the_clock(schedule: ScheduleDto) -> str:
    zone = zoneinfo.ZoneInfo(schedule.timezone)
    times = [each.astimezone(zone).isoformat(" ", "minutes") for each in schedule.next_times]
    return f"next {', '.join(times)}" if times else "never"


def list_schedules(context: Context) -> list[ScheduleDto]:
    """Give every schedule of the active blueprints, by blueprint and place."""
    with context.database.connect() as connection:
        view = context.intake.view(connection)
    live = {(each.blueprint_id, each.trigger_index) for each in live_schedules(view)}
    now = context.clock()
    return [
        each.model_copy(update={"live": (each.blueprint_id, each.trigger) in live})
        for _, blueprint in sorted(view.blueprints.items())
        for each in next_times(blueprint.document, now)
    ]


def list_sources(context: Context) -> list[SourceDto]:
    """Give the active webhook sources by id, each with the secrets that it still waits for."""
    with context.database.connect() as connection:
        view = context.intake.view(connection)
    return [
        _source(context, each.document, view.settings_at(each.path))
        for _, each in sorted(view.sources.items())
    ]


def backlog(context: Context) -> BacklogDto:
    """Give what pages say when starting runs slows, or when senders are refused."""
    headroom = context.intake.headroom
    with context.database.read() as connection:
        found = pressure.backlog(connection)
    waiting = headroom.waiting(context.database)
    return BacklogDto(
        waiting=found.waiting,
        limit=found.limit,
        slowed=dict(found.slowed),
        waiting_bytes=waiting.size,
        limit_bytes=waiting.limit,
        refused=dict(headroom.refused),
    )


def _source(context: Context, document: Mapping[str, Any], pack: Mapping[str, Any]) -> SourceDto:
    refs = secret_refs(document, pack)
    unset = [ref for ref in refs if not (context.secret(ref) or "").strip()]
    return SourceDto(
        source_id=document["id"],
        path=f"/hooks/{document['id']}",
        scheme=document["verify"]["scheme"],
        unset_secrets=unset,
        accepts=len(unset) < len(refs or ("none",)),
    )
