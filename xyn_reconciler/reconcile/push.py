"""What a pusher is told: pushes to ``main`` and to drafts, judged before anything moves.

The hook server calls a :class:`PushGate` for both hooks of each push. Before:
ref rules, names and modes, then the changed files and what depends on them, read
from the quarantine. A push to ``main`` with problems is refused whole and every
problem is shown, and so is one that policies do not allow without a review; a draft is
taken, with its problems as remarks. What is taken is in the audit before a ref moves.
After: the loops are told, and the pusher waits until the revision is applied, or until
the review of a draft is there.

The trap: git shows what is said here on the pusher's own terminal, so all of it
stays short, however much is wrong.
"""

import datetime as dt
import itertools
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.model.capability import EmitEvents
from xyn_reconciler.model.errors import Problem, XynError
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.internal_events import EventData, GitPushed, GitRefused, internal_event
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.policy.change import told
from xyn_reconciler.reconcile.judge import Judgement
from xyn_reconciler.reconcile.leaks import Knows, leaks
from xyn_reconciler.reconcile.lockout import locked_out
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.reconcile.permission import asked_of_push, refusal
from xyn_reconciler.reconcile.signatures import unsigned
from xyn_reconciler.store import audit, desired, grants, notice, reviews
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.desired import NodeState
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.push_hook import PushRequest
from xyn_reconciler.store.ref_rules import DRAFTS, RefUpdate, check_ref_updates

SHOWN: Final = 100
"""Problems that are printed; the rest is counted."""

APPLY_SECONDS: Final = 5.0
"""How long a push waits for its revision to be applied."""

Say = Callable[[str], None]
Foresee = Callable[[Mapping[str, Any]], Sequence[str]]
"""When the schedules of a blueprint document would fire, a line each."""
Unsealed = Callable[[Iterable[tuple[str, str]]], Mapping[str, str]]
"""(Reference, ciphertext) of secrets -> what is wrong with those that cannot be opened here."""
Announce = Callable[[str, str], Iterable[str]]
"""Name and head of a draft that was pushed -> lines for the pusher."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    ref: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Push:
    """A push before anything moved."""

    request: PushRequest
    repository: Repository
    """With what is under quarantine."""
    node: NodeState
    actor: Principal
    grant_id: uuid.UUID | None
    """An open break-glass grant of the actor."""
    now: dt.datetime
    say: Say
    decided: list[AuditEntry] = field(default_factory=list)
    """What policies said, for the audit."""


class PushGate:
    """The handler of the hook server; safe from any thread."""

    def __init__(  # noqa: PLR0913 - what a node process hands in
        self,
        reconciler: Reconciler,
        repository: Repository,
        database: Database,
        emit: EmitEvents,
        *,
        principal_of: Callable[[str], Principal | None],
        foresee: Foresee,
        announce: Announce,
        unsealed: Unsealed = lambda _: {},
        knows: Callable[[], Knows] = lambda: lambda _: False,
        origin: str | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """``principal_of`` redeems a ticket; ``origin`` is the address that this home follows.

        ``announce`` gives what to say of a draft's review, once that is there;
        ``unsealed`` says which secrets nobody here could open, ``knows`` is asked at each
        push for what says whether bytes hold the value of one.
        """
        self._reconciler = reconciler
        self._repository = repository
        self._database = database
        self._emit = emit
        self._principal_of = principal_of
        self._foresee = foresee
        self._announce = announce
        self._unsealed = unsealed
        self._knows = knows
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
        push = self._push(request, say)
        if push is None:
            say("xyn: this push came with a ticket that is not known here: push again")
            return False
        refusals = self._refusals(push)
        for line in itertools.chain.from_iterable(each.lines for each in refusals):
            say(line)
        if refusals:
            self._tell_refused(refusals, push)
        else:
            self._accept(push)
        return not refusals

    def _push(self, request: PushRequest, say: Say) -> "_Push | None":
        """Who pushes what, and what rules here; None for a ticket that is not ours."""
        now = self._clock()
        with self._database.begin() as connection:
            node = desired.read_node(connection)
            actor = self._actor(request, node)
            if actor is None:
                return None
            grant_id = grants.open_grant(connection, actor, now)
        repository = self._repository.quarantined(request.environment)
        return _Push(request, repository, node, actor, grant_id, now, say)

    def _actor(self, request: PushRequest, node: NodeState) -> Principal | None:
        """Without a ticket (file path, ssh) it is the home's owner."""
        if request.ticket is not None:
            return self._principal_of(request.ticket)
        # Who has to prove who they are has no role before that.
        is_open = node.settings.get("auth", "open") == "open"
        return OPERATOR if is_open else Principal(OPERATOR.id)

    def _refusals(self, push: "_Push") -> list[_Refusal]:
        refusals = []
        for update in push.request.updates:
            lines = check_ref_updates(push.repository, [update]) or self._leaks(push, update)
            if not lines and update.ref == MAIN:
                lines = self._rights(push) or self._main(push, update)
            elif not lines and update.new is None:
                lines = self._closing(push, update)
            elif not lines:
                lines = self._draft(push, update)
            if lines:
                refusals.append(_Refusal(update.ref, lines))
        return refusals

    def _leaks(self, push: "_Push", update: RefUpdate) -> list[str]:
        """Say where it holds secrets of this node: nothing of it is taken then."""
        if update.new is None:
            return []
        # Of a new draft, what main lacks.
        since = update.old or push.node.last_applied_revision
        if since is not None and push.repository.resolve(since) is None:
            since = None
        knows = self._knows()
        if knows(update.ref.encode()):
            return ["the name of this branch holds a secret of this node: choose another"]
        found = leaks(push.repository, since, update.new, knows)
        name = update.ref.removeprefix("refs/heads/")
        return [*_listed(found), f"{counted(found)}; {name} is not taken"] if found else []

    def _rights(self, push: "_Push") -> list[str]:
        """Say why nobody may push to ``main`` here, or not in this way."""
        if self._origin is not None and push.node.settings.get("follow") == "origin":
            return [
                f"this node follows {self._origin}: push to main there",
                "(follow: none in this node's definition makes it independent)",
            ]
        if push.request.ticket is None and push.node.settings.get("stage") == "prod":
            return ["on stage prod, main takes pushes over HTTP alone, with your id and token"]
        return []

    def _main(self, push: "_Push", update: RefUpdate) -> list[str]:
        revision = str(update.new)
        known = self._reconciler.known()
        judgement = self._reconciler.judge(push.repository, revision, known)
        _remark(judgement.remarks, push.say)
        problems = [
            *judgement.problems,
            *locked_out(known, judgement, push.node.node_id, push.now),
            *self._shut(judgement),
            *(unsigned(push.repository, update.old, revision) if update.old else ()),
        ]
        if problems:
            return [*_listed(problems), f"{counted(problems)}; main was not moved"]
        changed = push.repository.changes(update.old, revision)
        asked = asked_of_push(
            known,
            judgement,
            [each.path.decode("utf-8", "backslashreplace") for each in changed],
            actor=push.actor,
            settings=push.node.settings,
            now=push.now,
        )
        push.decided.extend(
            told(each, push.now, grant_id=push.grant_id if each.unmet else None, ref=MAIN)
            for each in asked
        )
        lines = refusal(asked, push.repository.commit(revision).subject)
        if lines and push.grant_id is not None:
            push.say(f"main moves by the open break-glass grant {push.grant_id}")
            return []
        return lines

    def _draft(self, push: "_Push", update: RefUpdate) -> list[str]:
        judgement = self._reconciler.judge(push.repository, str(update.new))
        name = update.ref.removeprefix("refs/heads/")
        shut = self._shut(judgement)
        if judgement.tree_problems or shut:
            problems = [*judgement.problems, *shut]
            return [*_listed(problems), f"{counted(problems)}; {name} is not taken"]
        _say_of_draft(name, judgement, push.say)
        foreseen = (self._foresee(document) for document in _sound_blueprints(judgement))
        for line in itertools.islice(itertools.chain.from_iterable(foreseen), SHOWN):
            push.say(line)
        return []

    def _closing(self, push: "_Push", update: RefUpdate) -> list[str]:
        """Say why somebody may not give a draft up: as the verb does."""
        name = update.ref.removeprefix(DRAFTS)
        with self._database.read() as connection:
            review = reviews.find_review(connection, name)
            why = None if review is None else reviews.not_closing(connection, review, push.actor)
        return [] if why is None else [why]

    def _shut(self, judgement: Judgement) -> list[Problem]:
        """Find secrets that this node cannot open, or that are copies of others."""
        changed = (judgement.state.files.get(change.path) for change in judgement.changes)
        secrets = {
            each.document_id: each
            for each in changed
            if each is not None and each.kind == "secret" and each.document is not None
        }
        sealed = [(name, each.document["ciphertext"]) for name, each in secrets.items()]
        wrong = self._unsealed(sealed) if sealed else {}
        return [
            Problem(secrets[name].path, 1, 1, "secret_unreadable", message)
            for name, message in wrong.items()
        ]

    def _accept(self, push: "_Push") -> None:
        """Put it into the audit before a ref moves: one that nobody accepted was tampered with."""
        accepted = [
            AuditEntry(
                kind="ref.accepted",
                actor=push.actor.id,
                at=push.now,
                subject=update.ref,
                entry={"old": update.old, "new": update.new, "how": "push"},
            )
            for update in push.request.updates
        ]
        with self._database.begin() as connection:
            audit.put(connection, [*push.decided, *accepted])

    def _after(self, request: PushRequest, say: Say) -> bool:
        with self._database.begin() as connection:
            node = desired.read_node(connection)
            actor = self._actor(request, node) or OPERATOR
            pushed = [
                self._event(GitPushed(ref=u.ref, old=u.old, new=u.new), u.ref, node, actor.id)
                for u in request.updates
            ]
            self._emit(connection, pushed)
            notice.notify(connection, notice.REVIEW)
        for update in request.updates:
            if update.new is None:
                continue
            if update.ref == MAIN:
                self._wait(update.new, say)
            else:
                for line in self._announce(update.ref.removeprefix(DRAFTS), update.new):
                    say(line)
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

    def _tell_refused(self, refusals: Sequence[_Refusal], push: "_Push") -> None:
        events = [
            self._event(
                GitRefused(ref=each.ref, problems=list(each.lines)),
                each.ref,
                push.node,
                push.actor.id,
            )
            for each in refusals
        ]
        with self._database.begin() as connection:
            audit.put(connection, push.decided)
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


def _sound_blueprints(judgement: Judgement) -> Iterator[Mapping[str, Any]]:
    """The documents of blueprints that would change and have no problem."""
    wrong = {problem.path for problem in judgement.problems}
    for change in judgement.changes:
        found = judgement.state.files.get(change.path)
        if found is not None and found.kind == "blueprint" and found.path not in wrong:
            yield found.document or {}


def _say_of_draft(name: str, judgement: Judgement, say: Say) -> None:
    findings = sorted([*judgement.problems, *judgement.remarks])
    _remark(findings, say)
    if judgement.problems:
        say(f"{name}: validated with remarks; as it is, main would not take it")
    else:
        say(f"{name}: validated{' with remarks' if findings else ''}")
