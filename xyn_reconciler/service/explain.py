"""Why an event started what it started, and nothing else.

What happened is read from rows: runs, and what was suppressed or set aside by
what. All else is asked of the triggers as they are now, so that an author who
changes a trigger sees at once what it would have done.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from xyn_reconciler.model.dto import Timestamp
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.model.event import Event, isoformat
from xyn_reconciler.service.context import Context
from xyn_reconciler.store import events as event_store
from xyn_reconciler.store import suppressions as storm_store
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.suppressions import Suppression
from xyn_reconciler.trigger.active import View
from xyn_reconciler.trigger.consequences import ECHO, OWN_RUN, is_echo, tells_of_own_run
from xyn_reconciler.trigger.match import Explanation

Outcome = Literal["started", "suppressed", "not_matched", "held"]


class ExplanationDto(BaseModel):
    """What became of an event at one blueprint: the trigger that came nearest to fitting."""

    model_config = ConfigDict(extra="forbid")

    blueprint_id: str
    trigger: int
    """Its place in ``triggers``, from 0."""
    outcome: Outcome
    """``held``: it fits, and something else keeps it from starting here."""
    reason: str
    condition: str | None = None
    """The first condition that failed: ``match.data.state``, ``when``, ``nodes``, ``mode`` …"""
    expected: Any = None
    found: Any = None
    run_id: uuid.UUID | None = None
    """The run that it started, or in whose favour it was suppressed; for ``concurrency`` the run
    that was made for it, and ended before its first step."""


class ExplainedDto(BaseModel):
    """An event, and what became of it at every blueprint that is active here."""

    model_config = ConfigDict(extra="forbid")

    event_id: uuid.UUID
    event_name: str
    created_at: Timestamp
    revision: str | None
    """The revision whose triggers this speaks of: the one that is active now."""
    items: list[ExplanationDto]
    """What started, what was suppressed, what was held, and then the rest."""


_ORDER: dict[Outcome, int] = {"started": 0, "suppressed": 1, "held": 2, "not_matched": 3}

TURNED_AWAY: Final = frozenset({"concurrency_skipped", "concurrency_conflict"})
"""What a run failed of that ``concurrency`` ended at once (``on_conflict: skip`` and ``fail``)."""

_SAID = {
    "dedupe": "within the window, another event of the key {key} started this run",
    "debounce": "a later event of the key {key} took its place",
}


def explain_event(context: Context, event_id: uuid.UUID) -> ExplainedDto:
    """Say of every blueprint what the event started, or why it did not."""
    with context.database.connect() as connection:
        stored = event_store.get_event(connection, event_id)
        if stored is None:
            raise NotFoundError(f"no event {event_id}")
        view = context.intake.view(connection)
        return ExplainedDto(
            event_id=event_id,
            event_name=stored.event.event_name,
            created_at=stored.created_at,
            revision=view.revision,
            items=explain(connection, view, stored.event),
        )


def explain(connection: Connection, view: View, event: Event) -> list[ExplanationDto]:
    """Give one explanation a blueprint: what happened, else what its triggers say now."""
    runs = storm_store.runs_of(connection, event.event_id)
    suppressed = {
        each.blueprint_id: each for each in storm_store.suppressions_of(connection, event.event_id)
    }
    waiting = storm_store.held_back(connection, event.event_id)
    echo = is_echo(connection, event)
    found = {}
    for told in _nearest(view.index.explain(event)):
        name = told.blueprint_id
        if name in waiting:
            until = isoformat(waiting[name])
            found[name] = _held(told, "debounce", f"it waits for its key to be quiet until {until}")
        else:
            found[name] = _judged(view, event, told, echo=echo)
    for name, suppression in suppressed.items():
        found[name] = _suppressed(suppression)
    for name, (run_id, error) in runs.items():
        found[name] = _started(name, run_id, error or {}, found.get(name))
    return sorted(found.values(), key=lambda each: (_ORDER[each.outcome], each.blueprint_id))


def _nearest(explanations: list[Explanation]) -> list[Explanation]:
    """Of each blueprint's triggers the one that fits, else the one that got furthest."""
    nearest: dict[str, Explanation] = {}
    for each in explanations:
        best = nearest.get(each.blueprint_id)
        if best is None or _progress(each) > _progress(best):
            nearest[each.blueprint_id] = each
    return list(nearest.values())


def _progress(told: Explanation) -> int:
    if told.matched:
        return 5
    kind = str(told.condition).partition(".")[0]
    return {"schedule": 0, "event_type": 1, "match": 2, "when": 3}.get(kind, 4)


def _judged(view: View, event: Event, told: Explanation, *, echo: bool) -> ExplanationDto:
    if not told.matched:
        outcome: Outcome = "held" if told.condition in ("nodes", "hops") else "not_matched"
        return ExplanationDto(
            blueprint_id=told.blueprint_id,
            trigger=told.trigger_index,
            outcome=outcome,
            reason=told.reason,
            condition=told.condition,
            expected=told.expected,
            found=told.found,
        )
    if not view.starts_runs:
        mode = str(view.settings.get("mode", "shadow"))
        dto = _held(told, "mode", f"the node is in mode {mode}, in which nothing starts")
        return dto.model_copy(update={"expected": "active", "found": mode})
    if tells_of_own_run(event, told.blueprint_id):
        return _held(told, "own_run", OWN_RUN)
    if echo:
        return _held(told, "echo", ECHO)
    return _held(told, "later", "it fits now; it did not when the event came, or the run is gone")


def _held(told: Explanation, condition: str, reason: str) -> ExplanationDto:
    return ExplanationDto(
        blueprint_id=told.blueprint_id,
        trigger=told.trigger_index,
        outcome="held",
        reason=reason,
        condition=condition,
    )


def _suppressed(suppression: Suppression) -> ExplanationDto:
    said = _SAID.get(suppression.reason)
    return ExplanationDto(
        blueprint_id=suppression.blueprint_id,
        trigger=suppression.trigger_index,
        outcome="held" if said is None else "suppressed",
        reason=suppression.detail or (said or "").format(key=suppression.key),
        condition=suppression.reason,
        run_id=suppression.run_id,
    )


def _started(
    name: str, run_id: uuid.UUID, error: Mapping[str, Any], told: ExplanationDto | None
) -> ExplanationDto:
    """What began; a run that ``concurrency`` ended before its first step did not."""
    turned_away = error.get("code") in TURNED_AWAY
    return ExplanationDto(
        blueprint_id=name,
        trigger=0 if told is None else told.trigger,
        outcome="suppressed" if turned_away else "started",
        reason=str(error["message"]) if turned_away else "it fits, and started this run",
        condition="concurrency" if turned_away else None,
        run_id=run_id,
    )
