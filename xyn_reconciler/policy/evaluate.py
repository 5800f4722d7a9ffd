"""Decide whether somebody may do something: the kernel, then policies, then what holds without.

Pure: the same request and policies always give the same decision, so the audit can
name the digest of its inputs, and ``xynctl policy eval`` shows exactly what a push
would meet. The trap: a decision that is not ``deny`` may still ask for something;
whoever acts on one asks :func:`xyn_reconciler.policy.requirements.unmet` as well,
after ``allow`` too.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar

from xyn_reconciler.model.blueprint import Approvals
from xyn_reconciler.model.policy import GovernanceMatch, GovernancePolicy, GovernanceRule
from xyn_reconciler.policy.kernel import refusal
from xyn_reconciler.policy.request import Request
from xyn_reconciler.policy.requirements import NOTHING, Needed, any_of, describe, merge

Effect = Literal["allow", "deny", "require_approval"]

STRICTEST: Final[tuple[Effect, ...]] = ("deny", "require_approval", "allow")
"""The first of these that anybody says is what is decided."""

DENIED: Final = ("infra.*", "identity.*", "policy.*", "node.change")
"""What no rule speaks of is denied for these."""

DENIED_ON_PROD: Final = (
    "action.execute",
    "blueprint.promote",
    "event.forget",
    "pack.promote",
    "secret.*",
    "transfer.*",
)
"""And for these where the stage is prod."""


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """A policy with its version: the commit that decisions are recorded with."""

    policy: GovernancePolicy
    version: str
    path: str = ""
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Line and column, where they are known, of the policy and of its rules, by their ids."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a rule does not fit: the first key of its ``match`` that fails, with both values."""

    key: str
    asked: str
    given: str

    def __str__(self) -> str:
        return f"{self.key} is {self.given}, not {self.asked}"


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that was looked at; ``misfit`` is None where it fits."""

    rule_id: str
    effect: Effect
    misfit: Misfit | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy says; no effect where none of its rules fits."""

    policy_id: str
    name: str
    version: str
    rules: tuple[Considered, ...]
    """In the order in which they are asked."""
    effect: Effect | None = None
    rule_id: str | None = None
    requirements: Needed = NOTHING


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided, by whom, and why."""

    effect: Effect
    requirements: Needed
    decided_by: Literal["kernel", "policy", "default"]
    sentence: str
    verdicts: tuple[Verdict, ...]
    policy_id: str | None = None
    version: str | None = None
    rule_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What an audit entry keeps of it (seed 31.6)."""
        return {
            "effect": self.effect,
            "decided_by": self.decided_by,
            "policy_id": self.policy_id,
            "version": self.version,
            "rule_id": self.rule_id,
            "requirements": self.requirements.to_json(),
            "sentence": self.sentence,
        }


def evaluate(request: Request, policies: Iterable[PolicyInForce]) -> Decision:
    """Decide. Policies that are not active say nothing; their order does not matter."""
    active = sorted(
        (each for each in policies if each.policy.status == "active"),
        key=lambda each: (each.policy.policy_id, each.version),
    )
    verdicts = tuple(_verdict(request, each) for each in active)
    refused = refusal(request.actor, request.action)
    if refused is not None:
        return Decision("deny", NOTHING, "kernel", refused, verdicts)
    said = [(verdict.effect, verdict) for verdict in verdicts if verdict.effect is not None]
    if not said:
        return _default(request, verdicts)
    effect, deciding = _strictest(said)
    needed = _settled(effect, (verdict.requirements for _, verdict in said))
    why = f"rule {deciding.rule_id} of policy {deciding.name} decides"
    return Decision(
        effect,
        needed,
        "policy",
        f"{_outcome(request, effect, needed)}: {why}",
        verdicts,
        deciding.policy_id,
        deciding.version,
        deciding.rule_id,
    )


def _verdict(request: Request, in_force: PolicyInForce) -> Verdict:
    policy = in_force.policy
    rules = sorted(policy.rules, key=lambda rule: -rule.priority)  # stable: file order decides ties
    found = [(rule, _misfit(rule.match, request)) for rule in rules]
    considered = tuple(Considered(rule.rule_id, _effect(rule), misfit) for rule, misfit in found)
    fitting = [(_effect(rule), rule) for rule, misfit in found if misfit is None]
    common = (policy.policy_id, policy.name, in_force.version, considered)
    if not fitting:
        return Verdict(*common)
    first = policy.evaluation_mode == "first_match"
    effect, deciding = fitting[0] if first else _strictest(fitting)
    together = policy.evaluation_mode == "collect_requirements"
    asking = [rule for _, rule in fitting] if together else [deciding]
    needed = merge(rule.requirements for rule in asking)
    return Verdict(*common, effect, deciding.rule_id, needed)


T = TypeVar("T")


def _strictest(said: Sequence[tuple[Effect, T]]) -> tuple[Effect, T]:
    """Of what is said, the first that is the strictest."""
    return min(said, key=lambda each: STRICTEST.index(each[0]))


def _effect(rule: GovernanceRule) -> Effect:
    """What a rule says: one that allows with approvals requires them."""
    asks = rule.requirements is not None and rule.requirements.approvals is not None
    return "require_approval" if rule.effect == "allow" and asks else rule.effect


def _settled(effect: Effect, asked: Iterable[Needed]) -> Needed:
    """All requirements of what was decided; who approves where no rule says it, only now."""
    if effect == "deny":
        return NOTHING
    needed = merge(asked)
    unnamed = effect == "require_approval" and needed.approvals is None
    return replace(needed, approvals=Approvals()) if unnamed else needed


def _default(request: Request, verdicts: tuple[Verdict, ...]) -> Decision:
    on_prod = request.stage == "prod" and _spoken_of(DENIED_ON_PROD, request.action)
    effect: Effect = "deny" if on_prod or _spoken_of(DENIED, request.action) else "allow"
    sentence = f"{_outcome(request, effect, NOTHING)}: no rule speaks of it"
    return Decision(effect, NOTHING, "default", sentence, verdicts)


# ── Does a rule fit? ─────────────────────────────────────────────────────────────────────────────


def _misfit(match: GovernanceMatch, request: Request) -> Misfit | None:
    return next(_misfits(match, request), None)


def _misfits(match: GovernanceMatch, request: Request) -> Iterator[Misfit]:
    if match.action is not None and not fits(match.action, request.action):
        yield Misfit("action", match.action, request.action)
    if match.actor is not None and not request.actor.subjects().intersection(match.actor):
        yield Misfit("actor", " or ".join(match.actor), ", ".join(sorted(request.actor.subjects())))
    if match.stage not in ("any", request.stage):
        yield Misfit("stage", match.stage, request.stage)
    if match.resource_type not in (None, request.resource_type):
        yield Misfit("resource_type", str(match.resource_type), request.resource_type or "unknown")
    if match.risk not in ("any", request.risk):
        yield Misfit("risk", match.risk, request.risk or "unknown")
    if match.env_id not in (None, request.env_id):
        yield Misfit("env_id", str(match.env_id), request.env_id)


def fits(pattern: str, action: str) -> bool:
    """Whether an action is meant by its name or by a pattern with ``*`` as last segment."""
    return action.startswith(pattern[:-1]) if pattern.endswith("*") else action == pattern


def _spoken_of(patterns: Collection[str], action: str) -> bool:
    return any(fits(pattern, action) for pattern in patterns)


# ── In words ─────────────────────────────────────────────────────────────────────────────────────


def _outcome(request: Request, effect: Effect, needed: Needed) -> str:
    what = f"{request.action} by {request.actor.id} on {request.stage}"
    asked = ", ".join(_asked(needed))
    match effect:
        case "deny":
            return f"{what} is denied"
        case "require_approval":
            return f"{what} needs {asked}"
        case "allow":
            return f"{what} is allowed" + (f" with {asked}" if asked else "")


def _asked(needed: Needed) -> Iterator[str]:
    if needed.approvals is not None:
        count = needed.approvals.min
        noun = "approval" if count == 1 else "approvals"
        own = "" if needed.approvals.allow_self else " other than the authors"
        yield f"{count} {noun} by {any_of(needed.approvals)}{own}"
    if needed.tests_required:
        yield "passing tests"
    if needed.backtest_required:
        yield "a backtest"
    if needed.mfa:
        yield "a second factor"
    for window in needed.windows:
        yield f"the clock in {describe(window)}"
