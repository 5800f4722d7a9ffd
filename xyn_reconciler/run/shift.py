"""The rounds of one thread over all the runs in its hand: take in, take up, decide, commit, launch.

A thin shell: what came in since the last round (outcomes, news, moments that
are due, wake-ups) is decided together and committed together, so a crowd of
runs shares one commit, and a single run waits for nobody. Consecutive steps
without an effect outside (transforms, skips, gates) never see a commit between
them: a run of transforms is claimed, done and ended in one.

Every transaction locks the rows of its runs first, under their claims
(:func:`store.claims.hold`); what was lost is dropped silently. A step's effect
comes after its intent is committed, and its result is committed before anything
that follows (promise P2). A round that could not be committed is taken back and
done again while the claims last: results are not lost with a connection.
"""

import datetime as dt
import logging
import queue
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from xyn_reconciler.action.context import Action
from xyn_reconciler.model.capability import EmitEvents, LaunchRun
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import RunFailed
from xyn_reconciler.model.run import ExecutionPlan, RunStatus, StepStatus
from xyn_reconciler.run.apply import Application
from xyn_reconciler.run.crew import Crew
from xyn_reconciler.run.decide import decide
from xyn_reconciler.run.decisions import Decision, Signal
from xyn_reconciler.run.execute import Outcome, Redactor, Surroundings, carry_out
from xyn_reconciler.run.hand import Grip, Hand, Word
from xyn_reconciler.run.heartbeat import Heartbeat
from xyn_reconciler.run.in_hand import InHand
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.run.slots import Slots, wants_a_slot
from xyn_reconciler.store import claims, dispatch, runs
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.claims import Claimed, News, Story
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.recent import Recent
from xyn_reconciler.store.turns import Turn

_AWAY_SECONDS = 0.2
_LONGEST_WAIT = 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What all shifts of one worker share."""

    database: Database
    actions: Mapping[str, Action]
    artifacts: ArtifactStore
    emit: EmitEvents
    redactor: Redactor
    secret: Callable[[str], str | None]
    name: str
    lease: dt.timedelta
    node_started_at: dt.datetime | None
    clock: Callable[[], dt.datetime]
    jitter: Callable[[], float]
    plans: Recent[str, ExecutionPlan]
    heartbeat: Heartbeat
    crew: Crew
    launch: LaunchRun | None


@dataclass(slots=True, eq=False)
class _Round:
    """One transaction over several runs."""

    due: Sequence[InHand]
    now: dt.datetime
    run_ids: Sequence[uuid.UUID] = ()
    room: int = 0
    look: bool = False
    asked: list[uuid.UUID] = field(default_factory=list)
    """Runs that it tried to take up."""
    part: list[InHand] = field(default_factory=list)
    """Runs that it is about, those which it took up included."""
    lost: list[InHand] = field(default_factory=list)
    transaction: str | None = None
    """Its id: whether it was committed can be asked by it."""
    written: bool = False
    """Whether all that is left is the commit."""


class Shift:
    """The runs of one thread; only :meth:`notice` and :meth:`wake` are for other threads."""

    def __init__(self, equipment: Equipment) -> None:
        self.held: dict[uuid.UUID, InHand] = {}
        self.noticed = False
        """Whether there may be more to take up."""
        self._own = equipment
        self._inbox: queue.SimpleQueue[Word | None] = queue.SimpleQueue()
        self._idempotent = frozenset(
            key for key, action in equipment.actions.items() if action.spec.idempotent
        )
        self._leaving = False
        self._at_once = False

    def notice(self) -> None:
        """Say that there is something to take up."""
        self.noticed = True
        self._inbox.put(None)

    def wake(self) -> None:
        """End a wait for whatever comes next."""
        self._inbox.put(None)

    def round(
        self,
        run_ids: Sequence[uuid.UUID] = (),
        *,
        room: int = 0,
        look: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Take in what came, waiting for it at most ``timeout`` seconds; take up runs; go on.

        ``run_ids`` are taken up where they are free, and up to ``room`` others
        that somebody is to be woken for; with ``look`` also those that nobody
        was told of. With any of these nothing is waited for. Raises
        ``UnavailableError``; what came in is kept for the next round.
        """
        wanted = bool(run_ids or room)
        self._gather(0.0 if wanted else timeout)
        now = self._own.clock()
        due = [held for held in self.held.values() if _is_due(held, now)]
        if due or wanted:
            self._commit(_Round(due, now, run_ids, room, look))

    def leave(self, grace: float) -> None:
        """Begin no step any more; give steps under way ``grace`` seconds; hand over every run."""
        self._leaving = True
        until = time.monotonic() + grace
        self._look_again()
        while self.held and time.monotonic() < until:
            try:
                self.round(timeout=until - time.monotonic())
            except UnavailableError:
                time.sleep(_AWAY_SECONDS)
        self._at_once = True
        self._look_again()
        for held in self.held.values():
            held.hand.grip.stop.set()
        self.round(timeout=0.0)

    def _look_again(self) -> None:
        for held in self.held.values():
            held.changed = True

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────

    def _gather(self, timeout: float | None) -> None:
        """Wait for a word, or for a moment that is due; then take in every word there is."""
        words = self._inbox
        try:
            word = words.get(timeout=self._patience(timeout))
            while True:
                if word is not None:
                    self._hear(*word)
                word = words.get_nowait()
        except queue.Empty:
            return

    def _patience(self, timeout: float | None) -> float:
        if any(held.changed or held.outcomes for held in self.held.values()):
            return 0.0
        moments = [held.moment for held in self.held.values() if held.moment is not None]
        seconds = _LONGEST_WAIT if timeout is None else timeout
        if moments:
            seconds = min(seconds, (min(moments) - self._own.clock()).total_seconds())
        return max(seconds, 0.0)

    def _hear(self, grip: Grip, outcome: Outcome | None) -> None:
        held = self.held.get(grip.run_id)
        if held is None or held.hand.grip is not grip:
            return
        if outcome is None:
            held.changed = True
        elif held.hand.has(outcome):
            held.outcomes.append(outcome)

    # ── one transaction ──────────────────────────────────────────────────────────────────────────

    def _commit(self, this: _Round) -> None:
        """Carry out a round; a fault of our own fails the run that has it, and no other."""
        if any(held.outcomes for held in this.due):
            crash_point("step.effect")
        try:
            self._transact(this)
        except UnavailableError:
            if not (this.written and self._was_committed(this.transaction)):
                _restore(this.due)
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to one run
            _restore(this.due)
            self._one_by_one(this, error)
            return
        for held in this.lost:
            logger.info("run %s is another worker's now", held.run_id)
            self._let_go(held)
        crash_point("step.result" if this.due else "run.taken_up")
        self._after(this.part)

    def _transact(self, this: _Round) -> None:
        turn, events = Turn(), list[Event]()
        with self._own.database.begin() as connection:
            this.part, this.lost = self._still_held(connection, this)
            if this.run_ids or this.room:
                this.part += self._taken_up(connection, this)
            slots = Slots(connection, this.part, this.now)
            for held in this.part:
                if not held.journal.over:
                    self._turn(connection, held, this.now)
                events += self._written(held, this.now, turn)
            turn.save(connection)
            if events:
                self._own.emit(connection, events)
            self._pass_on(connection, this, slots)
            this.written = True

    def _pass_on(self, connection: Connection, this: _Round, slots: Slots) -> None:
        """Wake whoever waited for what this round brought about."""
        woken = slots.pass_on()
        parents, cancels = list[uuid.UUID](), list[uuid.UUID]()
        for held in this.part:
            claimed = held.journal.claimed
            cancels += held.journal.changes.cancels
            if held.journal.run.status.ended and claimed.parent_step_id is not None:
                parents.append(claimed.parent_step_id)
            if self._leaving and held.journal.over:
                woken.append((held.run_id, claimed.priority))
        if parents:
            woken += runs.wake_parents(connection, parents, now=this.now)
        for run_id in cancels:
            runs.request_cancel(connection, run_id, by="system", now=this.now)
            woken.append((run_id, 0))
        dispatch.enqueue_many(connection, woken)

    def _still_held(
        self, connection: Connection, this: _Round
    ) -> tuple[list[InHand], list[InHand]]:
        """Lock the runs that are due, and learn what people did; those that are ours, and lost."""
        tokens = [(held.run_id, held.journal.claimed.attempt) for held in this.due]
        ours, this.transaction = claims.hold(connection, tokens, worker=self._own.name)
        kept = [h for h in this.due if h.run_id in ours and not h.hand.grip.lost]
        listening = [held.run_id for held in kept if held.journal.listens()]
        news = claims.load_news(connection, listening)
        for held in kept:
            held.journal.learn(ours[held.run_id], news.get(held.run_id, News()))
        return kept, [held for held in this.due if held not in kept]

    def _taken_up(self, connection: Connection, this: _Round) -> list[InHand]:
        """Claim what was asked for and what there is to take up."""
        wanted = list(this.run_ids)
        if this.room:
            # Before it asks: what is noticed from here on stays noticed.
            self.noticed = False
        if this.look:
            wanted += runs.due(connection, now=this.now, limit=this.room)
        free = [run_id for run_id in wanted if run_id not in self.held]
        found = claims.claim(connection, free, now=this.now, room=this.room)
        if this.room and found.woken == this.room:
            self.noticed = True
        this.transaction = found.transaction
        claimed = [one for one in found.runs if one.run_id not in self.held]
        this.asked = [one.run_id for one in claimed]
        lapsed = [one.run_id for one in claimed if one.lapsed_at is not None]
        if lapsed:
            claims.interrupt_attempts(connection, lapsed, this.now)
        stories = claims.load_stories(
            connection, [one.run_id for one in claimed if not one.untouched]
        )
        self._know_plans(connection, claimed)
        return [self._begun(one, stories.get(one.run_id), this.now) for one in claimed]

    def _begun(self, claimed: Claimed, story: Story | None, now: dt.datetime) -> InHand:
        journal = Journal(claimed, self._plan(claimed), story, self._own.redactor)
        if not (journal.run.cancel_requested or wants_a_slot(journal)):
            journal.set_going(now)
        return InHand(journal, Hand(Grip(claimed.run_id, claimed.attempt, self._inbox.put)))

    def _know_plans(self, connection: Connection, claimed: Iterable[Claimed]) -> None:
        digests = {one.plan_digest for one in claimed}
        unknown = {digest for digest in digests if self._own.plans.get(digest) is None}
        if unknown:
            for digest, plan in claims.load_plans(connection, unknown).items():
                self._own.plans.put(digest, plan)

    def _plan(self, claimed: Claimed) -> ExecutionPlan:
        plan = self._own.plans.get(claimed.plan_digest)
        if plan is None:
            raise LookupError(f"run {claimed.run_id} has no plan {claimed.plan_digest}")
        return plan

    def _was_committed(self, transaction: str | None) -> bool:
        """Ask about a commit whose answer was lost; only as long as our claims can last."""
        until = time.monotonic() + self._own.lease.total_seconds()
        while transaction is not None and time.monotonic() < until:
            try:
                with self._own.database.begin() as connection:
                    return claims.committed(connection, transaction)
            except UnavailableError:
                time.sleep(_AWAY_SECONDS)
        return False

    # ── one run's turn ───────────────────────────────────────────────────────────────────────────

    def _turn(self, connection: Connection, held: InHand, now: dt.datetime) -> None:
        """Take in outcomes, decide until nothing more can be decided."""
        journal, hand = held.journal, held.hand
        application = Application(
            journal,
            now,
            worker=self._own.name,
            actions=self._own.actions,
            artifacts=self._own.artifacts,
            jitter=self._own.jitter,
            launch=None if self._own.launch is None else partial(self._start_run, connection),
        )
        held.outcomes += hand.abandoned(now, held.outcomes)
        for outcome in held.outcomes:
            application.settle(outcome, stopped=hand.signalled)
        application.refresh_gates()
        under_way = hand.without(held.outcomes)
        if self._leaving and (self._at_once or not under_way):
            journal.hand_over(now, [task.attempt_id for task in under_way])
        if self._leaving:
            return
        while not journal.over:
            in_hand = {task.key for task in (*under_way, *application.tasks)}
            decisions = self._decide(journal, now, in_hand)
            if any(isinstance(decision, Signal) for decision in decisions):
                hand.signal(now)
            changes = [one for one in decisions if not isinstance(one, Signal)]
            if not changes:
                break
            for decision in changes:
                application.apply(decision)
        application.refresh_gates()
        held.tasks = application.tasks

    def _start_run(
        self,
        connection: Connection,
        journal: Journal,
        run_id: uuid.UUID,
        step_id: uuid.UUID,
        inputs: Mapping[str, Any],
    ) -> None:
        """Start the run that a step of kind ``blueprints.run`` asks for."""
        assert self._own.launch is not None  # noqa: S101 - see _turn
        claimed = journal.claimed
        self._own.launch(
            connection,
            inputs["blueprint"],
            inputs.get("inputs", {}),
            actor=claimed.actor,
            correlation_id=claimed.correlation_id,
            run_id=run_id,
        )
        hops = claimed.hops + 1
        runs.set_parent(connection, run_id, parent_step_id=step_id, hops=hops)

    def _decide(
        self, journal: Journal, now: dt.datetime, in_hand: Collection[str]
    ) -> tuple[Decision, ...]:
        lapsed_at, started_at = journal.claimed.lapsed_at, self._own.node_started_at
        return decide(
            journal.plan,
            journal.run,
            journal.steps,
            now,
            in_hand=in_hand,
            idempotent=self._idempotent,
            # A worker that gave the run back, or went down with its node, did not die of the step.
            died=lapsed_at is not None
            and not (started_at is not None and lapsed_at - self._own.lease <= started_at),
        )

    def _written(self, held: InHand, now: dt.datetime, turn: Turn) -> Sequence[Event]:
        """Put a run's changes into the turn; the events that tell of them."""
        journal = held.journal
        if journal.to_be_written:
            journal.write(turn, now, worker=self._own.name, lease=self._own.lease)
            turn.told.append(held.run_id)
        return journal.changes.events

    # ── after the commit ─────────────────────────────────────────────────────────────────────────

    def _after(self, part: Iterable[InHand]) -> None:
        """Launch what was intended, and forget what is over."""
        fresh = []
        for held in part:
            held.journal.settle()
            for outcome in held.outcomes:
                held.hand.drop(outcome)
            held.outcomes, held.changed = [], False
            if held.journal.over:
                self._let_go(held)
            elif held.run_id not in self.held:
                self.held[held.run_id] = held
                fresh.append(held.hand.grip)
        if fresh:
            self._own.heartbeat.hold(fresh)
        for held in part:
            if not held.journal.over:
                self._launch(held)

    def _let_go(self, held: InHand) -> None:
        if self.held.pop(held.run_id, None) is not None:
            self._own.heartbeat.let_go([held.hand.grip])
        held.hand.grip.stop.set()

    def _launch(self, held: InHand) -> None:
        journal, hand = held.journal, held.hand
        if held.tasks:
            crash_point("step.intent")
            around = Surroundings(
                run_id=journal.run_id,
                step_id=journal.step_id,
                correlation_id=journal.claimed.correlation_id,
                node=journal.plan.node,
                secret=self._own.secret,
                cancelled=hand.grip.stop.is_set,
                artifacts=self._own.artifacts,
                redactor=self._own.redactor,
            )
            for task in held.tasks:
                hand.take(task, self._own.clock())
                action = self._own.actions[task.action]
                self._own.crew.begin(partial(carry_out, task, action, around, hand.grip.done))
            held.tasks = ()
        moments = [journal.next_moment(), hand.next_moment()]
        held.moment = min((moment for moment in moments if moment is not None), default=None)

    # ── faults of our own ────────────────────────────────────────────────────────────────────────

    def _one_by_one(self, this: _Round, error: Exception) -> None:
        """Find the run at fault by giving each a transaction of its own, and fail that one."""
        parts = [_Round([held], this.now) for held in this.due]
        parts += [_Round([], this.now, [run_id]) for run_id in this.asked]
        if not parts:
            raise error
        if len(parts) > 1:
            for part in parts:
                self._commit(part)
            return
        for held in this.due:
            self._let_go(held)
        run_id = this.due[0].run_id if this.due else this.asked[0]
        # Tried again it would only come again, so the run is set aside.
        logger.error("run %s broke the worker", run_id, exc_info=error)
        self._break_off(run_id, error)

    def _break_off(self, run_id: uuid.UUID, error: Exception) -> None:
        """Fail a run that our own fault keeps from going on; what it had begun is left as it is."""
        message = f"Xyn itself failed here ({type(error).__name__}); the node's log says where"
        now = self._own.clock()
        with self._own.database.begin() as connection:
            claims.release(connection, run_id, worker=self._own.name)
            claimed = claims.claim(connection, [run_id], now=now).runs
            if not claimed:
                return
            stories = claims.load_stories(connection, [run_id])
            self._know_plans(connection, claimed)
            plan = self._plan(claimed[0])
            journal = Journal(claimed[0], plan, stories[run_id], self._own.redactor)
            for key, view in journal.steps.items():
                if not view.status.ended:
                    journal.end(key, StepStatus.CANCELLED, now)
            reason = {"code": "internal_error", "message": message, "step": None}
            journal.set_run(RunStatus.FAILED, error=reason, completed_at=now, available_at=None)
            told = RunFailed(
                blueprint_id=plan.blueprint_id, code="internal_error", message=message, step=None
            )
            journal.tell(told, now)
            journal.changes.record = True
            journal.give_back()
            turn = Turn()
            journal.write(turn, now, worker=self._own.name, lease=self._own.lease)
            turn.save(connection)
            self._own.emit(connection, journal.changes.events)
            broken = _Round([], now, part=[InHand(journal, Hand(Grip(run_id, 0, self._inbox.put)))])
            self._pass_on(connection, broken, Slots(connection, broken.part, now))


def _is_due(held: InHand, now: dt.datetime) -> bool:
    return (
        held.changed
        or bool(held.outcomes)
        or held.hand.grip.lost
        or (held.moment is not None and held.moment <= now)
    )


def _restore(due: Iterable[InHand]) -> None:
    for held in due:
        held.journal.restore()
        held.tasks = ()
