"""What our own faults make of an event or a blueprint: set aside, said, and the loop goes on.

A fault is planted as a defect of a release would be there: a document in the
index that this program did not check, or a compiler that fails for one blueprint.
"""

import datetime as dt
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.record.record_world import FILES, World
from xyn_reconciler.model.capability import CompiledRun
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository
from xyn_reconciler.trigger.intake import Intake
from xyn_reconciler.trigger.schedule import Clockwork

pytestmark = pytest.mark.crash

CLOCK = """\
id: bp.{name}
triggers:
  - schedule: {{cron: "* * * * *", missed: all}}
plan:
  - {{id: look, kind: transform, set: {{x: 1}}}}
"""
ECHO = """\
id: bp.echo
triggers: [{event_type: xyn.run.completed}]
plan:
  - {id: look, kind: transform, set: {x: 1}}
"""
SET_ASIDE = "EventsSetAside"
POISONED = ("bp.disk", "bp.echo", "bp.sick")


def broken_compiler(document: Any, **given: Any) -> CompiledRun:  # noqa: ANN401 - as compile_run's
    if document["id"] in POISONED:
        raise KeyError("a fault of our own")
    return compile_run(document, **given)


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> World:
    world = World(database, repository, tmp_path)
    both = FILES["blueprints/ask.yaml"].replace("deploy.wanted", "checkmk.alert")
    world.push(**{**FILES, "blueprints/ask.yaml": both, "blueprints/echo.yaml": ECHO})
    return world


def break_compiler(world: World) -> None:
    world.intake = Intake(broken_compiler, world.redactor, clock=world.now)


def plant(world: World, blueprint_id: str, document: dict[str, Any]) -> None:
    """Put a document into the index as no reconciler of this program would."""
    with world.database.begin() as connection:
        connection.execute(
            text("UPDATE documents SET document = CAST(:d AS json) WHERE document_id = :id"),
            {"d": json.dumps(document), "id": blueprint_id},
        )
    world.intake = Intake(compile_run, world.redactor, clock=world.now)


def suppressed(world: World, event_id: uuid.UUID) -> list[tuple[Any, ...]]:
    return world.ask(
        "SELECT blueprint_id, reason FROM suppressions WHERE event_id = :id", id=event_id
    )


def said(world: World) -> str:
    """What status, pages and API say of the node."""
    with world.database.connect() as connection:
        (found,) = (c for c in desired.read_node(connection).conditions if c.type == SET_ASIDE)
    assert found.status
    return found.message


def started(world: World) -> set[str]:
    return {row[0] for row in world.ask("SELECT blueprint_id FROM runs")}


def test_a_blueprint_whose_compiling_fails_costs_neither_the_event_nor_its_neighbour(
    world: World,
) -> None:
    break_compiler(world)
    event = world.event()

    world.take_in(event)

    assert world.ask("SELECT count(*) FROM events WHERE event_id = :i", i=event.event_id) == [(1,)]
    assert started(world) == {"bp.ask"}
    assert suppressed(world, event.event_id) == [("bp.disk", "invalid")]
    assert "bp.disk (KeyError)" in said(world)
    # The next revision may be well: what is said is said of this one.
    world.push(**{"blueprints/more.yaml": CLOCK.format(name="more")})
    with world.database.connect() as connection:
        conditions = desired.read_node(connection).conditions
    assert SET_ASIDE not in {each.type for each in conditions}


@pytest.mark.parametrize(
    "triggers",
    [
        [{"event_type": "checkmk.alert", "when": 5}],
        [{"event_type": 5, "match": 5}],
        "none at all",
    ],
)
def test_a_blueprint_whose_triggers_cannot_be_read_costs_neither_the_event_nor_its_neighbour(
    world: World, triggers: object
) -> None:
    plant(world, "bp.disk", {"id": "bp.disk", "triggers": triggers, "plan": []})
    event = world.event()

    world.take_in(event)

    assert world.ask("SELECT count(*) FROM events WHERE event_id = :i", i=event.event_id) == [(1,)]
    assert started(world) == {"bp.ask"}


def test_a_blueprint_whose_matching_fails_costs_neither_the_event_nor_its_neighbour(
    world: World,
) -> None:
    triggers = [{"event_type": "checkmk.alert", "dedupe": {}}]
    plant(world, "bp.disk", {"id": "bp.disk", "triggers": triggers, "plan": []})
    event = world.event()

    world.take_in(event)

    assert started(world) == {"bp.ask"}
    assert suppressed(world, event.event_id) == [("bp.disk", "invalid")]
    assert "bp.disk (KeyError)" in said(world)


def test_a_run_ends_although_what_its_end_would_start_cannot_be_compiled(world: World) -> None:
    break_compiler(world)
    (run_id,) = world.take_in(world.event(data={"host": "db1", "what": "v2"}))
    world.advance(run_id)
    world.approve(run_id)

    world.advance(run_id)

    assert world.ask("SELECT status FROM runs") == [("completed",)]
    assert world.ask("SELECT blueprint_id, reason FROM suppressions") == [
        ("bp.disk", "invalid"),
        ("bp.echo", "invalid"),
    ]


def test_a_schedule_that_cannot_start_its_run_holds_up_no_other(world: World) -> None:
    clocks = {f"blueprints/{n}.yaml": CLOCK.format(name=n) for n in ("sick", "well")}
    world.push(**clocks)
    break_compiler(world)
    clockwork = Clockwork(world.intake)
    with world.database.begin() as connection:
        clockwork.tick(connection, world.now())

    world.late += dt.timedelta(minutes=3)
    with world.database.begin() as connection:
        fired = clockwork.tick(connection, world.now())

    assert fired == 6
    assert started(world) == {"bp.well"}
    assert world.ask("SELECT count(*) FROM suppressions WHERE blueprint_id = 'bp.sick'") == [(3,)]


def test_a_debounced_event_whose_run_cannot_be_compiled_is_set_aside_and_said(
    world: World, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    quiet = FILES["blueprints/disk.yaml"].replace(
        "  - event_type: checkmk.alert\n",
        "  - event_type: checkmk.alert\n"
        '    debounce: {key: "{{ event.data.host }}", quiet: 1m, at_most: 1h}\n',
    )
    world.push(**{"blueprints/disk.yaml": quiet})
    event = world.event()
    world.take_in(event)
    break_compiler(world)
    clockwork = Clockwork(world.intake)

    world.late += dt.timedelta(minutes=2)
    for _ in range(2):
        with world.database.begin() as connection:
            clockwork.tick(connection, world.now())

    assert suppressed(world, event.event_id) == [("bp.disk", "invalid")]
    assert world.ask("SELECT count(*) FROM debounced") == [(0,)]
    (line,) = [line for line in logged() if "cannot be compiled" in line["message"]]
    assert line["correlation_id"] == event.correlation_id
