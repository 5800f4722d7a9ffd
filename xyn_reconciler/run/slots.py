"""The slots of shared limits in one transaction: who of its runs may begin, who is next."""

import datetime as dt
import uuid
from collections.abc import Sequence

from xyn_reconciler.desired.expression import ExpressionError
from xyn_reconciler.model.run import RunStatus
from xyn_reconciler.run import admission
from xyn_reconciler.run.compile import concurrency_key
from xyn_reconciler.run.decide import expression_failure
from xyn_reconciler.run.in_hand import InHand
from xyn_reconciler.run.journal import Journal
from xyn_reconciler.run.scope import scope
from xyn_reconciler.store import slots
from xyn_reconciler.store.database import Connection


def wants_a_slot(journal: Journal) -> bool:
    """Whether a run has to be let in before it begins."""
    return (
        journal.plan.concurrency is not None
        and journal.run.status is RunStatus.CREATED
        and not journal.run.cancel_requested
    )


class Slots:
    """Lets in and turns away; made before the turns, asked once more after them."""

    def __init__(self, connection: Connection, part: Sequence[InHand], now: dt.datetime) -> None:
        self._connection = connection
        self._now = now
        self._limited = [one.journal for one in part if one.journal.plan.concurrency is not None]
        self._woken: list[tuple[uuid.UUID, int]] = []
        if self._limited:
            self._let_in()

    def _let_in(self) -> None:
        wanting = [journal for journal in self._limited if wants_a_slot(journal)]
        new = [journal for journal in wanting if journal.claimed.concurrency_key is None]
        for journal in new:
            _find_key(journal, self._now)
        keys = [(one.run_id, key) for one in new if (key := one.concurrency_key) is not None]
        if keys:
            slots.keep_keys(self._connection, keys)
        locked = [key for one in self._limited if (key := one.concurrency_key) is not None]
        slots.lock(self._connection, locked)
        asked = [
            (one.run_id, key, one.claimed.created_at)
            for one in wanting
            if (key := one.concurrency_key) is not None
        ]
        found = slots.standing(self._connection, asked) if asked else {}
        for journal in wanting:
            if journal.run_id in found:
                self._judge(journal, found[journal.run_id])

    def _judge(self, journal: Journal, standing: slots.Standing) -> None:
        concurrency = journal.plan.concurrency or {}
        if admission.admits(concurrency, standing):
            journal.set_going(self._now)
            return
        admission.turn_away(journal, concurrency, standing, self._now)
        if concurrency.get("on_conflict") == "replace":
            by = f"run {journal.run_id}, which replaces it"
            self._woken += slots.cancel_others(
                self._connection,
                journal.run_id,
                str(journal.concurrency_key),
                by=by,
                now=self._now,
            )

    def pass_on(self) -> list[tuple[uuid.UUID, int]]:
        """Wake those who are next, for every slot that was given back: (run_id, priority)."""
        ended = {
            key: journal.plan.concurrency.get("limit", 1)
            for journal in self._limited
            if journal.run.status.ended
            and journal.plan.concurrency is not None
            and (key := journal.concurrency_key) is not None
        }
        for key, limit in sorted(ended.items()):
            self._woken += slots.wake_next(self._connection, key, limit, now=self._now)
        return self._woken


def _find_key(journal: Journal, now: dt.datetime) -> None:
    """Give a run its key; one whose key has no value begins, to fail with the reason."""
    try:
        roots = scope(journal.plan, journal.run, journal.steps)
        journal.set_run(concurrency_key=concurrency_key(journal.plan, roots))
    except ExpressionError as error:
        journal.set_going(now)
        journal.set_run(error={**expression_failure(error), "step": None})
