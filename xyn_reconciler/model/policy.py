"""Policies: the envelope of seed 31.2 with the rules of 31.3 (governance) and 31.4 (treasury).

A governance policy may also say how risky a change is (``risk``), which its rules
then match on.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from xyn_reconciler.model.blueprint import Approvals
from xyn_reconciler.model.document import Json, Maybe, Part, Subject, Uuid, Zone


def _action(text: str) -> str:
    if re.fullmatch(r"\*|[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*(\.\*)?", text) is None:
        raise PydanticCustomError(
            "bad_value", "an action here is a name, or has * as its last segment: infra.*"
        )
    return text


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class TimeWindow(Part):
    """When the action may happen."""

    noun: ClassVar[str] = "a time_window"

    days: Annotated[list[Day], Field(min_length=1)] = Field(default_factory=lambda: [*DAYS])
    """Days of the week."""
    from_: Clock = Field(default="00:00", alias="from")
    """The first minute of the day."""
    to: Clock
    """The first minute after."""
    timezone: Zone = "UTC"
    """Whose wall clock."""


class Requirements(Part):
    """What has to be true before the action (seed 31.3.3)."""

    noun: ClassVar[str] = "requirements"

    approvals: Maybe[Approvals] = None
    """Who has to agree."""
    mfa: bool = False
    """Whether a second factor is asked."""
    time_window: Maybe[TimeWindow] = None
    """When."""
    tests_required: bool = False
    """Whether the blueprint's tests have to pass."""
    backtest_required: bool = False
    """Whether there has to be a backtest."""


class GovernanceMatch(Part):
    """Which actions a rule is about; an absent key fits anything (seed 31.3.2)."""

    noun: ClassVar[str] = "match"

    action: Maybe[Annotated[str, AfterValidator(_action)]] = None
    """``blueprint.promote``, or with ``*`` as last segment."""
    actor: Maybe[list[Subject]] = None
    """Any of these."""
    stage: Literal["dev", "test", "prod", "any"] = "any"
    """Of the node."""
    resource_type: Maybe[str] = None
    """What the action is done to: ``blueprint``, ``pack``, ``env``."""
    risk: Literal["low", "medium", "high", "any"] = "any"
    """As computed for the change."""
    env_id: Maybe[str] = None
    """One environment."""


class GovernanceRule(Part):
    """One rule; the highest priority is asked first (seed 31.3.1)."""

    noun: ClassVar[str] = "a rule"

    rule_id: Uuid
    """Decisions are recorded with it."""
    priority: int = 0
    """The highest is asked first."""
    match: GovernanceMatch
    effect: Literal["allow", "deny", "require_approval"]
    """What is decided where the rule fits."""
    requirements: Maybe[Requirements] = None


class Envelope(Part):
    """What all policies have (seed 31.2). The version of a policy is its commit."""

    noun: ClassVar[str] = "a policy"

    policy_id: Uuid
    """Any UUID; stable."""
    name: Annotated[str, Field(min_length=1)]
    """What people read."""
    description: Maybe[str] = None
    """What it is for."""
    owner_pou_id: Maybe[Uuid] = None
    """The organization that it belongs to."""
    status: Literal["draft", "active", "deprecated"]
    """Only active policies decide."""
    version: Maybe[int] = None
    """The author's own count; what is recorded is the commit."""
    evaluation_mode: Literal["first_match", "deny_overrides", "collect_requirements"] = (
        "first_match"
    )
    """The first rule that fits; any denial; or all rules together."""
    created_at: Maybe[str] = None
    """The author's own note."""
    updated_at: Maybe[str] = None
    """The author's own note."""
    metadata_json: Maybe[dict[str, Json]] = None
    """Anything else."""


Risk = Literal["low", "medium", "high"]
RISKS: Final[tuple[Risk, ...]] = ("low", "medium", "high")
"""From the least."""


class RiskRules(Part):
    """How risky what a change does is; a change is as risky as the riskiest thing that it does.

    Where several active policies say something of one thing, the highest counts;
    of what none of them speaks, :data:`DEFAULT_RISK` does.
    """

    noun: ClassVar[str] = "risk"

    gate_removed: Maybe[Risk] = None
    """A gate goes, or steps that waited for it no longer do."""
    gate_loosened: Maybe[Risk] = None
    """A gate asks fewer or other people, opens by itself, or its refusal stops nothing."""
    action_added: dict[Annotated[str, AfterValidator(_action)], Risk] = Field(default_factory=dict)
    """By action that a blueprint calls and did not before: ``ssh.run``, ``ssh.*``, ``*``."""
    action_changed: Maybe[Risk] = None
    """What an action or a model is given."""
    host_added: Maybe[Risk] = None
    """A host that a blueprint reaches and did not before."""
    secret_added: Maybe[Risk] = None
    """A secret that is referenced and was not before."""
    trigger_gained: Maybe[Risk] = None
    """More events, or more moments, start a run."""
    policy_changed: Maybe[Risk] = None
    """A policy is added, changed or removed."""
    principals_changed: Maybe[Risk] = None
    """Somebody joins, leaves, or is given other roles or teams."""
    node_changed: Maybe[Risk] = None
    """A node's definition."""
    source_changed: Maybe[Risk] = None
    """A webhook source."""
    pack_changed: Maybe[Risk] = None
    """A pack."""
    other: Maybe[Risk] = None
    """Anything else."""

    def of_action(self, name: str) -> Risk:
        """How risky it is to call an action: its own name, else the longest pattern, decides."""
        parts = name.split(".")
        wider = [".".join([*parts[:count], "*"]) for count in range(len(parts) - 1, -1, -1)]
        return next(
            (self.action_added[each] for each in (name, *wider) if each in self.action_added),
            "medium",
        )


DEFAULT_RISK: Final = RiskRules(
    gate_removed="high",
    gate_loosened="high",
    action_added={"ssh.*": "high", "container.*": "high", "http.*": "medium", "*": "medium"},
    action_changed="medium",
    host_added="medium",
    secret_added="medium",  # noqa: S106 - how risky, no secret
    trigger_gained="medium",
    policy_changed="high",
    principals_changed="high",
    node_changed="high",
    source_changed="medium",
    pack_changed="medium",
    other="low",
)
"""What is risky where no policy says otherwise."""


class GovernancePolicy(Envelope):
    """Decides who may do what."""

    policy_type: Literal["governance"]
    """Who may do what."""
    rules: list[GovernanceRule]
    """Asked by priority, then in this order."""
    risk: Maybe[RiskRules] = None


def risk_in_force(policies: Iterable[GovernancePolicy]) -> RiskRules:
    """Give the risk rules of all active policies as one, with a risk for everything."""
    stated = [each.risk for each in policies if each.status == "active" and each.risk is not None]
    actions = dict(DEFAULT_RISK.action_added) | _highest(each.action_added for each in stated)
    plain = [
        {
            name: risk
            for name in RiskRules.model_fields
            if name != "action_added" and (risk := getattr(each, name)) is not None
        }
        for each in stated
    ]
    return DEFAULT_RISK.model_copy(update={**_highest(plain), "action_added": actions})


def _highest(tables: Iterable[Mapping[str, Risk]]) -> dict[str, Risk]:
    highest: dict[str, Risk] = {}
    for table in tables:
        for name, risk in table.items():
            highest[name] = max(risk, highest.get(name, risk), key=RISKS.index)
    return highest


class TreasuryMatch(Part):
    """Which revenue a rule is about (seed 31.4.2)."""

    noun: ClassVar[str] = "match"

    event_type: Maybe[str] = None
    """``invoice.paid``, ``license.sale``, ``usage.metered``."""
    product: Maybe[str] = None
    """One product."""
    channel: Maybe[Literal["direct", "reseller", "marketplace"]] = None
    """One way of selling."""
    pou_id: Maybe[Uuid] = None
    """One organization."""
    metadata: Maybe[dict[str, Json]] = None
    """Names and the values that they have to have."""


class Split(Part):
    """One share."""

    noun: ClassVar[str] = "a split"

    to: Annotated[str, Field(pattern=r"^(pou|wallet):[^\s]+$")]
    """``pou:ID`` or ``wallet:REF``."""
    type: Literal["percent", "fixed"]
    """A share of the whole, or an amount."""
    value: Annotated[float, Field(ge=0)]
    """Percent, or the amount."""


class Allocation(Part):
    """How revenue is shared; percentages make 100 (seed 31.4.3)."""

    noun: ClassVar[str] = "an allocation"

    splits: Annotated[list[Split], Field(min_length=1)]
    """Who gets what."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        percents = [split.value for split in self.splits if split.type == "percent"]
        if percents and abs(sum(percents) - 100) > 1e-9:  # noqa: PLR2004 - percent
            raise PydanticCustomError(
                "bad_split",
                "percentages make 100 together; these make {total}",
                {"total": f"{sum(percents):g}"},
            )
        return self


class TreasuryRule(Part):
    """One rule (seed 31.4.1)."""

    noun: ClassVar[str] = "a rule"

    rule_id: Uuid
    """Ledger events are recorded with it."""
    priority: int = 0
    """The highest is asked first."""
    match: TreasuryMatch
    effect: Literal["apply", "ignore"]
    """Whether the allocation applies, or nothing does."""
    allocation: Maybe[Allocation] = None

    @model_validator(mode="after")
    def _allocates(self) -> Self:
        if self.effect == "apply" and self.allocation is None:
            raise PydanticCustomError("missing_key", "a rule that applies needs an allocation")
        return self


class TreasuryPolicy(Envelope):
    """Routes revenue."""

    policy_type: Literal["treasury"]
    """Who gets what."""
    rules: list[TreasuryRule]
    """Asked by priority, then in this order."""


def policy_kind(policy: Any) -> str | None:  # noqa: ANN401 - whatever the document holds
    """Which of the two a policy says it is; None where it says nothing known."""
    kind = (
        policy.get("policy_type")
        if isinstance(policy, dict)
        else getattr(policy, "policy_type", None)
    )
    return f"kind:{kind}" if kind in ("governance", "treasury") else None


Policy = Annotated[
    Annotated[GovernancePolicy, Tag("kind:governance")]
    | Annotated[TreasuryPolicy, Tag("kind:treasury")],
    Discriminator(policy_kind),
]
