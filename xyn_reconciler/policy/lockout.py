"""No lock-out: somebody can always change policy, and something can always start a run.

Pure. Whoever moves ``main`` asks :func:`lockout` with what is in force before and
after; what was impossible before already is not the commit's fault. A time window
locks nobody out as long as it opens at some time, a test or a backtest that is
asked for neither: people can make them pass.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.event import SYSTEM_ACTOR
from xyn_reconciler.model.node import Node
from xyn_reconciler.model.policy import GovernancePolicy, risk_in_force
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.model.principals import Principals
from xyn_reconciler.policy.evaluate import STRICTEST, Decision, PolicyInForce, evaluate
from xyn_reconciler.policy.request import Request
from xyn_reconciler.policy.requirements import any_of, describe, eligible
from xyn_reconciler.policy.rules import RESERVED
from xyn_reconciler.policy.window import next_opening

CODE: Final = "policy_lockout"


class Named(Protocol):
    """A name that a document gives or uses, and where; ``desired.loaded.Reference`` is one."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class Document(Protocol):
    """One file of the desired state; ``desired.loaded.Loaded`` is one."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def document(self) -> Any: ...  # noqa: ANN401 - the JSON of any kind of document
    @property
    def references(self) -> Sequence[Named]: ...


def policies_in_force(documents: Iterable[Document], version: str) -> tuple[PolicyInForce, ...]:
    """Give the active governance policies among the documents; ``version`` is their commit."""
    return tuple(
        PolicyInForce(
            GovernancePolicy.model_validate(each.document),
            version,
            each.path,
            {
                named.name: (named.line, named.column)
                for named in each.references
                if named.kind in ("self", "rule")
            },
        )
        for each in documents
        if each.kind == "policy"
        and each.document is not None
        and each.document["policy_type"] == "governance"
        and each.document["status"] == "active"
    )


def principals(documents: Iterable[Document]) -> tuple[Principal, ...]:
    """Everybody of ``principals.yaml`` who can be proved to be it."""
    return tuple(
        Principal(entry.id, entry.kind, frozenset(entry.roles), frozenset(entry.teams))
        for each in documents
        if each.kind == "principals" and each.document is not None
        for entry in Principals.model_validate(each.document).principals
        if entry.id not in RESERVED
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Who there is, and which rules hold, on one node at one revision."""

    node: Node
    node_path: str
    policies: tuple[PolicyInForce, ...]
    everybody: tuple[Principal, ...]
    """With ``auth: open`` the operator too."""
    starters: tuple[Principal, ...]
    """In whose name events start runs; empty where no blueprint has a trigger."""


def standing(documents: Collection[Document], node_id: str, version: str) -> Standing | None:
    """Read the documents of a revision; None where they do not define the node."""
    defined = [
        each
        for each in documents
        if each.kind == "node" and each.document is not None and each.document["id"] == node_id
    ]
    if not defined:
        return None
    node = Node.model_validate(defined[0].document)
    own = () if node.auth_required() else (OPERATOR,)
    everybody = (*principals(documents), *own)
    started = any(
        each.kind == "blueprint" and each.document and each.document.get("triggers")
        for each in documents
    )
    sources = [
        Principal(f"source:{each.document['id']}", "service")
        for each in documents
        if each.kind == "source" and each.document is not None
    ]
    starters = (Principal(SYSTEM_ACTOR, "service"), *sources, *everybody) if started else ()
    return Standing(
        node, defined[0].path, policies_in_force(documents, version), everybody, starters
    )


def lockout(before: Standing | None, after: Standing | None, now: dt.datetime) -> list[Problem]:
    """Give a problem for each of the two that ``after`` makes impossible and ``before`` did not."""
    if after is None:
        return []
    locked_before = {} if before is None else dict(_locked(before, now))
    found = [problem for what, problem in _locked(after, now) if what not in locked_before]
    return sorted(found)


def _locked(state: Standing, now: dt.datetime) -> Iterator[tuple[str, Problem]]:
    risk = risk_in_force(each.policy for each in state.policies).policy_changed
    people = [each for each in state.everybody if each.kind == "person"]
    changes = [
        Request(
            actor=person,
            action="policy.change",
            stage=state.node.stage,
            env_id=state.node.env_id,
            now=now,
            resource_type="policy",
            risk=risk,
        )
        for person in people
    ]
    if not people:
        message = "after this there is no person who could change policy: keep at least one"
        yield "policy.change", Problem("principals.yaml", 1, 1, CODE, message)
    elif (why := _why_none(state, changes)) is not None:
        yield "policy.change", _problem(state, "nobody could change policy", *why)
    starts = [
        Request(
            actor=starter,
            action="run.start",
            stage=state.node.stage,
            env_id=state.node.env_id,
            now=now,
            resource_type="blueprint",
        )
        for starter in state.starters
    ]
    if starts and (why := _why_none(state, starts)) is not None:
        yield "run.start", _problem(state, "no trigger could start a run", *why)


def _why_none(state: Standing, requests: Sequence[Request]) -> tuple[Decision, str] | None:
    """None where one of the requests could be granted; else what is nearest to it, and why not."""
    refused: list[tuple[Decision, str]] = []
    for request in requests:
        decision = evaluate(request, state.policies)
        why = _why_never(decision, request, state.everybody)
        if why is None:
            return None
        refused.append((decision, why))
    return max(refused, key=lambda each: STRICTEST.index(each[0].effect))


def _why_never(
    decision: Decision, request: Request, everybody: Collection[Principal]
) -> str | None:
    needed = decision.requirements
    if decision.effect == "deny":
        return decision.sentence
    if needed.mfa:
        return "a second factor is asked for, and Xyn has none"
    if next_opening(needed.windows, request.now) is None:
        return f"the time windows {' and '.join(map(describe, needed.windows))} never meet"
    if needed.approvals is None:
        return None
    able = sorted(each.id for each in eligible(needed.approvals, request.selves, everybody))
    if len(able) >= needed.approvals.min:
        return None
    asked = f"{needed.approvals.min} of {any_of(needed.approvals)} would have to approve"
    return f"{asked} what {request.actor.id} does, and there is {' and '.join(able) or 'nobody'}"


def _problem(state: Standing, what: str, decision: Decision, why: str) -> Problem:
    path, line, column = _place(state, decision)
    fix = "add a rule" if decision.rule_id is None else "change this rule, or put one before it"
    message = f"after this {what}: {why}; {fix} that lets somebody who is there do it"
    return Problem(path, line, column, CODE, message)


def _place(state: Standing, decision: Decision) -> tuple[str, int, int]:
    """The deciding rule; where none decided the first policy, else the node."""
    for each in state.policies:
        if decision.policy_id in (None, each.policy.policy_id):
            at = each.places.get(decision.rule_id or each.policy.policy_id, (1, 1))
            return each.path, *at
    return state.node_path, 1, 1
