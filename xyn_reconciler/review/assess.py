"""What a draft would change, who has agreed, and what is still in the way of merging it.

Pure: rows, two desired states and the policies in force in, an :class:`Assessment`
out. The page, ``xynctl review show`` and the promotion ask the same function, so that
what a button says is what pressing it meets.

The trap: an approval is for an effect digest. It survives what happens to the rest
of ``main``, and dies when anything that the draft would change is another.
"""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from xyn_reconciler.desired.diff import Change, diff
from xyn_reconciler.desired.effects import Effects, NextTimes, effects
from xyn_reconciler.desired.layout import governed_as
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.policy import Risk
from xyn_reconciler.model.principal import OPERATOR, Principal
from xyn_reconciler.policy.change import Asked, ask, requests_of
from xyn_reconciler.policy.kernel import may_approve
from xyn_reconciler.policy.lockout import policies_in_force, principals
from xyn_reconciler.policy.request import Evidence
from xyn_reconciler.reconcile.permission import asked_of_secrets
from xyn_reconciler.store.reviews import Check, Review, Vote

NEEDED: Final = ("conflicts", "lint", "secrets", "tests", "validation")
"""Checks that have to have passed, or to have been skipped; the others only inform."""

_EVIDENCE: Final[Mapping[str, Evidence]] = {"tests": "tests_passed", "backtest": "backtest"}

Blobs = tuple[str | None, str | None]
"""Of a path: its blob in ``main`` and in the merged tree; None where there is no such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What rules on this node at the moment: the active state, never the draft's own."""

    node_id: str
    settings: Mapping[str, Any]
    """``NodeState.settings``."""
    state: DesiredState
    revision: str
    """The version that decisions are recorded with."""

    def everybody(self) -> dict[str, Principal]:
        """Whom the active principals name; with ``auth: open`` the operator too."""
        known = {each.id: each for each in principals(self.state.files.values())}
        if self.settings.get("auth", "open") == "open":
            known.setdefault(OPERATOR.id, OPERATOR)
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that an assessment rests on."""

    review: Review
    main: str
    before: DesiredState
    """Of ``main``."""
    after: DesiredState
    """Of the draft merged into it."""
    differing: Mapping[str, Blobs]
    """The paths that the merge would change in ``main``."""
    conflicts: Sequence[str]
    """Paths that do not merge."""
    checks: Sequence[Check]
    """Of the newest iteration."""
    votes: Sequence[Vote]
    """From the oldest."""
    authors: frozenset[str]
    """Everybody who pushed an iteration."""
    in_force: InForce
    actor: Principal
    """Who would promote it."""
    grant_id: uuid.UUID | None
    """An open break-glass grant of the actor: what policies ask then stands in nobody's way."""
    next_times: NextTimes
    now: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a reviewer has to know."""

    changes: tuple[Change, ...]
    effects: Effects
    effect_digest: str
    asked: tuple[Asked, ...]
    approvals: tuple[Vote, ...]
    """The yeses that count for exactly this, not yet used up."""
    rejections: tuple[Vote, ...]
    """The noes that stand."""
    unmet: tuple[str, ...]
    """What policies still ask for, in words."""
    reasons: tuple[str, ...]
    """Everything that is in the way of merging, ``unmet`` included, in words."""
    running: bool
    """Whether a check is under way that has to have passed."""

    @property
    def risk(self) -> Risk:
        return self.effects.risk

    @property
    def mergeable(self) -> bool:
        return not self.reasons


def assess(facts: Facts) -> Assessment:
    """Say what is to be said of a draft at this moment, for who would promote it."""
    digest = effect_digest(facts.differing)
    changed = effects(facts.before, facts.after, facts.in_force.node_id, facts.next_times)
    everybody = facts.in_force.everybody()
    standing = _standing(facts.votes, digest, everybody)
    approvals = tuple(each for each in standing if each.decision == "approved")
    rejections = tuple(each for each in standing if each.decision == "rejected")
    current = [each for each in facts.checks if each.main == facts.main]
    asked = _asked(facts, changed.risk, current, [everybody[each.principal] for each in approvals])
    missing = () if facts.grant_id is not None else _unique(each.unmet for each in asked)
    return Assessment(
        changes=tuple(diff(facts.before, facts.after)),
        effects=changed,
        effect_digest=digest,
        asked=asked,
        approvals=approvals,
        rejections=rejections,
        unmet=missing,
        reasons=(*_obstacles(facts, current, rejections), *missing),
        running=any(each.status == "running" and each.name in NEEDED for each in facts.checks),
    )


def verdict(checks: Sequence[Check]) -> Literal["draft", "validated"]:
    """Say what the checks of one iteration, merged with one ``main``, come to."""
    good = {each.name for each in checks if each.status in ("passed", "skipped")}
    return "validated" if good.issuperset(NEEDED) else "draft"


def effect_digest(differing: Mapping[str, Blobs]) -> str:
    """Name what promotion would change: SHA-256, in hex, over the paths and both blobs of each."""
    listed = [[path, old, new] for path, (old, new) in sorted(differing.items())]
    return hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).hexdigest()


def _asked(
    facts: Facts, risk: Risk, current: Sequence[Check], approvers: Sequence[Principal]
) -> tuple[Asked, ...]:
    ruling = facts.in_force
    passed = (_EVIDENCE.get(each.name) for each in current if each.status == "passed")
    requests = requests_of(
        map(governed_as, facts.differing),
        actor=facts.actor,
        stage=ruling.settings.get("stage", "dev"),
        env_id=ruling.settings.get("env_id", "local"),
        risk=risk,
        now=facts.now,
        resource_id=facts.review.name,
        artifacts=frozenset(each for each in passed if each is not None),
        authors=facts.authors,
    )
    policies = policies_in_force(ruling.state.files.values(), ruling.revision)
    secrets = asked_of_secrets(
        facts.before,
        facts.after,
        facts.differing,
        policies,
        actor=facts.actor,
        approvers=approvers,
        settings=ruling.settings,
        now=facts.now,
    )
    return (*ask(requests, policies, approvers), *secrets)


def _standing(votes: Sequence[Vote], digest: str, everybody: Mapping[str, Principal]) -> list[Vote]:
    """Of each person the last word about exactly this change, unless a promotion used it up."""
    last = {each.principal: each for each in votes if each.effect_digest == digest}
    return [
        each
        for each in last.values()
        if each.used_by is None
        and (known := everybody.get(each.principal)) is not None
        and may_approve(known)
    ]


def _obstacles(facts: Facts, current: Sequence[Check], rejections: Sequence[Vote]) -> Iterator[str]:
    if facts.review.closed_at is not None:
        closed = "promoted" if facts.review.status == "promoted" else "closed"
        yield f"it is {closed} already"
        return
    if not facts.differing and not facts.conflicts:
        yield "there is nothing to merge: main holds all of it"
    if facts.conflicts:
        yield f"it conflicts with main in {', '.join(facts.conflicts)}"
    found = {each.name: each for each in current}
    for name in NEEDED:
        if name == "conflicts" and facts.conflicts:
            continue
        obstacle = _of_check(name, found.get(name))
        if obstacle is not None:
            yield obstacle
    for each in rejections:
        yield f"{each.principal} rejected it" + (f": {each.comment}" if each.comment else "")


def _of_check(name: str, check: Check | None) -> str | None:
    if check is None:
        return f"check {name} has not looked at this merged with main as it is now"
    match check.status:
        case "passed" | "skipped":
            return None
        case "running":
            return f"check {name} is running"
        case "interrupted":
            return f"check {name} was interrupted and will run again"
        case "failed":
            return f"check {name} failed" + (f": {check.summary}" if check.summary else "")


def _unique(parts: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words for part in parts for words in part))
