"""Backtests of what a node really recorded."""

import datetime as dt
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.record.record_world import World
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.load import load
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.run import canonical
from xyn_reconciler.review import recorded_test
from xyn_reconciler.review.backtest import Report, backtest_states
from xyn_reconciler.review.blueprint_tests import run_tests
from xyn_reconciler.review.history import find_run, read_history
from xyn_reconciler.store.git import Repository

FIX = """\
id: bp.fix
triggers:
  - event_type: disk.full
    match: {data.state: [CRIT, WARN]}
inputs:
  host: {type: string, from: "{{ event.data.host }}"}
plan:
  - {id: ask, kind: action_task, action: disk.look, with: {host: "{{ inputs.host }}"}}
  - {id: ok, kind: gate, mode: manual, when: "steps.ask.outputs.percent > 90"}
  - id: each
    kind: action_task
    action: disk.look
    foreach: "{{ steps.ask.outputs.others }}"
    with: {host: "{{ item }}"}
  - {id: note, kind: transform, set: {text: "{{ inputs.host }} {{ steps.ask.outputs.percent }}"}}
outputs: {text: "{{ steps.note.outputs.text }}"}
"""
PATH = "blueprints/fix.yaml"
SPEC = ActionSpec(
    "disk.look",
    "Look at a disk.",
    {"type": "object", "required": ["host"], "properties": {"host": {"type": "string"}}},
    {},
    idempotent=True,
)


class Look:
    """Answers while runs are made; in a backtest it must never be called."""

    spec = SPEC

    def __init__(self) -> None:
        self.over = False

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        del context
        assert not self.over, "an action was carried out"
        if inputs["host"] == "bad":
            raise ConnectionError("no such host")
        percent = 95 if inputs["host"].startswith("full") else 50
        return {"percent": percent, "others": [f"{inputs['host']}-a", f"{inputs['host']}-b"]}


@pytest.fixture
def look() -> Look:
    return Look()


@pytest.fixture
def lived(world: World, look: Look) -> World:
    """A node that fixed a few disks, and took in a few hundred events that start nothing."""
    world.catalogue = catalogue({**installed_actions(), SPEC.name: look})
    world.adopt(world.database)
    world.push(**{PATH: FIX})
    for host, state in (("web-1", "CRIT"), ("web-2", "WARN"), ("full-1", "CRIT"), ("bad", "WARN")):
        data = {"host": host, "state": state}
        (run_id,) = world.take_in(world.event("disk.full", data=data))
        world.advance(run_id, actions={SPEC.name: look})
        if host.startswith("full"):
            world.committer.drain_once()
            world.approve(run_id)
            world.advance(run_id, actions={SPEC.name: look})
    world.take_in(*(world.event("other.thing", data={"n": n}) for n in range(200)))
    world.take_in(world.event("disk.full", data={"host": "ok-1", "state": "OK"}))
    while world.waiting():
        world.committer.drain_once()
    look.over = True
    return world


def asked(world: World, text: str | None) -> Report:
    before = world.reconciler.known().state
    path = PATH
    loaded = None if text is None else load(path, uuid.uuid4().hex, text.encode())
    assert loaded is None or loaded.problems == ()
    return backtest_states(
        world.repository,
        world.node_id,
        before,
        before.apply([(path, loaded)]),
        actions=world.catalogue.actions,
        redact=world.redactor.value,
    )


def rows(report: Report, outcome: str) -> dict[str, dict[str, Any]]:
    return {
        row["event"]["summary"].split('"host": "')[1].split('"')[0]: row
        for row in report["rows"]
        if row["outcome"] == outcome
    }


def test_a_draft_that_does_the_same_takes_every_recorded_output(lived: World) -> None:
    renamed = (
        FIX.replace("name", "").replace("id: note", "id: told").replace("steps.note", "steps.told")
    )

    report = asked(lived, renamed)

    assert report["counts"] == {"same": 0, "changed": 4, "gained": 0, "lost": 0}
    assert report["unknown"] == 0
    changed = rows(report, "changed")
    assert changed["web-1"]["differences"] == [
        "step told is new: completed",
        "step note is gone: it was completed",
    ]
    each = next(step for step in changed["web-1"]["draft"]["steps"] if step["key"] == "each")
    assert [item["outputs"]["percent"] for item in each["outputs"]] == [50, 50]
    # What people let through had the step's name in it.
    assert changed["full-1"]["draft"]["status"] == "waiting"
    assert changed["bad"]["draft"]["error"]["step"] == "ask"


def test_what_was_never_asked_is_unknown(lived: World) -> None:
    report = asked(
        lived, FIX.replace('{host: "{{ inputs.host }}"}', '{host: "x{{ inputs.host }}"}')
    )

    assert report["counts"]["changed"] == 4
    assert report["unknown"] == 4
    ask, *behind = rows(report, "changed")["web-1"]["draft"]["steps"]
    assert ask["status"] == "unknown"
    assert ask["inputs"] == {"host": "xweb-1"}
    assert all(step["after"][0] == "ask" for step in behind)


def test_a_gate_that_lets_something_else_through_would_ask_again(lived: World) -> None:
    report = asked(lived, FIX.replace('with: {host: "{{ item }}"}', 'with: {host: "{{ item }}!"}'))

    full = rows(report, "changed")["full-1"]
    assert full["main"]["status"] == "completed"
    assert full["draft"]["status"] == "waiting"
    assert "gate ok would ask people again" in full["differences"]
    assert report["gates"] == {"bp.fix/ok": {"main": 0, "draft": 1}}


def test_a_match_that_lost_warn_loses_what_it_started(lived: World) -> None:
    report = asked(lived, FIX.replace("[CRIT, WARN]", "[CRIT]"))

    assert report["counts"] == {"same": 2, "changed": 0, "gained": 0, "lost": 2}
    lost = rows(report, "lost")
    assert set(lost) == {"web-2", "bad"}
    assert lost["web-2"]["run_id"] is not None
    costs = report["cost"]["bp.fix"]
    assert costs["past_runs"] == 4
    assert costs["draft"]["step.count"]["quantity"] < costs["main"]["step.count"]["quantity"]


def test_a_match_that_gained_a_state_and_a_blueprint_that_goes(lived: World) -> None:
    gained = asked(lived, FIX.replace("[CRIT, WARN]", "[CRIT, WARN, OK]"))
    gone = asked(lived, None)

    assert gained["counts"] == {"same": 4, "changed": 0, "gained": 1, "lost": 0}
    assert gone["counts"]["lost"] == 4
    assert rows(gone, "lost")["web-1"]["differences"] == ["draft: there is no such blueprint"]


def test_the_same_records_give_the_same_bytes_from_another_repository(
    lived: World, tmp_path: Path
) -> None:
    draft = FIX.replace("[CRIT, WARN]", "[CRIT]").replace("> 90", "> 40")
    one = asked(lived, draft)
    lived.git("clone", "--quiet", "--mirror", str(lived.repository.path), str(tmp_path / "copy"))
    lived.repository = Repository.open(tmp_path / "copy")
    lived.late += dt.timedelta(hours=2)

    assert canonical(asked(lived, draft)) == canonical(one)


def test_a_short_window_ends_with_the_newest_record(lived: World) -> None:
    history = read_history(lived.repository, lived.node_id, dt.timedelta(milliseconds=1))
    everything = read_history(lived.repository, lived.node_id, dt.timedelta(days=7))

    assert history is not None
    assert everything is not None
    assert len(history.events) < len(everything.events)
    assert everything.events[-1].created_at <= everything.until == history.until


def test_of_too_many_events_the_newest_are_looked_at(lived: World) -> None:
    for number in range(3):
        lived.take_in(lived.event("later.thing", data={"n": number}))
        while lived.waiting():
            lived.committer.drain_once()

    history = read_history(lived.repository, lived.node_id, dt.timedelta(days=7), most=2)

    assert history is not None
    assert history.truncated
    names = [each.event.event_name for each in history.events]
    assert "later.thing" in names
    assert "disk.full" not in names
    assert all(each.created_at >= history.since for each in history.events)


def test_a_node_without_records_has_an_empty_report(world: World) -> None:
    report = backtest_states(
        Repository.create(world.artifacts.root.parent / "empty.git"),
        "seed",
        world.reconciler.known().state,
        world.reconciler.known().state,
        actions=world.catalogue.actions,
    )

    assert (report["events"], report["counts"]["same"]) == (0, 0)


@pytest.mark.parametrize("host", ["web-1", "full-1", "bad"])
def test_a_recorded_run_becomes_a_test_that_passes_and_fails_with_its_blueprint(
    lived: World, host: str
) -> None:
    ((run_id,),) = lived.ask("SELECT run_id FROM runs WHERE inputs->>'host' = :host", host=host)
    record = find_run(lived.repository, lived.node_id, str(run_id))
    assert record is not None

    text = recorded_test.text_of(record)

    path = recorded_test.path_of(record)
    loaded = load(path, "t", text.encode())
    assert loaded.problems == ()
    state = lived.reconciler.known().state.apply([(path, loaded)])
    (now,) = run_tests(state, lived.catalogue.actions, lambda _: text.encode())
    assert now.failures == ()
    other = load(PATH, uuid.uuid4().hex, FIX.replace("[CRIT, WARN]", "[DOWN]").encode())
    (then,) = run_tests(
        state.apply([(PATH, other)]), lived.catalogue.actions, lambda _: text.encode()
    )
    assert "it does not start bp.fix" in then.failures[0].message
