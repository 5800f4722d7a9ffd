"""What senders handed in together: written with one picture of the active revision, then answered.

:mod:`.intake` makes one for each transaction that it takes events in with. A sender
whose events came before is answered with the ids from then.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xyn_reconciler.model.errors import ConflictError, XynError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import canonical
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.events import StoredEvent
from xyn_reconciler.trigger.active import View
from xyn_reconciler.trigger.consequences import Consequences, received


class IdempotencyKeyReusedError(ConflictError):
    """An ``Idempotency-Key`` came before, with another event."""

    code = "idempotency_key_reused"


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
    stored: list[StoredEvent] = field(default_factory=list)
    """Those that are new, as they were stored."""


@dataclass(slots=True)
class Arrival:
    """What several senders sent, as one picture of the active revision takes it."""

    view: View
    now: dt.datetime
    groups: list[list[Event]]
    loud: set[uuid.UUID]
    """Those from which something follows."""
    new: set[uuid.UUID] = field(default_factory=set)
    """Those that had not come before; known once they are stored."""

    @property
    def events(self) -> list[Event]:
        return [event for group in self.groups for event in group]

    def store(
        self,
        connection: Connection,
        follows: Consequences,
        awake: Sequence[tuple[uuid.UUID, int]] = (),
    ) -> bool:
        """Write it, and of what is quiet that it was received; false if the picture is old.

        Of what ``follows``, events and runs are written with it; ``awake`` are runs to be taken up.
        """
        events = self.events
        stored = event_store.arrive(
            connection,
            events,
            [
                (received(event, 0, self.now), event.event_id)
                for event in events
                if event.event_id not in self.loud
            ]
            + follows.told,
            position=self.view.position,
            now=self.now,
            runs=follows.runs,
            awake=awake,
        )
        self.new = set(stored.event_ids)
        return stored.position == self.view.position

    def receipts(self, connection: Connection, follows: Consequences) -> list[Receipt | XynError]:
        """Give each sender's answer."""
        before = self._before(connection)
        return [self._receipt(group, before, follows) for group in self.groups]

    def _before(self, connection: Connection) -> dict[uuid.UUID, Event]:
        """What had come before, by the id of what came now; one look for all senders."""
        repeats = [e for e in self.events if e.event_id not in self.new]
        keys = {e.event_id: (e.source, str(e.delivery_id), e.delivery_item) for e in repeats}
        if not keys:
            return {}
        known = event_store.find_deliveries(connection, {key[:2] for key in keys.values()})
        return {event_id: known[key] for event_id, key in keys.items()}

    def _receipt(
        self, group: Sequence[Event], before: Mapping[uuid.UUID, Event], follows: Consequences
    ) -> Receipt | XynError:
        fresh = [event for event in group if event.event_id in self.new]
        try:
            event_ids = _ids(group, before)
        except IdempotencyKeyReusedError as error:
            return error
        return Receipt(
            event_ids=event_ids,
            duplicate=bool(group) and not fresh,
            run_ids=[run for event in fresh for run in follows.started_by.get(event.event_id, ())],
            held=[why for event in fresh for why in follows.held.get(event.event_id, ())],
            stored=[StoredEvent(event, self.now, self.view.revision, None) for event in fresh],
        )


def _ids(given: Sequence[Event], before: Mapping[uuid.UUID, Event]) -> list[uuid.UUID]:
    """Give the id of each event; for one that came ``before``, the id it has had since then."""
    found = []
    for event in given:
        known = before.get(event.event_id, event)
        if known is not event and event.source == "api" and _content(known) != _content(event):
            raise IdempotencyKeyReusedError(
                "this Idempotency-Key came before, with another event: take a new key for it"
            )
        found.append(known.event_id)
    return found


def _content(event: Event) -> bytes:
    """What makes two deliveries under one key the same, however their bodies are spaced.

    Whose they are too: a key that somebody else took is no word of theirs.
    """
    return canonical([event.actor, event.event_name, event.resource, event.data])
