"""A record that cannot be written stands aside, and those behind it are written."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.integration.record.record_world import World
from xyn_reconciler.model.condition import Condition
from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.record.forget import forget
from xyn_reconciler.store import desired, records
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.records import Line


class Poison:
    """Makes the record of some subjects fail, as a fault of our own would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.subjects: set[uuid.UUID] = set()
        self.asked = 0
        self._read = records.read_events
        monkeypatch.setattr(records, "read_events", self.read)

    def read(self, connection: Connection, ids: Sequence[uuid.UUID]) -> list[Line]:
        if self.subjects.intersection(ids):
            self.asked += 1
            raise ValueError("a token that nobody may see")
        return self._read(connection, ids)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    return Poison(monkeypatch)


def condition(world: World, kind: str) -> Condition:
    with world.database.connect() as connection:
        (found,) = (c for c in desired.read_node(connection).conditions if c.type == kind)
    return found


def test_what_cannot_be_recorded_is_set_aside_after_three_tries_and_said(
    world: World, poison: Poison
) -> None:
    world.committer.drain()
    events = [world.event("nobody.cares") for _ in range(7)]
    world.take_in(*events)
    poison.subjects = {events[3].event_id}

    for _ in range(2):
        with pytest.raises(ValueError, match="nobody may see"):
            world.committer._attempt()  # noqa: SLF001 - one turn of its loop
    tried = poison.asked
    waiting = world.waiting()
    world.committer._attempt()  # noqa: SLF001 - as above

    said = condition(world, "RecordsSetAside")
    assert (tried, waiting > 7, world.waiting()) == (2, True, 0)
    assert (said.status, said.reason) == (True, "CannotBeWritten")
    assert str(events[3].event_id) in said.message
    assert "ValueError" in said.message
    assert "nobody may see" not in said.message
    assert world.ask("SELECT subject FROM outbox") == [(events[3].event_id,)]
    recorded = world.ask("SELECT event_id FROM events WHERE record_commit IS NOT NULL")
    assert {event.event_id for event in events} - {row[0] for row in recorded} == poison.subjects


def test_what_is_logged_of_a_run_without_a_record_names_the_run(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[dict[str, Any]]],
) -> None:
    def fail(_: object, ids: Sequence[uuid.UUID]) -> list[Line]:
        if ids:
            raise ValueError("unreadable")
        return []

    run_id = world.happen()
    monkeypatch.setattr(records, "read_runs", fail)

    world.committer.drain()

    named = {line["run_id"] for line in logged() if "is set aside" in line["message"]}
    assert named == {str(run_id)}


def test_what_was_set_aside_is_recorded_when_a_committer_starts_that_can(
    world: World, poison: Poison
) -> None:
    event = world.event("nobody.cares")
    world.take_in(event)
    poison.subjects = {event.event_id}
    world.committer.drain()
    assert condition(world, "RecordsSetAside").status
    poison.subjects = set()

    world.adopt(world.database)
    world.committer._begin()  # noqa: SLF001 - as its loop does first
    world.committer.drain()

    assert not condition(world, "RecordsSetAside").status
    assert world.ask("SELECT count(*) FROM events WHERE record_commit IS NULL") == [(0,)]


def test_what_no_record_holds_survives_a_rebuild_and_cannot_be_forgotten(
    world: World, poison: Poison
) -> None:
    event = world.event("nobody.cares")
    world.take_in(event)
    poison.subjects = {event.event_id}
    world.committer.drain()

    world.rebuild()

    assert world.ask("SELECT count(*) FROM events WHERE event_id = :e", e=event.event_id) == [(1,)]
    with pytest.raises(ConflictError, match="cannot be written: ValueError"):
        forget(
            world.database,
            world.repository,
            event.event_id,
            by="ada",
            now=world.now(),
            artifacts=world.artifacts,
            redactor=world.redactor,
        )
