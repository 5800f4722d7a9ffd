"""Which of the events of a time would have started what, on one side of a backtest. Pure.

``dedupe`` and ``debounce`` are followed along the events' own times. What runs lasted is not
simulated, so ``concurrency`` keeps nothing from starting here; nor is the clock: a schedule
starts by the events that its slots emitted.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from xyn_reconciler.review.history import Recorded
from xyn_reconciler.trigger.match import SCHEDULE, Match, MatchIndex, Pause, Window

Key: TypeAlias = tuple[int, str]
"""The place of an event in its history, and a blueprint's id."""

_Calm: TypeAlias = tuple[str, int, str]
"""A blueprint, its trigger, and the key of its ``dedupe`` or ``debounce``."""


@dataclass(slots=True)
class _Held:
    """A debounced key that is not quiet yet."""

    number: int
    first_at: dt.datetime
    due_at: dt.datetime


@dataclass(slots=True)
class Starts:
    """What is started: feed it every event in order, then ask."""

    index: MatchIndex
    only: str | None = None
    """Of this blueprint alone."""
    started: set[Key] = field(default_factory=set)
    suppressed: dict[Key, str] = field(default_factory=dict)
    """What fitted and did not start: ``dedupe`` or ``debounce``."""
    _waits: dict[str, bool] = field(default_factory=dict)
    _windows: dict[_Calm, dt.datetime] = field(default_factory=dict)
    _held: dict[_Calm, _Held] = field(default_factory=dict)

    def take(self, number: int, recorded: Recorded) -> None:
        """Take in the next event."""
        event = recorded.event
        waits = self._waits.get(event.event_name)
        if waits is None:
            waits = self._waits[event.event_name] = self.index.waits_for(event.event_name)
        if not waits and event.source != SCHEDULE:
            return
        for match in self.index.matches(event):
            if self.only in (None, match.blueprint_id):
                self._take(number, match, recorded.created_at)

    def _take(self, number: int, match: Match, at: dt.datetime) -> None:
        key = (number, match.blueprint_id)
        match match.calm:
            case Window(name, length):
                calm = (match.blueprint_id, match.trigger_index, name)
                ends = self._windows.get(calm)
                if ends is not None and at < ends:
                    self.suppressed[key] = "dedupe"
                    return
                self._windows[calm] = at + length
            case Pause() as pause:
                self._pause(number, match, pause, at)
                return
        self.started.add(key)

    def _pause(self, number: int, match: Match, pause: Pause, at: dt.datetime) -> None:
        calm = (match.blueprint_id, match.trigger_index, pause.key)
        held = self._held.get(calm)
        if held is not None and at < held.due_at:
            self.suppressed[held.number, match.blueprint_id] = "debounce"
            held.number = number
            held.due_at = min(at + pause.quiet, held.first_at + pause.at_most)
            return
        if held is not None:
            self.started.add((held.number, match.blueprint_id))
        self._held[calm] = _Held(number, at, at + min(pause.quiet, pause.at_most))

    def finish(self) -> None:
        """Start what waits for its key to be quiet."""
        self.started.update(
            (held.number, blueprint) for (blueprint, _, _), held in self._held.items()
        )
        self._held.clear()


def follow(sides: Iterable[Starts], number: int, recorded: Recorded) -> None:
    """Feed one event to several sides."""
    for side in sides:
        side.take(number, recorded)
