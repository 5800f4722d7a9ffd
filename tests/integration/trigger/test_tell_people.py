"""The template's word to people: silent as shipped, and said once it has an address."""

import json
import uuid
from typing import Any

import pytest

from tests.trigger_world import DISK, NOW, World
from xyn_reconciler.desired.expression import render_value
from xyn_reconciler.desired.load import load
from xyn_reconciler.model.internal_events import (
    EventData,
    GateRequested,
    ReconcileFailed,
    RunFailed,
    internal_event,
)
from xyn_reconciler.template import template_files

PATH = "blueprints/tell-people.yaml"
FAILED = RunFailed(blueprint_id="bp.disk", code="timeout", message="it took too long", step="fix")
GATE = GateRequested(
    key="approve", blueprint_id="bp.disk", effect_digest="e", min=1, from_any_of=["role:Operator"]
)
REFUSED = ReconcileFailed(revision="abc", reason="ValidationFailed", problems=["x.yaml:1:1: no"])


def shipped() -> dict[str, Any]:
    loaded = load(PATH, "b", dict(template_files())[PATH])
    assert loaded.problems == ()
    return dict(loaded.document)


def tell(world: World, data: EventData) -> None:
    world.emit(
        internal_event(
            data,
            resource_id="r",
            env_id="local",
            now=NOW,
            correlation_id="c",
            run_id=uuid.uuid4() if data.resource_type != "revision" else None,
        )
    )


def said(world: World) -> list[str]:
    """The texts that the runs so far would post."""
    found = []
    for inputs, plan in world.ask(
        "SELECT inputs::text, plan::text FROM runs JOIN plans ON digest = plan_digest"
        " ORDER BY runs.run_id"
    ):
        compiled = json.loads(plan)
        (step,) = compiled["steps"]
        roots = {"inputs": json.loads(inputs), "node": compiled["node"]}
        rendered: Any = render_value(step["with"], roots)
        assert rendered["url"] == "https://chat.example.net/hook"
        found.append(rendered["json"]["text"])
    return found


def speak(world: World, *more: dict[str, Any]) -> None:
    """Make it active on a node that says where."""
    address = {"tell_url": "https://chat.example.net/hook"}
    world.activate(shipped(), *more, settings={"vars": address})


@pytest.mark.parametrize("data", [FAILED, GATE, REFUSED])
def test_as_it_is_shipped_it_is_silent(world: World, data: EventData) -> None:
    world.activate(shipped())

    tell(world, data)

    assert world.ask("SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (FAILED, "xyn.run.failed on seed: bp.disk: it took too long"),
        (GATE, "xyn.gate.requested on seed: bp.disk: approve"),
        (REFUSED, "xyn.reconcile.failed on seed: abc: ValidationFailed"),
    ],
)
def test_with_an_address_it_says_what_needs_people(
    world: World, data: EventData, text: str
) -> None:
    speak(world, DISK)

    tell(world, data)

    assert said(world) == [text]
    assert world.ask("SELECT status FROM runs") == [("created",)]


def test_a_storm_of_failures_is_one_word_and_every_gate_is_named(world: World) -> None:
    speak(world, DISK)

    for _ in range(20):
        tell(world, FAILED)
    tell(world, GATE)
    tell(world, GATE)

    assert len(said(world)) == 3


def test_it_does_not_speak_of_its_own_failure(world: World) -> None:
    speak(world)

    tell(world, FAILED.model_copy(update={"blueprint_id": "bp.tell_people"}))

    assert said(world) == []


def test_a_person_may_try_it(world: World) -> None:
    speak(world)

    with world.database.begin() as connection:
        world.intake.start_run(connection, "bp.tell_people", {}, actor="ada", correlation_id="c")

    assert said(world) == ["xyn.test on seed: this node: somebody tries this blueprint"]
