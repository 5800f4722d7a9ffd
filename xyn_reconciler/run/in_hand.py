"""One run in a thread's hand: its journal, its tasks, and what came in since the last commit."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xyn_reconciler.action.context import Action
from xyn_reconciler.run.execute import Outcome, Task
from xyn_reconciler.run.hand import Hand
from xyn_reconciler.run.journal import Journal


@dataclass(slots=True, eq=False)
class InHand:
    """One run in this thread's hand."""

    journal: Journal
    hand: Hand
    actions: Mapping[str, Action]
    """Those that its plan may name."""
    idempotent: frozenset[str]
    """Of these, those that may run again by their nature."""
    outcomes: list[Outcome] = field(default_factory=list)
    """What has come in and is not committed yet."""
    tasks: Sequence[Task] = ()
    """To be launched after the commit, their intents being in it."""
    moment: dt.datetime | None = None
    """When something is due by itself."""
    changed: bool = False
    """Whether it is worth a look before that."""

    @property
    def run_id(self) -> uuid.UUID:
        return self.journal.run_id
