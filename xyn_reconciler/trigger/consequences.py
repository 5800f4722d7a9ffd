"""What follows from events: runs, what is told of them, and what was kept from starting.

One wave after another: events match, windows of ``dedupe`` are claimed, runs are
told of, and what is told may match again. Nothing of it is written here but the
claims, which only the database can decide; :mod:`.intake` writes the rest in one go.

The trap: runs may themselves be events that start runs. Three things end that:
:data:`~.match.MAX_HOPS`, that a platform event about a run never starts that
run's own blueprint, and that events of runs which a platform event started
start nothing (two blueprints on ``xyn.run.*`` would double with every hop).
"""

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.correlation import correlate
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import (
    RECORDED_WITH_THEIR_RUN,
    EventReceived,
    RunCreated,
    RunFailed,
    internal_event,
)
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store import suppressions as storm_store
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.runs import NewRun
from xyn_reconciler.store.suppressions import Claim, Held, Key, Suppression
from xyn_reconciler.trigger.active import View
from xyn_reconciler.trigger.match import MAX_HOPS, Match, Pause, Window
from xyn_reconciler.trigger.permission import ask_to_start

PLATFORM: Final = "xyn"

FAULT: Final = "Xyn itself failed"
"""How the detail of a suppression begins that a fault of our own is to blame for."""

OWN_RUN: Final = "it tells of this blueprint's own run"
ECHO: Final = "its run was itself started by a platform event"

NewRunOf = Callable[[View, str, Event], NewRun]
"""Compiles a blueprint's run for an event; raises ``XynError`` where that cannot be done."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Consequences:
    """What follows from events, to be written in one go."""

    runs: list[NewRun] = field(default_factory=list)
    told: list[tuple[Event, uuid.UUID]] = field(default_factory=list)
    """Each with the event that came."""
    held: dict[uuid.UUID, list[str]] = field(default_factory=dict)
    """What would have started and why it did not, by the event that came."""
    suppressions: list[Suppression] = field(default_factory=list)
    started_by: dict[uuid.UUID, list[uuid.UUID]] = field(default_factory=dict)
    """Runs by the event that came, also those that followed from it by others."""
    audit: list[AuditEntry] = field(default_factory=list)
    """What the rules said of starts, where that is kept."""
    recorded: set[uuid.UUID] = field(default_factory=set)
    """Events of a run's own record from which something followed: each needs a line as well."""

    def hold(self, root: uuid.UUID, reason: str) -> None:
        self.held.setdefault(root, []).append(reason)
        logger.warning("nothing started: %s", reason)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A run that starts unless a window says otherwise; ``root`` is the event that came."""

    event: Event
    match: Match
    run: NewRun
    root: uuid.UUID


class UndecidedError(Exception):
    """What follows from events cannot be said without asking the database."""


class Following:
    """Follows events to the end of what they bring about, for one transaction.

    Without a connection it raises :class:`UndecidedError` where it would have to ask.
    """

    def __init__(
        self, connection: Connection | None, view: View, new_run: NewRunOf, now: dt.datetime
    ) -> None:
        self._connection = connection
        self._view = view
        self._new_run = new_run
        self._now = now
        self._started_by_platform: set[uuid.UUID] = set()
        self._paused: set[uuid.UUID] = set()
        self.found = Consequences()

    @property
    def _database(self) -> Connection:
        if self._connection is None:
            raise UndecidedError
        return self._connection

    def follow(self, events: Iterable[Event]) -> Consequences:
        wave = [(event, event.event_id) for event in events]
        while wave:
            wave = self._wave(wave)
        return self.found

    def _wave(self, wave: Sequence[tuple[Event, uuid.UUID]]) -> list[tuple[Event, uuid.UUID]]:
        """Take one step; give the events that it told and that somebody waits for."""
        candidates = list[_Candidate]()
        for event, root in wave:
            # One transaction takes in the events of several requests.
            with correlate(correlation_id=event.correlation_id):
                candidates += self._candidates(event, root)
        started = self._admitted(candidates)
        following = []
        for event, root in wave:
            runs = [each.run for each in started if each.event is event]
            told = [told for run in runs for told in tell_of(run, event.env_id, self._now)]
            if event.source != PLATFORM:
                told.append(received(event, len(runs), self._now))
            elif runs:
                self._started_by_platform.update(run.run_id for run in runs)
            self.found.runs += runs
            self.found.started_by.setdefault(root, []).extend(run.run_id for run in runs)
            self.found.told += ((each, root) for each in told)
            following += [
                (each, root) for each in told if self._view.index.waits_for(each.event_name)
            ]
        self._record([event for event, _ in wave], started)
        return following

    def _record(self, wave: Sequence[Event], started: Sequence[_Candidate]) -> None:
        followed = {each.event.event_id for each in started} | self._paused
        followed.update(each.event_id for each in self.found.suppressions)
        self.found.recorded.update(
            event.event_id
            for event in wave
            if event.event_id in followed and stands_in_its_run(event)
        )

    def _candidates(self, event: Event, root: uuid.UUID) -> list[_Candidate]:
        index = self._view.index
        if event.hops >= MAX_HOPS and index.waits_for(event.event_name):
            self.found.hold(root, f"{event.event_name}: {event.hops} runs lie behind it: a loop")
        matches = index.matches(event) if self._view.starts_runs else []
        if matches and self._is_echo(event):
            self.found.hold(root, f"{event.event_name}: {ECHO}")
            return []
        if self._connection is None and any(match.calm is not None for match in matches):
            raise UndecidedError  # before anything is compiled in vain
        pauses = [match for match in matches if isinstance(match.calm, Pause)]
        found = []
        for match in matches:
            if tells_of_own_run(event, match.blueprint_id):
                self.found.hold(root, f"{match.blueprint_id}: {event.event_name}: {OWN_RUN}")
                continue
            if match in pauses:
                self._pause(event, match)
                continue
            if match.fault is not None:
                self._set_aside(event, match, root, fault_of(match.blueprint_id, match.fault))
                continue
            try:
                run = self._new_run(self._view, match.blueprint_id, event)
            except Exception as error:  # noqa: BLE001 - as the next line says
                # One blueprint's trouble must not lose the event or the other blueprints' runs.
                reason = why_not_compiled(match.blueprint_id, error)
                self._set_aside(event, match, root, reason)
                continue
            permitted = self._permitted(event, match, run, root)
            if permitted is not None:
                found.append(_Candidate(event, match, permitted, root))
        return found

    def _permitted(self, event: Event, match: Match, run: NewRun, root: uuid.UUID) -> NewRun | None:
        """Give the run as the rules let it start, if they do."""
        rules = self._view.rules
        permission = ask_to_start(rules, rules.principal(run.actor), run.blueprint_id, self._now)
        self.found.audit += permission.entries(self._now, by_a_person=False)
        if permission.refusal is None:
            return permission.applied(run)
        self.found.hold(root, f"{match.blueprint_id}: {permission.refusal}")
        self._suppress(event, match, "policy", detail=permission.refusal)
        return None

    def _set_aside(self, event: Event, match: Match, root: uuid.UUID, reason: str) -> None:
        self.found.hold(root, f"{match.blueprint_id}: {reason}")
        self._suppress(event, match, "invalid", detail=reason)

    def _admitted(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """Leave out those whose window another run holds."""
        claims = [
            Claim(_key(each.match), each.run.run_id, self._now + each.match.calm.length)
            for each in candidates
            if isinstance(each.match.calm, Window)
        ]
        if not claims:
            return list(candidates)
        holders = storm_store.claim_windows(self._database, claims, now=self._now)
        admitted = []
        for each in candidates:
            holder = (
                holders[_key(each.match)]
                if isinstance(each.match.calm, Window)
                else each.run.run_id
            )
            if holder == each.run.run_id:
                admitted.append(each)
            else:
                self._suppress(each.event, each.match, "dedupe", run_id=holder)
        return admitted

    def _pause(self, event: Event, match: Match) -> None:
        if not isinstance(match.calm, Pause):
            return
        key = _key(match)
        held = Held(key, event.event_id, self._now + match.calm.quiet, match.calm.at_most)
        before = storm_store.hold_back(self._database, held, now=self._now)
        self._paused.add(event.event_id)
        if before is not None:
            self.found.suppressions.append(
                Suppression(
                    event_id=before,
                    blueprint_id=key[0],
                    trigger_index=key[1],
                    reason="debounce",
                    key=key[2],
                )
            )

    def _suppress(
        self,
        event: Event,
        match: Match,
        reason: storm_store.Reason,
        *,
        run_id: uuid.UUID | None = None,
        detail: str | None = None,
    ) -> None:
        self.found.suppressions.append(
            Suppression(
                event_id=event.event_id,
                blueprint_id=match.blueprint_id,
                trigger_index=match.trigger_index,
                reason=reason,
                key=None if match.calm is None else match.calm.key,
                detail=detail,
                run_id=run_id,
            )
        )

    def _is_echo(self, event: Event) -> bool:
        if event.source != PLATFORM or event.run_id is None:
            return False
        if event.run_id in self._started_by_platform:
            return True
        return is_echo(self._database, event)


def why_not_compiled(blueprint_id: str, error: Exception) -> str:
    """What is said of an event whose run cannot be made; a fault of our own goes to the log."""
    if isinstance(error, XynError):
        return f"cannot be compiled: {error.message}"
    logger.error("a run of %s cannot be compiled", blueprint_id, exc_info=error)
    return fault_of(blueprint_id, type(error).__name__)


def fault_of(blueprint_id: str, kind: str) -> str:
    """Say that it is nobody's file that is wrong (the kind alone: its text may hold a secret)."""
    return f"{FAULT} at {blueprint_id} ({kind}); the node's log says where"


def is_echo(connection: Connection, event: Event) -> bool:
    """Whether an event tells of a run that one of the platform's own events started."""
    if event.source != PLATFORM or event.run_id is None:
        return False
    return bool(event_store.runs_started_by_the_platform(connection, [event.run_id]))


def stands_in_its_run(event: Event) -> bool:
    """Whether an event is told in its run's record, and needs no line of its own."""
    return (
        event.source == PLATFORM
        and event.run_id is not None
        and event.event_name.startswith(RECORDED_WITH_THEIR_RUN)
    )


def tells_of_own_run(event: Event, blueprint_id: str) -> bool:
    """Whether it is the platform's word on a run of this very blueprint."""
    return event.source == PLATFORM and event.data.get("blueprint_id") == blueprint_id


def _key(match: Match) -> Key:
    return match.blueprint_id, match.trigger_index, "" if match.calm is None else match.calm.key


def tell_of(run: NewRun, env_id: str, now: dt.datetime) -> list[Event]:
    """What the platform says of a run that it creates; one whose inputs do not fit has failed."""
    created = internal_event(
        RunCreated(
            blueprint_id=run.blueprint_id,
            revision=run.revision,
            event_id=None if run.event_id is None else str(run.event_id),
        ),
        resource_id=str(run.run_id),
        env_id=env_id,
        now=now,
        correlation_id=run.correlation_id,
        actor=run.actor,
        run_id=run.run_id,
        hops=run.hops,
    )
    if run.error is None:
        return [created]
    failed = internal_event(
        RunFailed(
            blueprint_id=run.blueprint_id,
            code=str(run.error.get("code", "invalid_inputs")),
            message=str(run.error.get("message", "")),
            step=None,
        ),
        resource_id=str(run.run_id),
        env_id=env_id,
        now=now,
        correlation_id=run.correlation_id,
        run_id=run.run_id,
        hops=run.hops,
    )
    return [created, failed]


def received(event: Event, runs: int, now: dt.datetime) -> Event:
    """The platform's word that an event came from outside."""
    return internal_event(
        EventReceived(name=event.event_name, source=event.source, runs=runs),
        resource_id=str(event.event_id),
        env_id=event.env_id,
        now=now,
        correlation_id=event.correlation_id,
        actor=event.actor,
        hops=event.hops,
    )
