"""What is left of a record when an event is forgotten. Pure: JSON in, JSON out.

One rule for rows and for lines, so that a rebuild gives the rows that
:mod:`.forget` leaves. That something happened, when, in which blueprint and how it
ended stays known; what was in it, and who, does not.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.event import SYSTEM_ACTOR

FORGOTTEN: Final = "forgotten"
"""Stands where a text was."""

_TELLING: Final = frozenset({"message", "name", "sha256"})
"""Fields of the platform's own events that may repeat content."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scrub:
    """Forgets one event; ``runs`` and ``told`` are what came of it (``store.forgetting``)."""

    event_id: uuid.UUID
    actor: str
    runs: frozenset[uuid.UUID]
    told: frozenset[uuid.UUID]
    tombstone: Mapping[str, str]
    """When and by whom, as it will stand in the event's line."""

    def line(self, line: Json) -> Json:
        """Give a line of a record without what is to be forgotten; else the line itself."""
        match line["kind"]:
            case "event":
                return self._event_line(line)
            case "run" if uuid.UUID(line["run"]["run_id"]) in self.runs:
                return self.record(line)
            case "artifact" if self._is_of_its_runs(line["artifact"]):
                return line | {"artifact": artifact(line["artifact"])}
        return line

    def record(self, record: Json) -> Json:
        """Give the record of one of the runs with its content taken out."""
        event = record["event"]
        return {
            **record,
            "run": self.run(record["run"]),
            "event": None if event is None else self.event(event),
            "steps": [_without(_error(row), "inputs", "outputs") for row in record["steps"]],
            "attempts": [_without(_error(row), "outputs") for row in record["attempts"]],
            "gates": [row | {"effect": {}} for row in record["gates"]],
            "approvals": [_without(row, "comment", "form") for row in record["approvals"]],
            "artifacts": [artifact(row) for row in record["artifacts"]],
            "events": [self.event(row) for row in record["events"]],
        }

    def run(self, run: Json) -> Json:
        """Give the row of one of the runs, or what an event's line says of it."""
        left = _error(run) | {"inputs": {}, "actor": self._who(run["actor"])}
        return left | {"outputs": {}} if "outputs" in left else left

    def event(self, event: Json) -> Json:
        """Give the event, or one of the platform's own about it; any other as it is."""
        event_id = uuid.UUID(event["event_id"])
        if event_id == self.event_id:
            return _without(event, "resource", "raw") | {"data": {}, "actor": FORGOTTEN}
        if event_id not in self.told:
            return event
        data = {key: FORGOTTEN if key in _TELLING else v for key, v in event["data"].items()}
        return event | {"data": data, "actor": self._who(event["actor"])}

    def _event_line(self, line: Json) -> Json:
        event_id = uuid.UUID(line["event"]["event_id"])
        if event_id != self.event_id and event_id not in self.told:
            return line
        left: dict[str, Any] = line | {
            "event": self.event(line["event"]),
            "runs": [
                self.run(run) if uuid.UUID(run["run_id"]) in self.runs else run
                for run in line["runs"]
            ],
        }
        if "suppressions" in left:
            left["suppressions"] = [_without(row, "key", "detail") for row in left["suppressions"]]
        if event_id == self.event_id:
            left.setdefault("forgotten", dict(self.tombstone))
        # Their keys are made of the content.
        return _without(left, "windows", "debounced")

    def _is_of_its_runs(self, row: Json) -> bool:
        return "run_id" in row and uuid.UUID(row["run_id"]) in self.runs

    def _who(self, actor: str) -> str:
        return FORGOTTEN if actor == self.actor and actor != SYSTEM_ACTOR else actor


def artifact(row: Json) -> Json:
    """Give an artifact's row: that there was one, and of which kind."""
    return _without(row, "sha256", "byte_length", "retention") | {"name": FORGOTTEN, "metadata": {}}


def _error(row: Json) -> Json:
    error = row.get("error")
    if error is None:
        return row
    left = {key: error[key] for key in ("code", "step") if key in error}
    return row | {"error": left | {"message": FORGOTTEN}}


def _without(row: Json, *names: str) -> Json:
    return {key: value for key, value in row.items() if key not in names}
