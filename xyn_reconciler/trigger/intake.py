"""Take in events: event, runs, wake-ups and what is to be recorded, in one transaction.

``service`` hands in what comes from outside (:meth:`Intake.take_in`) and what a
person starts (:meth:`Intake.start_run`); every loop hands in the platform's own
events (:meth:`Intake.emit`). Whoever calls owns the transaction: what is answered
after its commit is never lost (promise P1), and nothing is half done.

What follows is decided with the picture of the active revision that is held in
memory, and written only if that picture is still the one in force: mostly an event
and all that follows from it is one statement. :mod:`.consequences` says what follows,
:mod:`.gather` lets concurrent requests share a transaction.

The trap: of parallel copies of a delivery the second waits in its insert for the
first to commit; until then nobody may have written that it starts something, nor
hold what another copy may wait for (a window).
"""

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from xyn_reconciler.model import ids
from xyn_reconciler.model.capability import CompileRun
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.correlation import correlate
from xyn_reconciler.model.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    XynError,
)
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import EventReceived
from xyn_reconciler.model.run import digest
from xyn_reconciler.store import audit, desired, dispatch, json_text, outbox
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store import runs as run_store
from xyn_reconciler.store import suppressions as storm_store
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.desired import Document
from xyn_reconciler.store.events import Told
from xyn_reconciler.store.pipeline import Asked, send
from xyn_reconciler.store.runs import NewRun
from xyn_reconciler.store.suppressions import Key, Reason, Suppression
from xyn_reconciler.trigger import delivery_ids, event_names
from xyn_reconciler.trigger.active import ActiveState, View
from xyn_reconciler.trigger.arrival import Arrival, Receipt
from xyn_reconciler.trigger.consequences import (
    FAULT,
    Consequences,
    Following,
    UndecidedError,
    stands_in_its_run,
    tell_of,
    why_not_compiled,
)
from xyn_reconciler.trigger.gather import Gathering
from xyn_reconciler.trigger.mapping import parse_body
from xyn_reconciler.trigger.match import MAX_HOPS, Explanation
from xyn_reconciler.trigger.permission import Permission, ask_to_start
from xyn_reconciler.trigger.pressure import Headroom, Pressure

HERE: Final = ""
"""For the ``env_id`` of an event from outside: intake writes the node's own."""


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
        self._pressure = Pressure()
        self.headroom = Headroom()
        self._gathering: Gathering[Event, Receipt] = Gathering(self._take_in_group)

    def view(self, connection: Connection) -> View:
        """Give the active blueprints and node settings as this transaction sees them."""
        return self._active.view(connection)

    def now(self, database: Database) -> View:
        """Give the picture that is in force at this moment; mostly that is a look at its number."""
        with database.read() as connection:
            return self._active.view_at(connection, desired.position(connection))

    def recent(self, database: Database) -> View:
        """Give it as it was a second ago at most, mostly without asking the database."""
        return self._active.recent(database)

    def explain(self, connection: Connection, event: Event) -> list[Explanation]:
        """Say of every trigger why this event fits it, or does not."""
        return self._active.view(connection).index.explain(event)

    # ── from outside ─────────────────────────────────────────────────────────────────────────

    def take_in(self, connection: Connection, events: Sequence[Event]) -> Receipt:
        """Store events from outside and start what they trigger.

        A (source, delivery id, item) that came before makes no new event.
        Raises :class:`~.event_names.ReservedNameError`, and
        :class:`IdempotencyKeyReusedError` for another event under a key of the API.
        """
        for event in events:
            event_names.refuse_reserved(event.event_name)
        (receipt,) = self.take_in_each(connection, [events])
        if isinstance(receipt, XynError):
            raise receipt
        return receipt

    def take_in_together(self, database: Database, events: Sequence[Event]) -> Receipt:
        """As :meth:`take_in`, in a transaction shared with whoever comes at the same time.

        What is answered is committed.
        """
        for event in events:
            event_names.refuse_reserved(event.event_name)
        return self._gathering.do(database, events)

    def take_in_each(
        self, connection: Connection, groups: Sequence[Sequence[Event]]
    ) -> list[Receipt | XynError]:
        """Take in what several senders sent, in one transaction; each has its own answer.

        An error is that of its group alone. The names have been looked at already.
        """
        view = self._active.held or self._active.view(connection)
        while not (arrival := self._arrival(groups, view)).store(connection, Consequences()):
            # Another revision is active by now: nothing was written, and it may be decided anew.
            view = self._active.view(connection)
        follows = Following(connection, view, self._run_for(arrival.now), arrival.now).follow(
            event for event in arrival.events if event.event_id in arrival.loud & arrival.new
        )
        self._save(connection, follows, arrival.now)
        return arrival.receipts(connection, follows)

    def _take_in_group(
        self, database: Database, groups: Sequence[Sequence[Event]]
    ) -> list[Receipt | XynError]:
        """As :meth:`take_in_each`, in a transaction of its own."""
        view = self._active.held
        if view is not None:
            with contextlib.suppress(UndecidedError):
                return self._take_in_at_once(database, self._arrival(groups, view))
        with database.begin() as connection:
            return self.take_in_each(connection, groups)

    def _take_in_at_once(self, database: Database, arrival: Arrival) -> list[Receipt | XynError]:
        """Take in what has nothing to ask before, by the one statement that writes it all.

        It leaves out what follows from an event that came before. Raises :class:`UndecidedError`
        where there is something to ask, or another revision is active: nothing was written then.
        """
        now = arrival.now
        follows = Following(None, arrival.view, self._run_for(now), now).follow(
            event for event in arrival.events if event.event_id in arrival.loud
        )
        apart = bool(follows.suppressions or follows.audit)
        if follows.recorded:
            raise UndecidedError
        with database.begin() if apart else database.autocommit() as connection:
            if not arrival.store(connection, follows, self._awake(connection, follows, now)):
                raise UndecidedError
            if apart:
                if len(arrival.new) < len(arrival.events):
                    raise UndecidedError
                self._keep_aside(connection, follows, now)
            return arrival.receipts(connection, follows)

    def _arrival(self, groups: Sequence[Sequence[Event]], view: View) -> Arrival:
        clean = [[self._redacted(event, view.env_id) for event in group] for group in groups]
        loud = {e.event_id for group in clean for e in group if not _is_quiet(view, e)}
        return Arrival(view, self._clock(), clean, loud)

    # ── from the platform itself ─────────────────────────────────────────────────────────────

    def emit(self, connection: Connection, events: Sequence[Event]) -> None:
        """Store the platform's own events and start what they trigger (``model.EmitEvents``)."""
        if not events:
            return
        now = self._clock()
        clean = self._clean_own(events)
        position = event_store.insert_told(connection, clean, _recorded(clean, ()), now=now)
        if position is None:
            return
        view = self._active.view_at(connection, position)
        if any(map(view.index.waits_for, {event.event_name for event in clean})):
            follows = Following(connection, view, self._run_for(now), now).follow(clean)
            self._save(connection, follows, now)

    def unheard(self, events: Sequence[Event]) -> Told | None:
        """Give the platform's own events to be written by the caller, if nobody waits for one.

        Otherwise, and where no revision is known yet, they are to be handed to :meth:`emit`.
        """
        view = self._active.held
        if view is None or any(map(view.index.waits_for, {each.event_name for each in events})):
            return None
        clean = self._clean_own(events)
        recorded = [event.event_id for event in clean if not stands_in_its_run(event)]
        return Told(clean, recorded, self._clock(), view.revision, view.position)

    def start_run(  # noqa: PLR0913 - all that a start is given, by name
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
        permission: Permission | None = None,
    ) -> uuid.UUID:
        """Start a run by hand and give its id.

        With a ``run_id`` of the caller's own (made of an idempotency key) a
        repeat starts nothing. The rules are asked here unless the caller brings
        what they said. Raises :class:`NotFoundError`, :class:`NotActiveError`,
        :class:`InvalidInputsError` or ``DeniedError``.
        """
        view = self._active.view(connection)
        blueprint = view.blueprints.get(blueprint_id)
        if blueprint is None:
            raise NotFoundError(f"no blueprint {blueprint_id!r} is active here")
        return self._start(
            connection,
            view,
            blueprint,
            given,
            actor=actor,
            correlation_id=correlation_id,
            name=name,
            priority=priority,
            run_id=run_id,
            permission=permission,
        )

    def start_document(
        self,
        connection: Connection,
        document: Mapping[str, Any],
        *,
        actor: str,
        correlation_id: str,
        permission: Permission,
        settings: Mapping[str, Mapping[str, Any]],
    ) -> uuid.UUID:
        """Start a run of a blueprint that stands in no file, and give its id.

        ``document`` is a normalised one without inputs; ``settings`` are of packs, by id, instead
        of those in force. Raises as :meth:`start_run`.
        """
        clean = self._redactor.value(dict(document))
        # The compiler tells documents apart by path and blob: this one's name is its content.
        blueprint = Document(
            path="",
            kind="blueprint",
            document_id=clean["id"],
            blob_id=digest(clean),
            document=clean,
        )
        return self._start(
            connection,
            self._active.view(connection).with_settings(self._redactor.value(dict(settings))),
            blueprint,
            {},
            actor=actor,
            correlation_id=correlation_id,
            permission=permission,
        )

    def _start(  # noqa: PLR0913 - as start_run
        self,
        connection: Connection,
        view: View,
        blueprint: Document,
        given: Mapping[str, Any],
        *,
        actor: str,
        correlation_id: str,
        name: str | None = None,
        priority: int = 0,
        run_id: uuid.UUID | None = None,
        permission: Permission | None = None,
    ) -> uuid.UUID:
        now = self._clock()
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
        by_a_person = permission is not None
        permission = permission or ask_to_start(
            view.rules, view.rules.principal(actor), blueprint.document_id, now
        )
        if permission.refusal is not None:
            raise DeniedError(permission.refusal)
        run = permission.applied(replace(run, name=name or run.name, priority=priority))
        if run_store.insert_runs(connection, [run]):
            audit.put(connection, permission.entries(now, by_a_person=by_a_person))
            dispatch.enqueue(connection, run.run_id, priority=priority)
            # No event's record names it: it has one of its own from the start (promise P4).
            outbox.put(connection, "run", [run.run_id], now)
            self.emit(connection, tell_of(run, view.env_id, now))
        return run.run_id

    def start_paused(self, connection: Connection, key: Key, event: Event) -> uuid.UUID | None:
        """Start the run that waited for its key to be quiet, if that is still wanted here."""
        view, now = self._active.view(connection), self._clock()
        wanted = view.starts_runs and view.index.is_live(key[0])
        # Its record says that it waits; from now on it says what came of it (promise P4).
        outbox.put(connection, "event", [event.event_id], now)
        try:
            run = self._run_for(now)(view, key[0], event) if wanted else None
        except Exception as error:  # noqa: BLE001 - one that cannot start must not stop the clock
            with correlate(correlation_id=event.correlation_id):
                reason = why_not_compiled(key[0], error)
            _suppress_paused(connection, key, event, "invalid", reason, now)
            self._tell_faults(connection, [reason], now)
            return None
        if run is None:
            reason = "its triggers are not live here now"
            _suppress_paused(connection, key, event, "invalid", reason, now)
            return None
        permission = ask_to_start(view.rules, view.rules.principal(run.actor), key[0], now)
        audit.put(connection, permission.entries(now, by_a_person=False))
        if permission.refusal is not None:
            _suppress_paused(connection, key, event, "policy", permission.refusal, now)
            return None
        run = permission.applied(run)
        told = tell_of(run, event.env_id, now)
        self._save(connection, Consequences(runs=[run]), now)
        storm_store.name_run(connection, key, run.run_id, now=now)
        self.emit(connection, told)
        return run.run_id

    # ── both ─────────────────────────────────────────────────────────────────────────────────

    def _clean_own(self, events: Sequence[Event]) -> Sequence[Event]:
        """Take secrets out of the platform's own events; nearly always one look says: none."""
        said = [[event.event_name, event.data, event.resource] for event in events]
        bare = all(event.raw is None and event.delivery_id is None for event in events)
        if bare and self._redactor.value(said) is said:
            return events
        return [self._redacted(event, event.env_id) for event in events]

    def _redacted(self, event: Event, env_id: str) -> Event:
        said = [event.event_name, event.delivery_id, event.data, event.resource]
        if self._redactor.value(said) is said:
            # Nearly always: one look at everything that is said says that nothing is secret.
            return replace(
                event,
                env_id=env_id,
                delivery_id=None
                if event.delivery_id is None
                else delivery_ids.fitted(event.delivery_id),
                raw=None if event.raw is None else self._redactor.bytes(event.raw),
            )
        return replace(
            event,
            env_id=env_id,
            event_name=self._clean_name(event.event_name),
            delivery_id=None
            if event.delivery_id is None
            else self._clean_delivery(event.delivery_id),
            data=self._redactor.value(event.data),
            resource=self._redactor.value(event.resource),
            raw=None if event.raw is None else self._clean_raw(event.raw, event.content_type),
        )

    def _clean_raw(self, raw: bytes, content_type: str | None) -> bytes:
        """Take out also what is secret by the name that it stands under; bytes know no names."""
        clean = self._redactor.bytes(raw)
        try:
            body = parse_body(content_type or "", clean)
        except InvalidError:
            return clean
        kept = self._redactor.value(body)
        return clean if kept == body else json_text.dumps(kept).encode()

    def _clean_name(self, name: str) -> str:
        clean = str(self._redactor.value(name))
        return name if clean == name else event_names.fitted(clean)

    def _clean_delivery(self, delivery_id: str) -> str:
        """A secret in it becomes a digest, which is still the same for a repeat."""
        if self._redactor.value(delivery_id) == delivery_id:
            return delivery_ids.fitted(delivery_id)
        return delivery_ids.digest(delivery_id)

    def _run_for(self, now: dt.datetime) -> Callable[[View, str, Event], NewRun]:
        def run_for(view: View, blueprint_id: str, event: Event) -> NewRun:
            return self._new_run(
                view,
                view.blueprints[blueprint_id],
                run_id=self._new_id(),
                event=event,
                given=None,
                actor=event.actor,
                correlation_id=event.correlation_id,
                now=now,
            )

        return run_for

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
            packs=view.packs_of(blueprint),
            known_hosts=view.known_hosts,
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

    def _save(self, connection: Connection, follows: Consequences, now: dt.datetime) -> None:
        """Write what follows from events that are stored already, and what is to be recorded."""
        send(connection, self._asked(connection, follows, now))
        self._keep_aside(connection, follows, now)

    def _asked(
        self, connection: Connection, follows: Consequences, now: dt.datetime
    ) -> list[Asked]:
        """Give the statements that write what follows, but for what was kept from starting."""
        told = [event for event, _ in follows.told]
        recorded = _recorded(told, follows.runs)
        recorded += (("event", event_id) for event_id in sorted(follows.recorded))
        asked = []
        if told or recorded:
            asked.append(event_store.telling(told, recorded, now=now))
        if follows.runs:
            asked.append(run_store.insertion(follows.runs))
        awake = self._awake(connection, follows, now)
        if awake:
            asked.append(dispatch.waking(awake))
        return asked

    def _awake(
        self, connection: Connection, follows: Consequences, now: dt.datetime
    ) -> list[tuple[uuid.UUID, int]]:
        """Give the runs that a worker is to take up, each with its place in the queue."""
        awake = [run for run in follows.runs if run.error is None]
        if not awake:
            return []
        slowed = self._pressure.slowed(connection, now, (run.blueprint_id for run in awake))
        return [(run.run_id, run.priority - slowed.get(run.blueprint_id, 0)) for run in awake]

    def _keep_aside(self, connection: Connection, follows: Consequences, now: dt.datetime) -> None:
        """Write what was kept from starting, and why."""
        storm_store.suppress(connection, follows.suppressions, now=now)
        audit.put(connection, follows.audit)
        self._tell_faults(connection, [each.detail for each in follows.suppressions], now)

    def _tell_faults(
        self, connection: Connection, details: Iterable[str | None], now: dt.datetime
    ) -> None:
        """Say on the node's own pages that events were set aside for a fault of ours."""
        faults = sorted({each for each in details if each is not None and each.startswith(FAULT)})
        if faults:
            message = f"events are kept, and start nothing: {'; '.join(faults)}"
            condition = Condition("EventsSetAside", True, "Fault", message, now)  # noqa: FBT003 - its status
            desired.set_condition(connection, condition)


def _is_quiet(view: View, event: Event) -> bool:
    """Whether nothing at all follows from an event but that it was received."""
    if view.index.waits_for(EventReceived.event_name):
        return False
    if not view.starts_runs:
        return event.hops < MAX_HOPS
    return not (event.hops >= MAX_HOPS or view.index.matches(event))


def _recorded(told: Iterable[Event], runs: Iterable[NewRun]) -> list[tuple[str, uuid.UUID]]:
    """What the committer is asked to record: (kind, subject)."""
    return [
        *(("event", event.event_id) for event in told if not stands_in_its_run(event)),
        *(("run", run.run_id) for run in runs if run.error is not None),
    ]


def _suppress_paused(
    connection: Connection, key: Key, event: Event, why: Reason, detail: str, now: dt.datetime
) -> None:
    suppression = Suppression(
        event_id=event.event_id,
        blueprint_id=key[0],
        trigger_index=key[1],
        reason=why,
        key=key[2],
        detail=detail,
    )
    storm_store.suppress(connection, [suppression], now=now)
