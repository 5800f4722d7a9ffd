"""Take up a run and do what :mod:`xyn_reconciler.run.decide` says, until it ends or waits.

A thin shell: claim, decide, commit the intents, execute, commit the results,
decide again. Consecutive steps without an effect outside (transforms, skips,
gates) share the transaction of the claim or of the results before them, so a
run of transforms is one commit.

Every transaction after the first begins by locking the run's row under this
claim (:func:`store.claims.hold`); a claim that was lost ends the work silently.
A step's effect comes after its intent is committed, and its result is
committed before anything that follows (promise P2).
"""

import contextlib
import datetime as dt
import logging
import random
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from xyn_reconciler.action.context import Action
from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.crash_point import crash_point
from xyn_reconciler.model.errors import UnavailableError, XynError
from xyn_reconciler.model.internal_events import RunFailed
from xyn_reconciler.model.run import ExecutionPlan, RunStatus, StepStatus
from xyn_reconciler.run.apply import Application
from xyn_reconciler.run.decide import decide
from xyn_reconciler.run.decisions import Decision, Signal
from xyn_reconciler.run.execute import Outcome, Surroundings, Task, launch
from xyn_reconciler.run.hand import Grip, Hand
from xyn_reconciler.run.heartbeat import Heartbeat
from xyn_reconciler.run.journal import Journal, Redactor
from xyn_reconciler.store import claims, events
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.claims import Held
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.recent import Recent

LEASE: Final = dt.timedelta(seconds=10)
"""How long a run stays with a worker that gives no sign of life."""

_AWAY_SECONDS: Final = 0.2

logger = logging.getLogger(__name__)


class LeaseLostError(XynError):
    """Another worker has this run now; whatever this one still knows of it is void."""

    code = "lease_lost"


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Worker:
    """Advances runs; one per process, safe from any thread."""

    def __init__(  # noqa: PLR0913 - all that a worker is given, by name
        self,
        *,
        database: Database,
        actions: Mapping[str, Action],
        artifacts: ArtifactStore,
        emit: EmitEvents,
        redactor: Redactor,
        secret: Callable[[str], str | None],
        name: str,
        lease: dt.timedelta = LEASE,
        node_started_at: dt.datetime | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``name`` is this process's own, like ``host:pid:start``: two of a name share claims.

        A run whose holder was last alive before ``node_started_at`` went down
        with the whole node, which says nothing against the step it was in.
        """
        self._database = database
        self._actions = actions
        self._artifacts = artifacts
        self._emit = emit
        self._redactor = redactor
        self._secret = secret
        self._name = name
        self._lease = lease
        self._node_started_at = node_started_at
        self._clock = clock
        self._jitter = jitter
        self._plans: Recent[str, ExecutionPlan] = Recent(256)
        self._idempotent = frozenset(
            key for key, action in actions.items() if action.spec.idempotent
        )
        self._heartbeat = Heartbeat(database, name, lease, clock)

    def advance(self, run_id: uuid.UUID) -> None:
        """Take the run as far as it goes; nothing to do, or held by another, is no trouble.

        Raises ``UnavailableError`` where the database went away for longer
        than the lease: the sweep of whichever worker lives takes the run up.
        """
        grip: Grip | None = None
        try:
            with self._database.begin() as connection:
                journal = self._take_up(connection, run_id)
                if journal is None:
                    return
                grip = Grip(run_id, journal.claimed.attempt)
                hand = Hand(grip)
                tasks = self._turn(journal, connection, hand, ())
            crash_point("run.taken_up")
            if not journal.over:
                self._heartbeat.hold(grip)
                self._see_through(journal, hand, tasks)
        except LeaseLostError:
            logger.info("run %s is another worker's now", run_id)
        except UnavailableError:
            raise
        except Exception as error:
            # A fault of our own: tried again it would only come again, so the run is set aside.
            logger.exception("run %s broke the worker", run_id)
            self._break_off(run_id, error)
        finally:
            if grip is not None:
                self._heartbeat.let_go(grip)
                grip.stop.set()

    def close(self) -> None:
        """Prolong no lease any more; call it when no run is being advanced."""
        self._heartbeat.close()

    def _take_up(self, connection: Connection, run_id: uuid.UUID) -> Journal | None:
        now = self._clock()
        claimed = claims.claim(connection, run_id, worker=self._name, now=now, lease=self._lease)
        if claimed is None:
            return None
        if claimed.lapsed_at is not None:
            claims.interrupt_attempts(connection, run_id, now)
        steps, rest = claims.load_steps(connection, run_id)
        event = None if claimed.event_id is None else events.get_event(connection, claimed.event_id)
        plan = self._plan(connection, claimed.plan_digest)
        journal = Journal(
            claimed, plan, None if event is None else event.event, steps, rest, self._redactor
        )
        if not journal.run.cancel_requested:
            journal.set_going(now)
        return journal

    def _plan(self, connection: Connection, digest: str) -> ExecutionPlan:
        return self._plans.get(digest) or self._plans.put(
            digest, claims.load_plan(connection, digest)
        )

    def _see_through(self, journal: Journal, hand: Hand, tasks: Sequence[Task]) -> None:
        """Execute and decide in turn until the run is given back."""
        while True:
            crash_point("step.intent")
            self._launch(journal, hand, tasks)
            outcomes = hand.wait(self._clock(), journal.next_moment())
            crash_point("step.effect")
            with self._transaction(journal, hand.grip) as (connection, held):
                journal.learn(held, claims.load_gates(connection, journal.run_id))
                tasks = self._turn(journal, connection, hand, outcomes)
            crash_point("step.result")
            if journal.over:
                return

    @contextlib.contextmanager
    def _transaction(self, journal: Journal, grip: Grip) -> Iterator[tuple[Connection, Held]]:
        """Begin a transaction of a claim that still stands, waiting for a database that is away."""
        while True:
            begun = False
            try:
                with self._database.begin() as connection:
                    held = claims.hold(
                        connection, journal.run_id, worker=self._name, attempt=grip.attempt
                    )
                    if held is None or grip.lost:
                        raise LeaseLostError(f"run {journal.run_id} was lost")
                    begun = True
                    yield connection, held
                    return
            except UnavailableError:
                if begun or grip.lost:
                    raise
                time.sleep(_AWAY_SECONDS)

    def _turn(
        self,
        journal: Journal,
        connection: Connection,
        hand: Hand,
        outcomes: Sequence[Outcome],
    ) -> Sequence[Task]:
        """Take in outcomes, decide until nothing more can be decided, write; what to launch."""
        application = Application(
            journal,
            connection,
            self._clock(),
            worker=self._name,
            actions=self._actions,
            artifacts=self._artifacts,
            jitter=self._jitter,
        )
        for outcome in outcomes:
            application.settle(outcome, stopped=hand.signalled)
        while not journal.over:
            in_hand = hand.keys() | {task.key for task in application.tasks}
            decisions = self._decide(journal, application.now, in_hand)
            if any(isinstance(decision, Signal) for decision in decisions):
                hand.signal(application.now)
            changes = [one for one in decisions if not isinstance(one, Signal)]
            if not changes:
                break
            for decision in changes:
                application.apply(decision)
        journal.write(connection, application.now, self._emit)
        return application.tasks

    def _decide(
        self, journal: Journal, now: dt.datetime, in_hand: Collection[str]
    ) -> tuple[Decision, ...]:
        lapsed_at = journal.claimed.lapsed_at
        return decide(
            journal.plan,
            journal.run,
            journal.steps,
            now,
            in_hand=in_hand,
            idempotent=self._idempotent,
            node_was_killed=lapsed_at is not None
            and self._node_started_at is not None
            and lapsed_at - self._lease <= self._node_started_at,
        )

    def _launch(self, journal: Journal, hand: Hand, tasks: Sequence[Task]) -> None:
        around = Surroundings(
            run_id=journal.run_id,
            step_id=journal.step_id,
            correlation_id=journal.claimed.correlation_id,
            egress=journal.plan.node.egress,
            secret=self._secret,
            cancelled=hand.grip.stop.is_set,
        )
        for task in tasks:
            hand.take(task, self._clock())
            launch(task, self._actions[task.action], around, hand.grip.done)

    def _break_off(self, run_id: uuid.UUID, error: Exception) -> None:
        """Fail a run that our own fault keeps from going on; what it had begun is left as it is."""
        message = f"Xyn itself failed here ({type(error).__name__}); the node's log says where"
        with self._database.begin() as connection:
            claims.release(connection, run_id, worker=self._name)
            journal = self._take_up(connection, run_id)
            if journal is None:
                return
            now = self._clock()
            for key, view in journal.steps.items():
                if not view.status.ended:
                    journal.end(key, StepStatus.CANCELLED, now)
            reason = {"code": "internal_error", "message": message, "step": None}
            journal.set_run(RunStatus.FAILED, error=reason, completed_at=now, available_at=None)
            told = RunFailed(
                blueprint_id=journal.plan.blueprint_id,
                code="internal_error",
                message=message,
                step=None,
            )
            journal.tell(told, now)
            journal.record()
            journal.give_back()
            journal.write(connection, now, self._emit)
