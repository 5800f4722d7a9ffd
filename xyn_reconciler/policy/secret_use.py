"""Whose a secret is, and so who may use it (seed 26.7, 27.2). Pure.

To use a credential is to act with its authority. ``team/<t>/...`` is for members of that
team, ``sys/<env_id>/...`` for Operators, ``user/<p>/...`` for that principal; ``env/NAME``
belongs to the node, and only policies speak of it. A policy may refuse more, and it may
delegate ``sys/`` by a rule that allows ``secret.use`` to actors whom it names; what belongs
to a team or to somebody no policy gives away.

Who is asked: of a run that somebody starts by hand that somebody, at each use
(:func:`ask_use`). A run that an event starts has nobody to ask at night, so those who
bring a reference into ``main`` are asked when they do (:func:`ask_naming`).
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.model.secret import scope_of
from xyn_reconciler.policy.change import Asked, ask
from xyn_reconciler.policy.evaluate import PolicyInForce
from xyn_reconciler.policy.request import Request
from xyn_reconciler.policy.requirements import NOTHING

ACTION = "secret.use"


def misfit(reference: str, actor: Principal) -> str | None:
    """Say why a secret is not this actor's to use; None where it is."""
    scope = scope_of(reference)
    everybody = actor.id == OPERATOR.id and "Operator" in actor.roles
    if scope is None or scope.owner == "env" or everybody:
        # On an open node nobody says who they are: there is one person.
        return None
    match scope.owner:
        case "sys":
            fits, whose = "Operator" in actor.roles, "Operators"
        case "team":
            fits, whose = scope.id in actor.teams, f"members of team {scope.id}"
        case _:
            fits, whose = scope.id == actor.id, scope.id
    return None if fits else f"secret {reference} is for {whose}, and {actor.id} is not"


def ask_use(request: Request, policies: Sequence[PolicyInForce], *, scoped: bool = True) -> Asked:
    """Ask about one use; ``scoped`` where the actor is asked whether the secret is theirs."""
    asked = ask([request], policies)[0]
    return _within_scope(asked, [request.actor], policies) if scoped else asked


def ask_naming(
    named: Iterable[str],
    changed: Iterable[str],
    policies: Sequence[PolicyInForce],
    *,
    actor: Principal,
    approvers: Collection[Principal] = (),
    stage: Stage,
    env_id: str,
    now: dt.datetime,
) -> list[Asked]:
    """Give what is in the way of naming secrets in what anybody's event may start.

    Enough if one of those who bring it, or agreed to it, may use the secret. What no rule
    speaks of is asked at the use. Values that are ``changed`` are asked about too: an
    Operator changes all of them, for a node that comes or goes.
    """
    people = [actor, *approvers]
    theirs = any("Operator" in each.roles for each in people)
    found = []
    for reference in sorted({*named, *(() if theirs else changed)}):
        request = Request(
            actor=actor,
            action=ACTION,
            stage=stage,
            env_id=env_id,
            now=now,
            resource_type="secret",
            resource_id=reference,
        )
        asked = ask([request], policies, approvers)[0]
        if asked.decision.decided_by == "default":
            asked = replace(asked, decision=replace(asked.decision, effect="allow"), unmet=())
        asked = _within_scope(asked, people, policies)
        if asked.unmet:
            found.append(asked)
    return found


def _names_actors(asked: Asked, policies: Sequence[PolicyInForce]) -> bool:
    """Whether the rule that decides says whom it is for: to allow everybody delegates nothing."""
    return any(
        rule.rule_id == asked.decision.rule_id and rule.match.actor is not None
        for each in policies
        for rule in each.policy.rules
    )


def _within_scope(
    asked: Asked, people: Sequence[Principal], policies: Sequence[PolicyInForce]
) -> Asked:
    """Refuse what is allowed, and nobody's of these; a rule may delegate what is ``sys/``."""
    reference = asked.request.resource_id or ""
    scope = scope_of(reference)
    delegated = scope is not None and scope.owner == "sys" and _names_actors(asked, policies)
    reasons = [misfit(reference, each) for each in people]
    if asked.decision.effect == "deny" or delegated or None in reasons:
        return asked
    sentence = str(reasons[0])
    decision = replace(
        asked.decision,
        effect="deny",
        requirements=NOTHING,
        decided_by="kernel",
        sentence=sentence,
        policy_id=None,
        version=None,
        rule_id=None,
    )
    return replace(asked, decision=decision, unmet=(sentence,))
