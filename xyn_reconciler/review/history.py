"""What this node's records say of its last days: events, and the runs that they started.

Read from Git alone, by segment (``*.events.jsonl`` for events), so that 10,000 events are some
hundred objects. What is not recorded yet, a matter of the last hundred milliseconds, is not
in it: the window ends at the newest segment, so the same records give the same history
whatever the clock says.

The trap: an event may have several lines (a debounced one, say). They tell of the same
event; what they say of its runs adds up.
"""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.event import Event
from xyn_reconciler.record.read import DamagedRecordError
from xyn_reconciler.record.render import RUNS, month_of
from xyn_reconciler.store.git import Repository

_RUN_LINE: Final = b'{"kind":"run","run":{"run_id":"'
_PLAN_LINE: Final = b'{"kind":"plan","plan":{"digest":"'
_ID: Final = 36
_DIGEST: Final = 64

MOST_EVENTS: Final = 50_000
"""So many are looked at: seconds of work, on a node that has other things to do."""

Progress = Callable[[int], None]
"""Is told how many events have been read or looked at."""


class CancelledError(XynError):
    """Nobody waits for the answer any more."""

    code = "cancelled"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with what its record says of the runs that it started."""

    event: Event
    created_at: dt.datetime
    runs: Mapping[str, Mapping[str, Any]]
    """By blueprint: ``run_id``, ``plan_digest``, ``revision``, ``actor`` ... of the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The events of a time, from the oldest."""

    tips: Mapping[str, str]
    """The records that were read: ref to commit."""
    since: dt.datetime
    until: dt.datetime
    truncated: bool = False
    """Whether there were too many: ``since`` is later than was asked for."""
    events: tuple[Recorded, ...]
    segments: tuple[str, ...] = field(repr=False)
    """The blobs that hold runs and plans of that time, the oldest first."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's newest record, and its plan."""

    line: Mapping[str, Any]
    plan: Mapping[str, Any]


def read_history(
    repository: Repository,
    node_id: str,
    window: dt.timedelta,
    *,
    most: int = MOST_EVENTS,
    progress: Progress = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> History | None:
    """Read what one node recorded in ``window`` before its newest record; None without any.

    Of more than about ``most`` events the newest.

    Raises :class:`CancelledError`, and ``DamagedRecordError`` for records that cannot be read.
    """
    tips = repository.refs(f"{RUNS}{node_id}/")
    until: dt.datetime | None = None
    since = dt.datetime.min.replace(tzinfo=dt.UTC)
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    runs: list[str] = []
    truncated = False
    for moment, path, blob in _newest_first(repository, tips):
        if until is None:
            # A folder names a whole second; what stands in it came before the second's end.
            until = moment + dt.timedelta(seconds=1)
            since = until - window
        if moment + dt.timedelta(seconds=1) < since:
            break
        if cancelled():
            raise CancelledError("the backtest was cancelled")
        if not path.endswith(".events.jsonl"):
            runs.append(blob)
            continue
        for line in _lines(repository, blob, path):
            _add(found, line)
        progress(len(found))
        if len(found) >= most:
            # What came since then was written since then: nothing of it is missing.
            since, truncated = max(since, moment), True
            break
    if until is None:
        return None
    events = [each for each in map(_recorded, found.values()) if each.created_at >= since]
    events.sort(key=lambda each: (each.created_at, each.event.event_id))
    return History(
        tips={ref: tips[ref] for ref in tips if month_of(ref) >= f"{since:%Y-%m}"},
        since=since,
        until=until,
        truncated=truncated,
        events=tuple(events),
        segments=tuple(reversed(runs)),
    )


def read_runs(
    repository: Repository,
    history: History,
    wanted: Mapping[str, str],
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, RunRecord]:
    """Give the newest record of these runs (run id to plan digest), where there is one.

    Other lines are passed over unread: a run's id is the first thing that its line says.
    """
    digests = frozenset(wanted.values())
    lines: dict[str, bytes] = {}
    plans: dict[str, bytes] = {}
    for blob in history.segments if wanted else ():
        if cancelled():
            raise CancelledError("the backtest was cancelled")
        for line in repository.read(blob).split(b"\n"):
            if line.startswith(_RUN_LINE):
                run_id = line[len(_RUN_LINE) : len(_RUN_LINE) + _ID].decode()
                if run_id in wanted:
                    lines[run_id] = line
            elif line.startswith(_PLAN_LINE):
                digest = line[len(_PLAN_LINE) : len(_PLAN_LINE) + _DIGEST].decode()
                if digest in digests:
                    plans[digest] = line
    read = {digest: json.loads(line)["plan"]["plan"] for digest, line in plans.items()}
    return {
        run_id: RunRecord(json.loads(line), read[wanted[run_id]])
        for run_id, line in lines.items()
        if wanted[run_id] in read
    }


def find_run(repository: Repository, node_id: str, run_id: str) -> RunRecord | None:
    """Give the newest record of one run, however old it is."""
    tips = repository.refs(f"{RUNS}{node_id}/")
    start = _RUN_LINE + run_id.encode()
    for _, path, blob in _newest_first(repository, tips):
        content = b"" if path.endswith(".events.jsonl") else repository.read(blob)
        if start not in content:
            continue
        lines = content.split(b"\n")
        line = json.loads(next(each for each in reversed(lines) if each.startswith(start)))
        for each in lines:
            plan = json.loads(each)["plan"] if each.startswith(_PLAN_LINE) else {}
            if plan.get("digest") == line["run"]["plan_digest"]:
                return RunRecord(line, plan["plan"])
    return None


def _newest_first(
    repository: Repository, tips: Mapping[str, str]
) -> Iterator[tuple[dt.datetime, str, str]]:
    """Give (moment, path, blob) of every segment; a day's folder is read when it is come to."""
    for ref in sorted(tips, key=month_of, reverse=True):
        for day in range(31, 0, -1):
            found = [
                (f"{day:02}/{entry.text}", entry.sha)
                for entry in repository.entries_below(tips[ref], f"{day:02}")
                if entry.text is not None and entry.text.endswith(".jsonl")
            ]
            for path, blob in reversed(found):
                yield _moment(month_of(ref), path), path, blob


def _moment(month: str, path: str) -> dt.datetime:
    """Say when a segment was written, to the second."""
    day, hour, minute, second, _ = path.split("/", 4)
    return dt.datetime.fromisoformat(f"{month}-{day}T{hour}:{minute}:{second}Z")


def _lines(repository: Repository, blob: str, path: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(repository.read(blob).split(b"\n"), start=1):
        if not line:
            continue
        try:
            value = json.loads(line)
            if value["kind"] == "event" and "forgotten" not in value:
                yield value
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedRecordError(f"{path}:{number} is not a record") from error


def _add(found: dict[str, tuple[dict[str, Any], dict[str, Any]]], line: Mapping[str, Any]) -> None:
    event = line["event"]
    _, runs = found.setdefault(event["event_id"], (event, {}))
    for run in line["runs"]:
        # A re-run of it names the same event; what the event started comes without an origin.
        if run.get("origin_run_id") is None:
            runs.setdefault(run["blueprint_id"], run)


def _recorded(given: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Recorded:
    row, runs = given
    return Recorded(event_of(row), dt.datetime.fromisoformat(row["created_at"]), runs)


def event_of(row: Mapping[str, Any]) -> Event:
    """Give the event of its recorded row."""
    return Event(
        event_id=uuid.UUID(row["event_id"]),
        event_name=row["event_name"],
        occurred_at=dt.datetime.fromisoformat(row["occurred_at"]),
        env_id=row["env_id"],
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        run_id=_id(row.get("run_id")),
        step_id=_id(row.get("step_id")),
        resource=row.get("resource"),
        data=row["data"],
        source=row["source"],
        delivery_id=row.get("delivery_id"),
        delivery_item=row.get("delivery_item", 0),
        hops=row.get("hops", 0),
    )


def _id(text: str | None) -> uuid.UUID | None:
    return None if text is None else uuid.UUID(text)


def started(history: History, blueprints: Collection[str]) -> dict[str, str]:
    """Give run id to plan digest of every run of these blueprints that the events started."""
    return {
        run["run_id"]: run["plan_digest"]
        for each in history.events
        for blueprint_id, run in each.runs.items()
        if blueprint_id in blueprints
    }
