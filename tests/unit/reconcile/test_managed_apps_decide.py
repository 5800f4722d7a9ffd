"""What is decided about apps, from what is wanted, known and running."""

import datetime as dt
from dataclasses import replace
from typing import Any

from xyn_reconciler.model.run import PlanPack
from xyn_reconciler.reconcile.managed_apps import (
    App,
    BringUp,
    Container,
    Refused,
    Say,
    TakeDown,
    app_of,
    decide,
    pause,
    project_name,
)
from xyn_reconciler.store.managed_apps import ManagedApp

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
IMAGE = "sha256:" + "a" * 64
COMPOSE = f'services: {{web: {{image: "{IMAGE}", environment: {{A: "${{SECRET_TOKEN}}"}}}}}}'
DEFINITION = {"id": "shop", "attachment": "managed", "requires": {"secrets": ["env/TOKEN"]}}


def app(value: str = "t", key: bytes = b"k") -> App:
    pack = PlanPack(
        version="1.0.0", digest="d", settings={}, actions={}, files={"compose.yaml": COMPOSE}
    )
    made = app_of(
        DEFINITION, pack, node_id="n1", images=(), secret={"env/TOKEN": value}.get, key=key
    )
    assert isinstance(made, App)
    return made


def row(**more: Any) -> ManagedApp:  # noqa: ANN401 - its fields
    known = ManagedApp(
        pack_id="shop",
        project=app().project,
        wanted=app().wanted,
        status="up",
        reason="AsDeclared",
        message="",
        services=[{"name": "web", "state": "running", "fingerprint": "f"}],
        failures=0,
        next_try_at=None,
        since=NOW,
    )
    return replace(known, **more)


def container(**more: Any) -> Container:  # noqa: ANN401 - its fields
    known = Container(
        container_id="c",
        service="web",
        state="running",
        exit_code=0,
        health=None,
        wanted=app().wanted,
        fingerprint="f",
        outdated=False,
    )
    return replace(known, **more)


def decided(
    known: ManagedApp | None, *running: Container, wanted: App | Refused | None = None
) -> Any:  # noqa: ANN401 - whichever decision it is
    found = {} if known is None else {"shop": known}
    (one,) = decide({"shop": wanted or app()}, found, {app().project: running}, NOW)
    return one


def test_the_same_declaration_is_the_same_and_another_value_is_another() -> None:
    assert app().wanted == app().wanted
    assert app("other").wanted != app().wanted
    assert app(key=b"other").wanted != app().wanted
    assert "t" not in app().document["services"]["web"]["environment"].values()


def test_what_is_as_declared_is_left_alone() -> None:
    assert decided(row(), container()) == Say(
        "shop", "up", "AsDeclared", "every service is as declared", calm=True
    )


def test_what_is_new_or_declared_otherwise_is_brought_up() -> None:
    assert isinstance(decided(None), BringUp)
    assert decided(row(wanted="old"), container(wanted="old")).reason == "Changed"


def test_what_was_mended_a_moment_ago_waits_but_a_new_declaration_does_not() -> None:
    soon = NOW + dt.timedelta(seconds=3)

    waits = decided(row(next_try_at=soon), container(state="exited", exit_code=3))
    changed = decided(row(next_try_at=soon, wanted="old"), container())

    assert (waits.status, waits.message) == ("failing", "web is exited (3)")
    assert isinstance(changed, BringUp)


def test_a_service_that_was_to_run_once_is_as_declared_when_it_has() -> None:
    once = replace(app(), document={"services": {"web": {"restart": "no"}}})

    assert decided(row(), container(state="exited"), wanted=once).status == "up"
    assert isinstance(decided(row(), container(state="exited", exit_code=1), wanted=once), BringUp)


def test_an_unhealthy_service_is_said_and_not_replaced() -> None:
    assert decided(row(), container(health="unhealthy")).reason == "Unhealthy"
    assert decided(row(), container(state="restarting")).reason == "Unhealthy"


def test_only_what_is_in_the_inventory_is_taken_down() -> None:
    assert decide({}, {"shop": row()}, {}, NOW) == [TakeDown("shop", app().project)]
    assert decide({}, {}, {"xyn-else": (container(),)}, NOW) == []


def test_what_is_refused_leaves_what_runs() -> None:
    refused = Refused("shop", app().project, "NotAllowed", "no")

    assert decided(row(), container(), wanted=refused) == Say("shop", "failing", "NotAllowed", "no")


def test_pauses_grow_to_five_minutes() -> None:
    assert [pause(each).total_seconds() for each in (0, 1, 2, 50)] == [5, 10, 20, 300]


def test_projects_of_names_that_look_alike_differ() -> None:
    names = {project_name(node, pack) for node, pack in [("a-b", "c"), ("a", "b-c"), ("A.b", "c")]}

    assert len(names) == 3
    assert all(len(name) <= 63 for name in names)
