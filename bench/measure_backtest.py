"""A backtest of 10,000 recorded events: seconds, and beside it what only reading them takes.

In-process, on records as the committer writes them. The draft loses one state of a
``match`` and gains another, and changes a step of a second blueprint, whose runs are
replayed.
"""

import datetime as dt
import json
import resource
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bench.place import Place
from bench.result import Bar, Result, compare
from bench.rounds import pairs, turns
from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.run import digest, step_id
from xyn_reconciler.record.render import render
from xyn_reconciler.review.backtest import backtest_states
from xyn_reconciler.review.side import Side
from xyn_reconciler.store.git import Repository

NAME: Final = "backtest of recorded events"
NODE_ID: Final = "seed"
SECONDS: Final = 40.0
BAR: Final = Bar("<=", 2.0, None)
PER_SEGMENT: Final = 100
RUNS_OF: Final = 10
"""Every so many events one started a run of the blueprint whose step changes."""

_REF: Final = f"refs/xyn/runs/{NODE_ID}/2026-01"
_AUTHOR: Final = "Bench <bench@localhost>"
_BEGAN: Final = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
_NODE: Final = "id: seed\nenv_id: local\nmode: active\nstage: dev\n"
_ALERT: Final = """\
id: bp.alert
triggers: [{event_type: checkmk.alert, match: {data.state: [%s]}}]
inputs: {host: {type: string, from: "{{ event.data.host }}"}}
plan:
  - {id: look, kind: transform, set: {host: "{{ inputs.host }}"}}
  - id: tell
    kind: action_task
    action: http.call
    with: {url: "https://a.example/{{ inputs.host }}"}
"""
_DEPLOY: Final = """\
id: bp.deploy
triggers: [{event_type: deploy.wanted}]
inputs: {what: {type: string, from: "{{ event.data.what }}"}}
plan:
  - id: ask
    kind: action_task
    action: http.call
    with: {url: "https://a.example/{{ inputs.what }}"}
  - {id: note, kind: transform, set: {text: "{{ steps.ask.outputs.json.%s }} by {{ event.actor }}"}}
outputs: {text: "{{ steps.note.outputs.text }}"}
"""


def measure(place: Place) -> Iterator[Result]:
    count = place.sizes.backtest_events
    repository = Repository.create(place.folder / "backtest.git")
    before = _state("CRIT, WARN", "name")
    after = _state("CRIT, UNKNOWN", "title")
    place.say(f"{NAME}: recording {count} events")
    record(repository, before, count)
    actions = catalogue(installed_actions()).actions

    def ours(_: str) -> float:
        # Opened anew: nothing that an earlier round has read is remembered.
        opened = Repository.open(repository.path)
        return seconds(lambda: backtest_states(opened, NODE_ID, before, after, actions=actions))

    def floor(_: str) -> float:
        return seconds(lambda: parse_all(repository.path))

    rounds = turns(
        place.say, NAME, place.sizes.backtest_rounds, {"floor": floor, "xyn": ours}, seconds=SECONDS
    )
    report = backtest_states(repository, NODE_ID, before, after, actions=actions)
    conditions = {
        "value": "processor seconds of one thread: segments read, every event matched on both"
        " sides, changed runs replayed twice, the report made",
        "floor_is": "the same segments read by the same Repository and parsed as JSON, no more",
        "events": report["events"],
        "counts": report["counts"],
        "runs_replayed": 2 * report["counts"]["changed"] + report["counts"]["gained"],
    }
    yield compare(NAME, "s", pairs(rounds, "floor", "xyn"), conditions, bar=BAR)


def seconds(work: Callable[[], object]) -> float:
    """Give the processor seconds that this process spends on it."""
    before = _used()
    work()
    return _used() - before


def parse_all(path: Path) -> int:
    """Read and parse every line."""
    return sum(
        json.loads(line)["kind"] == "event"
        for _, content in Repository.open(path).walk_records(_REF)
        for line in content.split(b"\n")
        if line
    )


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _state(states: str, field: str) -> DesiredState:
    files = {
        "node.yaml": _NODE,
        "blueprints/alert.yaml": _ALERT % states,
        "blueprints/deploy.yaml": _DEPLOY % field,
    }
    return DesiredState.of(load(path, digest(text), text.encode()) for path, text in files.items())


def record(repository: Repository, state: DesiredState, count: int) -> None:
    """Record events, and the runs that they started, as a committer does."""
    deploy = Side.of(state, NODE_ID).compile("bp.deploy", None)
    plan = json.dumps(
        {"kind": "plan", "plan": {"digest": deploy.digest, "plan": deploy.plan.to_json()}},
        separators=(",", ":"),
    )
    tip = None
    database = uuid.UUID(int=1)
    for first in range(0, count, PER_SEGMENT):
        now = _BEGAN + dt.timedelta(seconds=first)
        numbers = range(first, min(first + PER_SEGMENT, count))
        events = [_event(number, now) for number in numbers]
        runs = [_run(each, deploy.digest, now) for each in events if "what" in each["data"]]
        started = {each["run"]["event_id"]: [each["run"]] for each in runs}
        batch = render(
            runs=[(uuid.UUID(each["run"]["run_id"]), _line(each)) for each in runs],
            events=[
                _line({"kind": "event", "event": each, "runs": started.get(each["event_id"], [])})
                for each in events
            ],
            artifacts=[],
            plans=[plan] if runs else [],
            outbox_ids=list(numbers),
            database_id=database,
            now=now,
        )
        tip = repository.append_records(
            _REF, expected=tip, files=batch.files, message=batch.message, author=_AUTHOR, now=now
        )


def _line(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, separators=(",", ":"))


def _event(number: int, now: dt.datetime) -> dict[str, Any]:
    at = now.isoformat()
    deploys = number % RUNS_OF == 0
    data: dict[str, Any] = {"padding": "x" * 200}
    if deploys:
        data |= {"what": f"service-{number}"}
    else:
        states = ("OK", "OK", "CRIT", "WARN", "UNKNOWN")
        data |= {"state": states[number % len(states)], "host": f"web-{number % 50}"}
    return {
        "event_id": str(uuid.UUID(int=number + (7 << 76) + (2 << 62))),
        "event_name": "deploy.wanted" if deploys else "checkmk.alert",
        "occurred_at": at,
        "created_at": at,
        "env_id": "local",
        "actor": "monitoring",
        "correlation_id": f"c-{number}",
        "data": data,
        "source": "api",
        "delivery_item": 0,
        "hops": 0,
    }


def _run(event: dict[str, Any], plan_digest: str, now: dt.datetime) -> dict[str, Any]:
    run_id = str(uuid.uuid5(uuid.UUID(event["event_id"]), "run"))
    what = event["data"]["what"]
    rows = {
        "ask": (
            "action_task",
            {"url": f"https://a.example/{what}"},
            {"json": {"name": what, "title": f"the {what}"}},
        ),
        "note": ("transform", None, {"text": f"{what} by monitoring"}),
    }
    steps = [
        {
            "step_id": str(step_id(uuid.UUID(run_id), key)),
            "key": key,
            "kind": kind,
            "status": "completed",
            "attempt": 1,
            "inputs": inputs,
            "outputs": outputs,
        }
        for key, (kind, inputs, outputs) in rows.items()
    ]
    return {
        "kind": "run",
        "run": {
            "run_id": run_id,
            "event_id": event["event_id"],
            "blueprint_id": "bp.deploy",
            "revision": "0" * 40,
            "plan_digest": plan_digest,
            "status": "completed",
            "created_at": now.isoformat(),
            "actor": "monitoring",
            "inputs": {"what": what},
        },
        "event": event,
        "steps": steps,
        "attempts": [],
        "gates": [],
        "approvals": [],
        "artifacts": [],
        "events": [],
        "footprints": [
            {"key": "ask", "metric": "request_count", "quantity": 1.0, "unit": "count"},
            {"key": "ask", "metric": "wall_ms", "quantity": 12.5, "unit": "ms"},
        ],
    }
