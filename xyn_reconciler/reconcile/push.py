"""What a pusher is told: pushes to ``main`` and to drafts, judged before anything moves.

The hook server calls a :class:`PushGate` for both hooks of each push. Before:
ref rules, names and modes, then the changed files and what depends on them, read
from the quarantine. A push to ``main`` with problems is refused whole and every
problem is shown; a draft is taken, with its problems as remarks. After: the
loop is told, and the pusher waits until the revision is applied.

The trap: git shows what is said here on the pusher's own terminal, so all of it
stays short, however much is wrong.
"""

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.errors import Problem, XynError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import EventData, GitPushed, GitRefused, internal_event
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.reconcile.judge import Judgement
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.store import desired
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.desired import NodeState
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.push_hook import PushRequest
from xyn_reconciler.store.ref_rules import RefUpdate, check_ref_updates

SHOWN: Final = 100
"""Problems that are printed; the rest is counted."""

APPLY_SECONDS: Final = 5.0
"""How long a push waits for its revision to be applied."""

Say = Callable[[str], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    ref: str
    lines: Sequence[str]


class PushGate:
    """The handler of the hook server; safe from any thread."""

    def __init__(
        self,
        reconciler: Reconciler,
        repository: Repository,
        database: Database,
        emit: EmitEvents,
        *,
        principal_of: Callable[[str], Principal | None],
        origin: str | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """``principal_of`` redeems a ticket; ``origin`` is the address that this home follows."""
        self._reconciler = reconciler
        self._repository = repository
        self._database = database
        self._emit = emit
        self._principal_of = principal_of
        self._origin = origin
        self._clock = clock

    def __call__(self, request: PushRequest, say: Say) -> bool:
        """Answer one hook; whether the push may go on."""
        try:
            if request.kind == "pre-receive":
                return self._before(request, say)
            return self._after(request, say)
        except XynError as error:
            say(f"xyn: {error.message}")
            # After the fact nothing can be refused any more.
            return request.kind != "pre-receive"

    def _before(self, request: PushRequest, say: Say) -> bool:
        repository = self._repository.quarantined(request.environment)
        with self._database.begin() as connection:
            node = desired.read_node(connection)
        actor = OPERATOR.id
        if request.ticket is not None:
            principal = self._principal_of(request.ticket)
            if principal is None:
                say("xyn: this push came with a ticket that is not known here: push again")
                return False
            actor = principal.id
        refusals = self._refusals(request, repository, node, say)
        for refusal in refusals:
            for line in refusal.lines:
                say(line)
        if refusals:
            self._tell_refused(refusals, node, actor)
        return not refusals

    def _refusals(
        self, request: PushRequest, repository: Repository, node: NodeState, say: Say
    ) -> list[_Refusal]:
        refusals = []
        for update in request.updates:
            lines = check_ref_updates(repository, [update])
            if not lines and update.ref == MAIN:
                lines = self._rights(request, node) or self._main(repository, update, say)
            elif not lines and update.new is not None:
                lines = self._draft(repository, update, say)
            if lines:
                refusals.append(_Refusal(update.ref, lines))
        return refusals

    def _rights(self, request: PushRequest, node: NodeState) -> list[str]:
        """Say why nobody may push to ``main`` here, or not in this way."""
        if self._origin is not None and node.settings.get("follow") == "origin":
            return [
                f"this node follows {self._origin}: push to main there",
                "(follow: none in this node's definition makes it independent)",
            ]
        if request.ticket is None and node.settings.get("stage") == "prod":
            return ["on stage prod, main takes pushes over HTTP alone, with your id and token"]
        return []

    def _main(self, repository: Repository, update: RefUpdate, say: Say) -> list[str]:
        judgement = self._reconciler.judge(repository, str(update.new))
        _remark(judgement.remarks, say)
        if not judgement.problems:
            return []
        return [*_listed(judgement.problems), f"{counted(judgement.problems)}; main was not moved"]

    def _draft(self, repository: Repository, update: RefUpdate, say: Say) -> list[str]:
        judgement = self._reconciler.judge(repository, str(update.new))
        name = update.ref.removeprefix("refs/heads/")
        if judgement.tree_problems:
            return [
                *_listed(judgement.problems),
                f"{counted(judgement.problems)}; {name} is not taken",
            ]
        _say_of_draft(name, judgement, say)
        return []

    def _after(self, request: PushRequest, say: Say) -> bool:
        with self._database.begin() as connection:
            node = desired.read_node(connection)
            principal = None if request.ticket is None else self._principal_of(request.ticket)
            actor = OPERATOR.id if principal is None else principal.id
            pushed = [
                self._event(GitPushed(ref=u.ref, old=u.old, new=u.new), u.ref, node, actor)
                for u in request.updates
            ]
            self._emit(connection, pushed)
        for update in request.updates:
            if update.ref == MAIN and update.new is not None:
                self._wait(update.new, say)
        return True

    def _wait(self, revision: str, say: Say) -> None:
        self._reconciler.notice()
        outcome = self._reconciler.wait_for(revision, seconds=APPLY_SECONDS)
        if outcome.applied:
            say(f"active: {revision}")
        elif outcome.attempted:
            say(f"not active: {outcome.message}")
        else:
            say(
                f"not active yet: {revision} is in main, and the node did not come to apply it"
                f" within {APPLY_SECONDS:.0f} s; look with: xynctl status"
            )

    def _tell_refused(self, refusals: Sequence[_Refusal], node: NodeState, actor: str) -> None:
        events = [
            self._event(
                GitRefused(ref=refusal.ref, problems=list(refusal.lines)), refusal.ref, node, actor
            )
            for refusal in refusals
        ]
        with self._database.begin() as connection:
            self._emit(connection, events)

    def _event(self, data: EventData, ref: str, node: NodeState, actor: str) -> Event:
        return internal_event(
            data,
            resource_id=ref,
            env_id=str(node.settings.get("env_id", "local")),
            now=self._clock(),
            correlation_id=str(uuid.uuid4()),
            actor=actor,
        )


def counted(problems: Sequence[Problem]) -> str:
    """Say ``2 problems in 1 file``."""
    files = len({problem.path for problem in problems})
    return (
        f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        f" in {files} file{'' if files == 1 else 's'}"
    )


def _listed(problems: Sequence[Problem]) -> list[str]:
    lines = [str(problem) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"... and {len(problems) - SHOWN} more")
    return lines


def _remark(remarks: Sequence[Problem], say: Say) -> None:
    for line in _listed(remarks):
        say(f"remark: {line}")


def _say_of_draft(name: str, judgement: Judgement, say: Say) -> None:
    findings = sorted([*judgement.problems, *judgement.remarks])
    _remark(findings, say)
    if judgement.problems:
        say(f"{name}: validated with remarks; as it is, main would not take it")
    else:
        say(f"{name}: validated{' with remarks' if findings else ''}")
