"""Blueprints, plans and records for tests of replays."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.load import load
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import ExecutionPlan, digest
from xyn_reconciler.review.history import History, Recorded
from xyn_reconciler.review.side import Side

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
NODE = "id: seed\nenv_id: local\nmode: active\nstage: dev\n"


class Exploding:
    """An action that must never be called."""

    spec = ActionSpec("boom.now", "Explode.", {"type": "object"}, {}, idempotent=False)

    def run(self, inputs: Mapping[str, Any], context: object) -> dict[str, Any]:
        raise AssertionError("an action was carried out", inputs, context)


ACTIONS = catalogue({**installed_actions(), Exploding.spec.name: Exploding()}).actions


def state_of(files: Mapping[str, str]) -> DesiredState:
    loaded = [
        load(path, digest(text), text.encode())
        for path, text in {"node.yaml": NODE, **files}.items()
    ]
    assert [each.problems for each in loaded] == [()] * len(loaded)
    return DesiredState.of(loaded)


def side_of(*blueprints: str) -> Side:
    return Side.of(
        state_of({f"blueprints/b{n}.yaml": one for n, one in enumerate(blueprints)}), None
    )


def plan_of(blueprint: str) -> ExecutionPlan:
    side = side_of(blueprint)
    (blueprint_id,) = side.blueprints
    return side.compile(blueprint_id, None).plan


def event_of(number: int, name: str = "checkmk.alert", **data: object) -> Event:
    return Event(
        event_id=uuid.UUID(int=number),
        event_name=name,
        occurred_at=NOW,
        env_id="local",
        actor="monitoring",
        correlation_id="c",
        data=data,
    )


def history_of(*events: Event, every: float = 60.0) -> History:
    """Events that came one after the other, so many seconds apart; no run is recorded."""
    recorded = tuple(
        Recorded(event, NOW + dt.timedelta(seconds=number * every), {})
        for number, event in enumerate(events)
    )
    return History(
        tips={"refs/xyn/runs/seed/2026-01": "a" * 40},
        since=NOW,
        until=NOW + dt.timedelta(days=1),
        events=recorded,
        segments=(),
    )
