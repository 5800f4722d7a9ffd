"""Take in events: event, runs, wake-ups and what is to be recorded, in one transaction.

``service`` hands in what comes from outside (:meth:`Intake.take_in`) and what a
person starts (:meth:`Intake.start_run`); every loop hands in the platform's own
events (:meth:`Intake.emit`). Whoever calls owns the transaction: what is answered
after its commit is never lost (promise P1), and nothing is half done.

The trap: runs may themselves be events that start runs. Three things end that:
:data:`~.match.MAX_HOPS`, that a platform event about a run never starts that
run's own blueprint, and that events of runs which a platform event started
start nothing (two blueprints on ``xyn.run.*`` would double with every hop).
"""

import datetime as dt
import logging
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from xyn_reconciler.model import ids
from xyn_reconciler.model.capability import CompileRun
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError, XynError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import (
    RECORDED_WITH_THEIR_RUN,
    EventReceived,
    RunCreated,
    RunFailed,
    internal_event,
)
from xyn_reconciler.model.run import canonical
from xyn_reconciler.store import dispatch, outbox
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store import runs as run_store
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.desired import Document
from xyn_reconciler.store.runs import NewRun
from xyn_reconciler.trigger import delivery_ids, event_names
from xyn_reconciler.trigger.active import ActiveState, View
from xyn_reconciler.trigger.match import MAX_HOPS, Explanation

PLATFORM: Final = "xyn"

logger = logging.getLogger(__name__)


class IdempotencyKeyReusedError(ConflictError):
    """An ``Idempotency-Key`` came before, with another event."""

    code = "idempotency_key_reused"


class NotActiveError(ConflictError):
    """This node starts nothing at the moment."""

    code = "node_not_active"


class InvalidInputsError(InvalidError):
    """The inputs that a person gave do not fit the blueprint."""

    code = "invalid_inputs"


class Redactor(Protocol):
    """What keeps secret values out of rows; ``model.redaction.Redactor`` is one."""

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Give a JSON value without secrets."""
        ...

    def bytes(self, data: bytes) -> bytes:
        """Give bytes without secrets."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of events that were handed in."""

    event_ids: list[uuid.UUID]
    """In the order given; for what had come before, the id from then."""
    duplicate: bool
    """Whether all of it had come before."""
    run_ids: list[uuid.UUID]
    held: list[str] = field(default_factory=list)
    """What would have started, and why it did not."""


@dataclass(slots=True)
class _Consequences:
    """What follows from events, to be written in one go."""

    runs: list[NewRun] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    started_by_platform: set[uuid.UUID] = field(default_factory=set)


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Intake:
    """One per process; safe from any thread."""

    def __init__(
        self,
        compile_run: CompileRun,
        redactor: Redactor,
        *,
        clock: Callable[[], dt.datetime] = _utc_now,
        new_id: Callable[[], uuid.UUID] = ids.new_id,
    ) -> None:
        self._compile = compile_run
        self._redactor = redactor
        self._clock = clock
        self._new_id = new_id
        self._active = ActiveState()

    def view(self, connection: Connection) -> View:
        """Give the active blueprints and node settings as this transaction sees them."""
        return self._active.view(connection)

    def explain(self, connection: Connection, event: Event) -> list[Explanation]:
        """Say of every trigger why this event fits it, or does not."""
        return self._active.view(connection).index.explain(event)

    def take_in(self, connection: Connection, events: Sequence[Event]) -> Receipt:
        """Store events from outside and start what they trigger.

        A (source, delivery id, item) that came before makes no new event.
        Raises :class:`~.event_names.ReservedNameError`, and
        :class:`IdempotencyKeyReusedError` for another event under a key of the API.
        """
        for event in events:
            event_names.refuse_reserved(event.event_name)
        clean, now = [self._redacted(event) for event in events], self._clock()
        # Of parallel copies one gets past this statement; the others wait here for it.
        stored = event_store.insert_events(connection, clean, now=now)
        new = set(stored.event_ids)
        fresh = [event for event in clean if event.event_id in new]
        follows = _Consequences()
        if stored.position is not None:
            view = self._active.view_at(connection, stored.position)
            follows = self._consequences(connection, view, fresh, now)
        self._save(connection, follows, fresh, now)
        return Receipt(
            event_ids=_ids(connection, clean, fresh),
            duplicate=bool(clean) and not fresh,
            run_ids=[run.run_id for run in follows.runs],
            held=follows.held,
        )

    def emit(self, connection: Connection, events: Sequence[Event]) -> None:
        """Store the platform's own events and start what they trigger (``model.EmitEvents``)."""
        now = self._clock()
        clean = [self._redacted(event) for event in events]
        stored = event_store.insert_events(connection, clean, now=now)
        if stored.position is None:
            return
        view = self._active.view_at(connection, stored.position)
        follows = _Consequences()
        if any(view.index.waits_for(event.event_name) for event in clean):
            follows = self._consequences(connection, view, clean, now)
        self._save(connection, follows, clean, now)

    def start_run(
        self,
        connection: Connection,
        blueprint_id: str,
        given: Mapping[str, Any],
        *,
        actor: str,
        correlation_id: str,
        name: str | None = None,
        priority: int = 0,
        run_id: uuid.UUID | None = None,
    ) -> uuid.UUID:
        """Start a run by hand and give its id.

        With a ``run_id`` of the caller's own (made of an idempotency key) a
        repeat starts nothing. Raises :class:`NotFoundError`,
        :class:`NotActiveError` or :class:`InvalidInputsError`.
        """
        view, now = self._active.view(connection), self._clock()
        blueprint = view.blueprints.get(blueprint_id)
        if blueprint is None:
            raise NotFoundError(f"no blueprint {blueprint_id!r} is active here")
        if not view.starts_runs:
            mode = view.settings.get("mode", "shadow")
            raise NotActiveError(f"this node is in mode {mode!r} and starts no runs")
        inputs = self._redactor.value(dict(given))
        run = self._new_run(
            view,
            blueprint,
            run_id=run_id or self._new_id(),
            event=None,
            given=inputs,
            actor=actor,
            correlation_id=correlation_id,
            now=now,
        )
        if run.error is not None:
            raise InvalidInputsError(
                str(run.error.get("message", "the inputs do not fit")), details=run.error
            )
        run = replace(run, name=name or run.name, priority=priority)
        if run_store.insert_runs(connection, [run]):
            dispatch.enqueue(connection, run.run_id, priority=priority)
            self.emit(connection, [_created(run, view.env_id, now)])
        return run.run_id

    def _redacted(self, event: Event) -> Event:
        return replace(
            event,
            delivery_id=None
            if event.delivery_id is None
            else delivery_ids.fitted(event.delivery_id),
            data=self._redactor.value(event.data),
            resource=self._redactor.value(event.resource),
            raw=None if event.raw is None else self._redactor.bytes(event.raw),
        )

    def _consequences(
        self, connection: Connection, view: View, events: Sequence[Event], now: dt.datetime
    ) -> _Consequences:
        """Match events, and the events that follow from them, until nothing more follows."""
        follows = _Consequences()
        waiting = deque(events)
        while waiting:
            event = waiting.popleft()
            started = self._start_matching(connection, view, event, now, follows)
            told = [internal for run in started for internal in _told(run, event.env_id, now)]
            if event.source != PLATFORM:
                told.append(_received(event, len(started), now))
            follows.runs += started
            follows.events += told
            waiting += (each for each in told if view.index.waits_for(each.event_name))
        return follows

    def _start_matching(
        self,
        connection: Connection,
        view: View,
        event: Event,
        now: dt.datetime,
        follows: _Consequences,
    ) -> list[NewRun]:
        if event.hops >= MAX_HOPS and view.index.waits_for(event.event_name):
            _hold(follows, f"{event.event_name}: {event.hops} runs lie behind it: a loop")
        matches = view.index.matches(event) if view.starts_runs else []
        if matches and self._is_echo(connection, event, follows):
            _hold(follows, f"{event.event_name}: its run was itself started by a platform event")
            return []
        started = []
        for match in matches:
            if event.source == PLATFORM and event.data.get("blueprint_id") == match.blueprint_id:
                _hold(follows, f"{match.blueprint_id}: {event.event_name} tells of its own run")
                continue
            try:
                run = self._new_run(
                    view,
                    view.blueprints[match.blueprint_id],
                    run_id=self._new_id(),
                    event=event,
                    given=None,
                    actor=event.actor,
                    correlation_id=event.correlation_id,
                    now=now,
                )
            except XynError as error:
                # One blueprint's trouble must not lose the event or the other blueprints' runs.
                _hold(follows, f"{match.blueprint_id}: cannot be compiled: {error.message}")
                continue
            started.append(run)
            if event.source == PLATFORM:
                follows.started_by_platform.add(run.run_id)
        return started

    def _is_echo(self, connection: Connection, event: Event, follows: _Consequences) -> bool:
        if event.source != PLATFORM or event.run_id is None:
            return False
        if event.run_id in follows.started_by_platform:
            return True
        return bool(event_store.runs_started_by_the_platform(connection, [event.run_id]))

    def _new_run(
        self,
        view: View,
        blueprint: Document,
        *,
        run_id: uuid.UUID,
        event: Event | None,
        given: Mapping[str, Any] | None,
        actor: str,
        correlation_id: str,
        now: dt.datetime,
    ) -> NewRun:
        if view.plan_node is None:
            raise NotActiveError("no revision is active here yet")
        compiled = self._compile(
            blueprint.document,
            path=blueprint.path,
            blob_id=blueprint.blob_id,
            files=view.files_of(blueprint),
            node=view.plan_node,
            event=event,
            given=given,
        )
        return NewRun(
            run_id=run_id,
            name=compiled.plan.blueprint_name,
            blueprint_id=blueprint.document_id,
            revision=str(view.revision),
            plan=compiled.plan,
            plan_digest=compiled.digest,
            created_at=now,
            actor=actor,
            correlation_id=correlation_id,
            inputs=compiled.inputs,
            event_id=None if event is None else event.event_id,
            hops=1 if event is None else event.hops + 1,
            error=compiled.error,
        )

    def _save(
        self,
        connection: Connection,
        follows: _Consequences,
        stored: Sequence[Event],
        now: dt.datetime,
    ) -> None:
        """Write what follows from events that are stored already, and what is to be recorded."""
        event_store.insert_events(connection, follows.events, now=now)
        run_store.insert_runs(connection, follows.runs)
        for run in follows.runs:
            if run.error is None:
                dispatch.enqueue(connection, run.run_id, priority=run.priority)
        told = [*stored, *follows.events]
        alone = [event.event_id for event in told if not _stands_in_its_run(event)]
        outbox.put(connection, "event", alone, now)
        ended = [run.run_id for run in follows.runs if run.error is not None]
        outbox.put(connection, "run", ended, now)


def _hold(follows: _Consequences, reason: str) -> None:
    follows.held.append(reason)
    logger.warning("nothing started: %s", reason)


def _stands_in_its_run(event: Event) -> bool:
    return (
        event.source == PLATFORM
        and event.run_id is not None
        and event.event_name.startswith(RECORDED_WITH_THEIR_RUN)
    )


def _created(run: NewRun, env_id: str, now: dt.datetime) -> Event:
    return internal_event(
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


def _told(run: NewRun, env_id: str, now: dt.datetime) -> list[Event]:
    created = _created(run, env_id, now)
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


def _received(event: Event, runs: int, now: dt.datetime) -> Event:
    return internal_event(
        EventReceived(name=event.event_name, source=event.source, runs=runs),
        resource_id=str(event.event_id),
        env_id=event.env_id,
        now=now,
        correlation_id=event.correlation_id,
        actor=event.actor,
        hops=event.hops,
    )


def _ids(connection: Connection, given: Sequence[Event], fresh: Sequence[Event]) -> list[uuid.UUID]:
    """Give the id of each event; for one that came before, the id it has had since then."""
    new = {event.event_id for event in fresh}
    known: dict[tuple[str, str], dict[int, Event]] = {}
    found = []
    for event in given:
        if event.event_id in new or event.delivery_id is None:
            found.append(event.event_id)
            continue
        key = (event.source, event.delivery_id)
        if key not in known:
            rows = event_store.find_delivery(connection, *key)
            known[key] = {row.delivery_item: row for row, _ in rows}
        before = known[key][event.delivery_item]
        if event.source == "api" and _content(before) != _content(event):
            raise IdempotencyKeyReusedError(
                "this Idempotency-Key came before, with another event: take a new key for it"
            )
        found.append(before.event_id)
    return found


def _content(event: Event) -> bytes:
    """What makes two deliveries under one key the same, however their bodies are spaced."""
    return canonical([event.event_name, event.resource, event.data])
