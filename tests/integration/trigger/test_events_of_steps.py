"""``events.emit``: what a step emits is taken in once, however often its attempt comes again."""

import datetime as dt
import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.attempts import an_attempt
from tests.trigger_world import DISK, World, event, on
from xyn_reconciler.action.events_emit import EventsEmit
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.service.run_events import emit_of_run
from xyn_reconciler.store.database import Database
from xyn_reconciler.trigger.intake import Intake
from xyn_reconciler.trigger.match import MAX_HOPS


@dataclass
class Lent:
    """What a worker has of a node."""

    database: Database
    intake: Intake

    def clock(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


class Step:
    """A step of a run that an alert has started."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.activate(DISK, on("shop.opened", "bp.shop"))
        alert = event(
            data={"state": "CRIT", "host": "web1"}, actor="source:checkmk", correlation_id="c9"
        )
        (run_id,) = world.take_in(alert).run_ids
        self.context = an_attempt(run_id=run_id, correlation_id="c9")

    def emit(self, *, item: int | None = None, attempt: int = 1, **inputs: Any) -> str:  # noqa: ANN401 - inputs
        lent = Lent(self.world.database, self.world.intake)
        action = EventsEmit(lambda **given: emit_of_run(lent, **given))
        context = replace(self.context, item=item, attempt=attempt)
        found: str = action.run({"event_name": "shop.opened", **inputs}, context)["event_id"]
        return found

    def events(self) -> list[tuple[Any, ...]]:
        return self.world.ask(
            "SELECT CAST(event_id AS text), actor, correlation_id, hops, delivery_item FROM events"
            " WHERE event_name = 'shop.opened' ORDER BY delivery_item"
        )

    def runs(self) -> int:
        return len(self.world.ask("SELECT 1 FROM runs WHERE blueprint_id = 'bp.shop'"))


@pytest.fixture
def step(world: World) -> Step:
    return Step(world)


def test_an_attempt_that_comes_again_emits_nothing_new_also_in_another_process(step: Step) -> None:
    first = step.emit(data={"n": 1})
    step.world.restart()
    again = step.emit(data={"n": 1}, attempt=2)

    assert again == first
    assert step.events() == [(first, "source:checkmk", "c9", 1, 0)]
    assert step.runs() == 1


def test_the_same_attempt_at_two_workers_at_once_is_one_event(step: Step) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(step.emit())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 6
    assert len(set(found)) == 1
    assert (len(step.events()), step.runs()) == (1, 1)


def test_each_item_of_a_step_has_an_event_of_its_own(step: Step) -> None:
    found = [step.emit(item=number) for number in (0, 1, 2, 1)]

    assert len(set(found)) == 3
    assert found[3] == found[1]
    assert step.runs() == 3


def test_names_of_the_platform_are_refused(step: Step) -> None:
    with pytest.raises(XynError) as caught:
        step.emit(event_name="xyn.run.completed")

    assert caught.value.code == "reserved_name"


def test_the_step_says_whom_the_event_is_of_and_what_it_is_about(step: Step) -> None:
    event_id = step.emit(resource={"type": "host", "id": "web1"}, data={"a": [1, "ü"]})

    rows = step.world.ask(
        "SELECT CAST(event_id AS text), json_build_object('run', run_id, 'step', step_id,"
        " 'about', resource, 'data', data, 'source', source) FROM events"
    )
    assert dict(rows)[event_id] == {
        "run": str(step.context.run_id),
        "step": str(step.context.step_id),
        "about": {"type": "host", "id": "web1"},
        "data": {"a": [1, "ü"]},
        "source": "run",
    }


def test_behind_too_many_runs_an_event_is_kept_and_starts_nothing(step: Step) -> None:
    with step.world.database.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET hops = %s", (MAX_HOPS,))

    step.emit()

    assert len(step.events()) == 1
    assert step.runs() == 0
