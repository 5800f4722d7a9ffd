"""One turn of one run: take in its outcomes, then decide until nothing is left to decide."""

import datetime as dt
import enum
import uuid
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from xyn_reconciler.run.apply import Application
from xyn_reconciler.run.decide import decide
from xyn_reconciler.run.decisions import Decision, Signal
from xyn_reconciler.run.equipment import Equipment
from xyn_reconciler.run.in_hand import InHand
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.store import runs
from xyn_reconciler.store.database import Connection


class Departure(enum.Enum):
    """Whether the worker goes on taking turns."""

    STAYS = enum.auto()
    LEAVES = enum.auto()
    """No step begins; a run is handed over when its steps under way have ended."""
    AT_ONCE = enum.auto()
    """Runs are handed over as they are."""


def take_turn(
    connection: Connection | None,
    held: InHand,
    now: dt.datetime,
    own: Equipment,
    departure: Departure,
) -> None:
    """Bring a run as far as it goes without a commit; its tasks are left in ``held``.

    A run that starts no other needs no ``connection``.
    """
    journal, hand = held.journal, held.hand
    application = Application(
        journal,
        now,
        worker=own.name,
        actions=held.actions,
        jitter=own.jitter,
        launch=None
        if own.launch is None or connection is None
        else partial(_start_run, own, connection),
    )
    held.outcomes += hand.abandoned(held.outcomes)
    for outcome in held.outcomes:
        application.settle(outcome, stopped=hand.signalled)
    application.refresh_gates()
    under_way = hand.without(held.outcomes)
    if departure is Departure.AT_ONCE or (departure is Departure.LEAVES and not under_way):
        journal.hand_over(now, [task.attempt_id for task in under_way])
    if departure is not Departure.STAYS:
        return
    while not journal.over:
        in_hand = {task.key for task in (*under_way, *application.tasks)}
        decisions = _decide(held, now, in_hand, own)
        if any(isinstance(decision, Signal) for decision in decisions):
            hand.signal()
        changes = [one for one in decisions if not isinstance(one, Signal)]
        if not changes:
            break
        for decision in changes:
            application.apply(decision)
    application.refresh_gates()
    held.tasks = application.tasks


def _decide(
    held: InHand, now: dt.datetime, in_hand: Collection[str], own: Equipment
) -> tuple[Decision, ...]:
    journal = held.journal
    lapsed_at, started_at = journal.claimed.lapsed_at, own.node_started_at
    return decide(
        journal.plan,
        journal.run,
        journal.steps,
        now,
        in_hand=in_hand,
        idempotent=held.idempotent,
        # A worker that gave the run back, or went down with its node, did not die of the step.
        died=lapsed_at is not None
        and not (started_at is not None and lapsed_at - own.lease <= started_at),
    )


def _start_run(
    own: Equipment,
    connection: Connection,
    journal: Journal,
    run_id: uuid.UUID,
    step_id: uuid.UUID,
    inputs: Mapping[str, Any],
) -> None:
    """Start the run that a step of kind ``blueprints.run`` asks for."""
    assert own.launch is not None  # noqa: S101 - see take_turn
    claimed = journal.claimed
    own.launch(
        connection,
        inputs["blueprint"],
        inputs.get("inputs", {}),
        actor=claimed.actor,
        correlation_id=claimed.correlation_id,
        run_id=run_id,
    )
    runs.set_parent(connection, run_id, parent_step_id=step_id, hops=claimed.hops + 1)
