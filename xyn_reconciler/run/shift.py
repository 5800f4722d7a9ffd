"""The rounds of one thread over all the runs in its hand: take in, take up, decide, commit, launch.

A thin shell: what came in since the last round (outcomes, news, moments that
are due, wake-ups) is decided together and committed together, so a crowd of
runs shares one commit, and a single run waits for nobody. Consecutive steps
without an effect outside (transforms, skips, gates) never see a commit between
them: a run of transforms is claimed, done and ended in one.

A round over runs that concern nobody else is one statement, which writes nothing
where a claim was lost or a cancel was asked for (:mod:`store.turns`). Any other
is a transaction that locks the rows of its runs first, under their claims
(:func:`store.claims.hold`); what was lost is dropped silently. A step's effect
comes after its intent is committed, and its result is committed before anything
that follows (promise P2). A round that could not be committed is taken back and
done again while the claims last: results are not lost with a connection. Where
the answer to a commit was lost, the next round asks first what came of it.
"""

import datetime as dt
import logging
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import UnavailableError
from xyn_reconciler.model.secret import SecretUse
from xyn_reconciler.run.break_off import break_off
from xyn_reconciler.run.equipment import Equipment
from xyn_reconciler.run.execute import Outcome, Surroundings, Task, carry_out
from xyn_reconciler.run.hand import Grip, Hand, Word
from xyn_reconciler.run.in_hand import InHand
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.run.run_log import store_all
from xyn_reconciler.run.slots import Slots, wants_a_slot
from xyn_reconciler.run.take_up import journals
from xyn_reconciler.run.turn import Departure, take_turn
from xyn_reconciler.store import claims, dispatch, events, runs, token_claims
from xyn_reconciler.store.database import Connection
from xyn_reconciler.store.news import News, load_news
from xyn_reconciler.store.turns import Turn

_AWAY_SECONDS = 0.2
_LONGEST_WAIT = 3600.0
_LEAP = dt.timedelta(seconds=10)
"""What a clock is ahead all at once beyond this is no time that passed."""

logger = logging.getLogger(__name__)


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
    landmark: uuid.UUID | None = None
    """An event that is there if it was committed; ``None`` while it cannot have been."""


class Shift:
    """The runs of one thread; only :meth:`notice` and :meth:`wake` are for other threads."""

    def __init__(self, equipment: Equipment) -> None:
        self.held: dict[uuid.UUID, InHand] = {}
        self.noticed = False
        """Whether there may be more to take up."""
        self._own = equipment
        self._inbox: queue.SimpleQueue[Word | None] = queue.SimpleQueue()
        self._departure = Departure.STAYS
        self._doubtful: _Round | None = None
        """A round whose commit was sent and not answered."""
        self._read_at = (equipment.clock(), time.monotonic())
        """The clock of the day and the one that never leaps, at one moment."""

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
        if self._doubtful is not None:
            self._ask_about(self._doubtful)
        wanted = bool(run_ids or room)
        self.wait(0.0 if wanted else timeout)
        now = self._own.clock()
        self._forgive_leap(now)
        due = [held for held in self.held.values() if _is_due(held, now)]
        if due or wanted:
            self._commit(_Round(due, now, run_ids, room, look))

    def _forgive_leap(self, now: dt.datetime) -> None:
        """Put off the ends of runs by what the clock leapt ahead: they did not take that time."""
        before, self._read_at = self._read_at, (now, time.monotonic())
        leap = now - before[0] - dt.timedelta(seconds=self._read_at[1] - before[1])
        if leap >= _LEAP:
            for held in self.held.values():
                held.journal.put_off(leap)
                held.changed = True

    def leave(self, grace: float) -> None:
        """Begin no step any more; give steps under way ``grace`` seconds; hand over every run."""
        self._departure = Departure.LEAVES
        until = time.monotonic() + grace
        self._look_again()
        while self.held and time.monotonic() < until:
            try:
                self.round(timeout=until - time.monotonic())
            except UnavailableError:
                time.sleep(_AWAY_SECONDS)
        self._departure = Departure.AT_ONCE
        self._look_again()
        for held in self.held.values():
            held.hand.grip.stop.set()
        self.round(timeout=0.0)

    def _look_again(self) -> None:
        for held in self.held.values():
            held.changed = True

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────

    def wait(self, timeout: float | None) -> None:
        """Wait for a word, or for a moment that is due; then take in every word there is."""
        if self._doubtful is not None:
            # What comes in now would be taken for part of it.
            return
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
        seconds = [_LONGEST_WAIT if timeout is None else timeout]
        seconds += [held.hand.patience() for held in self.held.values()]
        if moments:
            seconds.append((min(moments) - self._own.clock()).total_seconds())
        return max(min(seconds), 0.0)

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
            if not self._at_once(this):
                self._transact(this)
        except UnavailableError:
            if this.landmark is None:
                _restore(this.due)
            else:
                self._doubtful = this
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to one run
            _restore(this.due)
            self._one_by_one(this, error)
            return
        self._committed(this)

    def _committed(self, this: _Round) -> None:
        for held in this.lost:
            ids = {"correlation_id": held.journal.claimed.correlation_id, "run_id": held.run_id}
            logger.info("run %s is another worker's now", held.run_id, extra=ids)
            self._let_go(held)
        crash_point("step.result" if this.due else "run.taken_up")
        self._after(this.part)

    def _at_once(self, this: _Round) -> bool:
        """Commit a round in one statement, where nothing is to be asked before; whether it is."""
        own, part = self._own, this.due
        if this.run_ids or this.room or self._departure is not Departure.STAYS:
            return False
        if not all(held.journal.stands_alone and not held.hand.grip.lost for held in part):
            return False
        for held in part:
            take_turn(None, held, this.now, own, self._departure)
        told = [event for held in part for event in held.journal.changes.events]
        unheard = own.unheard(told)
        if told and unheard is not None:
            turn = self._turn(part, this.now)
            this.part, this.landmark = list(part), told[0].event_id
            tokens = [(held.run_id, held.journal.claimed.attempt) for held in part]
            with own.database.autocommit() as connection:
                if turn.save(connection, unheard, held=tokens, worker=own.name):
                    return True
            this.landmark = None
        _restore(part)
        return False

    def _transact(self, this: _Round) -> None:
        with self._own.database.begin() as connection:
            this.part, this.lost = self._still_held(connection, this)
            if this.run_ids or this.room:
                this.part += self._taken_up(connection, this)
            slots = Slots(connection, this.part, this.now)
            for held in this.part:
                if not held.journal.over:
                    take_turn(connection, held, this.now, self._own, self._departure)
            turn = self._turn(this.part, this.now)
            told = [event for held in this.part for event in held.journal.changes.events]
            unheard = self._own.unheard(told)
            if unheard is None or not turn.save(connection, unheard):
                turn.save(connection)
                self._own.emit(connection, told)
            self._pass_on(connection, this, slots)
            if told:
                this.landmark = told[0].event_id

    def _pass_on(self, connection: Connection, this: _Round, slots: Slots) -> None:
        """Wake whoever waited for what this round brought about."""
        woken = slots.pass_on()
        parents, cancels = list[uuid.UUID](), list[uuid.UUID]()
        for held in this.part:
            claimed = held.journal.claimed
            cancels += held.journal.changes.cancels
            if held.journal.run.status.ended and claimed.parent_step_id is not None:
                parents.append(claimed.parent_step_id)
            if self._departure is not Departure.STAYS and held.journal.over:
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
        ours = claims.hold(connection, tokens, worker=self._own.name)
        kept = [h for h in this.due if h.run_id in ours and not h.hand.grip.lost]
        listening = [held.run_id for held in kept if held.journal.listens()]
        news = load_news(connection, listening)
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
        claimed = [one for one in found.runs if one.run_id not in self.held]
        this.asked = [one.run_id for one in claimed]
        lapsed = [one.run_id for one in claimed if one.lapsed_at is not None]
        if lapsed:
            claims.interrupt_attempts(connection, lapsed, this.now)
            token_claims.abandon(connection, lapsed)
        return [
            self._begun(journal, this.now) for journal in journals(connection, claimed, self._own)
        ]

    def _begun(self, journal: Journal, now: dt.datetime) -> InHand:
        if not (journal.run.cancel_requested or wants_a_slot(journal)):
            journal.set_going(now)
        return self._in_hand(journal, journal.claimed.attempt)

    def _in_hand(self, journal: Journal, token: int) -> InHand:
        own, plan = self._own, journal.plan
        hand = Hand(Grip(journal.run_id, token, self._inbox.put))
        return InHand(journal, hand, own.actions_of(plan), own.idempotent_of(plan))

    def _ask_about(self, this: _Round) -> None:
        """Learn what came of a commit whose answer was lost, and go on from there."""
        with self._own.database.begin() as connection:
            # Its rows are locked for as long as it may still be under way.
            runs.lock_all(connection, [held.run_id for held in this.part])
            assert this.landmark is not None  # noqa: S101 - see _commit
            stored = events.is_stored(connection, this.landmark)
        self._doubtful = None
        if stored:
            self._committed(this)
        else:
            _restore(this.due)

    # ── what a round writes ──────────────────────────────────────────────────────────────────────

    def _keep_logs(self, journals: Iterable[Journal], now: dt.datetime) -> None:
        """Store the logs of those that wait or end now."""
        due = [journal for journal in journals if journal.changes.log]
        for journal in due:
            journal.lines.last = journal.run.status.ended
        stored = store_all([one.lines for one in due], self._own.artifacts, self._own.crew)
        for journal in due:
            if journal.run_id in stored:
                journal.keep_log(stored[journal.run_id], now)

    def _turn(self, part: Iterable[InHand], now: dt.datetime) -> Turn:
        """Give the changes of runs, all but what is told of them."""
        turn = Turn()
        self._keep_logs([held.journal for held in part], now)
        for held in part:
            if held.journal.to_be_written:
                held.journal.write(turn, now, worker=self._own.name, lease=self._own.lease)
        return turn

    # ── after the commit ─────────────────────────────────────────────────────────────────────────

    def _after(self, part: Iterable[InHand]) -> None:
        """Launch what was intended, and forget what is over."""
        if any(h.journal.claimed.lapsed_at for h in part if h.run_id not in self.held):
            self._own.crew.begin(self._own.leftovers)
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
            self._own.live.let_go(held.run_id)
        held.hand.grip.stop.set()

    def _launch(self, held: InHand) -> None:
        journal, hand = held.journal, held.hand
        if held.tasks:
            crash_point("step.intent")
            for task in held.tasks:
                hand.take(task)
                around = Surroundings(
                    run_id=journal.run_id,
                    step_id=journal.step_id,
                    correlation_id=journal.claimed.correlation_id,
                    node=journal.plan.node,
                    secret=self._secret_of(journal, task),
                    cancelled=hand.grip.stop.is_set,
                    artifacts=self._own.artifacts,
                    open_artifact=self._own.open_artifact,
                    redactor=self._own.redactor,
                    live=self._own.live,
                    known_hosts=journal.plan.known_hosts,
                    run_attempt=journal.claimed.attempt,
                )
                action = held.actions[task.action]
                self._own.crew.begin(partial(carry_out, task, action, around, hand.grip.done))
            held.tasks = ()
        held.moment = journal.next_moment()

    def _secret_of(self, journal: Journal, task: Task) -> Callable[[str], str | None]:
        """Resolves secrets for an attempt, where whoever caused the run may use them.

        Each is asked about, and noted, before the attempt has it for the first time.
        """
        own, claimed = self._own, journal.claimed
        event = claimed.event or {}
        noted = set[str]()

        def secret(reference: str) -> str | None:
            if reference not in noted:
                own.may_use_secret(
                    SecretUse(
                        reference=reference,
                        actor=claimed.actor,
                        by_hand=event.get("actor") != claimed.actor,
                        run_id=claimed.run_id,
                        step=task.key,
                        action=task.action,
                        attempt=task.number,
                    )
                )
                noted.add(reference)
            return own.secret(reference)

        return secret

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
        run_id = this.due[0].run_id if this.due else this.asked[0]
        ids: dict[str, object] = {"run_id": run_id}
        for held in this.due:
            ids["correlation_id"] = held.journal.claimed.correlation_id
            self._let_go(held)
        # Tried again it would only come again, so the run is set aside.
        logger.error("run %s broke the worker", run_id, exc_info=error, extra=ids)
        self._break_off(run_id, error)

    def _break_off(self, run_id: uuid.UUID, error: Exception) -> None:
        now = self._own.clock()
        with self._own.database.begin() as connection:
            journal = break_off(connection, run_id, error, now, self._own)
            if journal is not None:
                broken = _Round([], now, part=[self._in_hand(journal, 0)])
                self._pass_on(connection, broken, Slots(connection, broken.part, now))


def _is_due(held: InHand, now: dt.datetime) -> bool:
    return (
        held.changed
        or bool(held.outcomes)
        or held.hand.grip.lost
        or held.hand.patience() <= 0
        or (held.moment is not None and held.moment <= now)
    )


def _restore(due: Iterable[InHand]) -> None:
    for held in due:
        held.journal.restore()
        held.tasks = ()
