"""What a commit would change on one node: what starts runs there, and what those may reach.

Pure. Triggers are live on the nodes that a blueprint names, runs may be started by
hand everywhere: so triggers and schedules are the node's own, while actions, hosts,
secrets and gates are told of every blueprint. A trigger that is changed is lost in
its old form and gained in its new one.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from xyn_reconciler.desired.diff import Pair, diff, pairs, secrets
from xyn_reconciler.desired.diff_blueprint import actions, hosts
from xyn_reconciler.desired.diff_packs import KINDS as PACK_KINDS
from xyn_reconciler.desired.diff_packs import pack_hosts
from xyn_reconciler.desired.diff_triggers import trigger_words
from xyn_reconciler.desired.diff_words import Change
from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.blueprint import Schedule, Trigger
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.policy import RISKS, GovernancePolicy, Risk, RiskRules, risk_in_force

NextTimes = Callable[[str, str], Sequence[dt.datetime]]
"""Cron expression and time zone -> the next times at which it fires."""


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """A trigger, action, host, secret or gate, and the document that has it."""

    document_id: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class Timed:
    """A schedule with the next times at which it fires, in UTC."""

    document_id: str
    cron: str
    timezone: str
    next_times: tuple[dt.datetime, ...]


T = TypeVar("T", Effect, Timed)


@dataclass(frozen=True, slots=True)
class Turnover(Generic[T]):
    """What is there afterwards and was not, and what was there and is no more; sorted."""

    gained: tuple[T, ...]
    lost: tuple[T, ...]


@dataclass(frozen=True, slots=True)
class Effects:
    """All that promotion would change on the node, and how risky that is."""

    triggers: Turnover[Effect]
    schedules: Turnover[Timed]
    actions: Turnover[Effect]
    hosts: Turnover[Effect]
    secrets: Turnover[Effect]
    gates: Turnover[Effect]
    risk: Risk
    reasons: tuple[Change, ...]
    """The changes that are as risky as that; none where the risk is low."""

    def to_json(self) -> dict[str, Any]:
        """As reviews show it. No digest is made of this: the next times move with the clock."""
        return {
            "triggers": _json(self.triggers, _named),
            "schedules": _json(self.schedules, _timed),
            "actions": _json(self.actions, _named),
            "hosts": _json(self.hosts, _named),
            "secrets": _json(self.secrets, _named),
            "gates": _json(self.gates, _named),
            "risk": self.risk,
            "reasons": [f"{change.document_id}: {change.words}" for change in self.reasons],
        }


def effects(
    before: DesiredState, after: DesiredState, node_id: str, next_times: NextTimes
) -> Effects:
    """Say what ``after`` would change on a node. The risk rules are those of ``before``."""
    changed = pairs(before, after)
    blueprints = [pair for pair in changed if pair.loaded.kind == "blueprint"]
    live = blueprints
    if any(pair.loaded.kind == "node" for pair in changed):
        live = _all_blueprints(before, after)
    risk, reasons = assess(diff(before, after), risk_rules(before))
    old = [pair.old for pair in live if pair.old is not None]
    new = [pair.new for pair in live if pair.new is not None]
    one, other = _live(before, node_id, old), _live(after, node_id, new)
    return Effects(
        triggers=_turnover(_triggers(one), _triggers(other)),
        schedules=_turnover(_schedules(one, next_times), _schedules(other, next_times)),
        actions=_of_each(blueprints, actions),
        hosts=_of_each([pair for pair in changed if pair.loaded.kind in _WITH_HOSTS], _hosts),
        secrets=_of_each(changed, secrets),
        gates=_of_each(blueprints, _gates),
        risk=risk,
        reasons=reasons,
    )


def risk_rules(state: DesiredState) -> RiskRules:
    """Give what the active policies of a state say of risk, with a risk for everything."""
    return risk_in_force(
        GovernancePolicy.model_validate(loaded.document)
        for loaded in state.files.values()
        if loaded.kind == "policy"
        and loaded.document is not None
        and loaded.document["policy_type"] == "governance"
    )


def assess(changes: Iterable[Change], rules: RiskRules) -> tuple[Risk, tuple[Change, ...]]:
    """Give the risk of the riskiest change, and the changes that make it so."""
    found = [(_risk(change, rules), change) for change in changes]
    worst = max((risk for risk, _ in found), key=RISKS.index, default=RISKS[0])
    if worst == RISKS[0]:
        return worst, ()
    return worst, tuple(change for risk, change in found if risk == worst)


def _risk(change: Change, rules: RiskRules) -> Risk:
    if change.weight == "action_added":
        return rules.of_action(change.name or "")
    stated: Risk | None = getattr(rules, change.weight, None)
    return stated or rules.other or RISKS[0]


# ── Triggers and schedules that are live ─────────────────────────────────────────────────────────


def _all_blueprints(before: DesiredState, after: DesiredState) -> list[Pair]:
    """The node itself is another one now: every blueprint's triggers may be."""
    found = [Pair(loaded, None) for loaded in _blueprints(before)]
    return [*found, *(Pair(None, loaded) for loaded in _blueprints(after))]


def _blueprints(state: DesiredState) -> Iterator[Loaded]:
    return (loaded for loaded in state.files.values() if loaded.kind == "blueprint")


def _live(
    state: DesiredState, node_id: str, blueprints: Iterable[Loaded]
) -> list[tuple[str, Trigger]]:
    """The triggers that start runs on the node, with their blueprints."""
    node = state.node(node_id)
    if node is None or node.get("mode", "active") != "active":
        return []
    main = state.main_node()
    is_main = main is not None and main.document is node
    names = {node_id, *(f"label:{label}" for label in node.get("labels") or [])}
    return [
        (loaded.document_id, Trigger.model_validate(trigger))
        for loaded in blueprints
        if loaded.document is not None
        for trigger in loaded.document.get("triggers") or []
        if (is_main if (chosen := loaded.document.get("nodes")) is None else names & {*chosen})
    ]


def _triggers(live: Iterable[tuple[str, Trigger]]) -> set[Effect]:
    return {
        Effect(name, trigger_words(trigger)) for name, trigger in live if trigger.schedule is None
    }


def _schedules(live: Iterable[tuple[str, Trigger]], next_times: NextTimes) -> set[Timed]:
    return {
        _with_times(name, trigger.schedule, next_times)
        for name, trigger in live
        if trigger.schedule is not None
    }


def _with_times(document_id: str, schedule: Schedule, next_times: NextTimes) -> Timed:
    times = next_times(schedule.cron, schedule.timezone)
    return Timed(document_id, schedule.cron, schedule.timezone, tuple(times))


# ── What blueprints reach ────────────────────────────────────────────────────────────────────────

_WITH_HOSTS = ("blueprint", "node", *PACK_KINDS)


def _hosts(loaded: Loaded) -> set[str]:
    """Hosts that a blueprint names; of a node, what it may reach beyond the public network."""
    if loaded.kind == "node":
        return {*((loaded.document.get("egress") or {}).get("allow") or [])}
    return pack_hosts(loaded) if loaded.kind in PACK_KINDS else hosts(loaded)


def _gates(loaded: Loaded) -> set[str]:
    return {step["id"] for step in loaded.document["plan"] if step["kind"] == "gate"}


def _of_each(changed: Iterable[Pair], ask: Callable[[Loaded], set[str]]) -> Turnover[Effect]:
    gained, lost = set[Effect](), set[Effect]()
    for pair in changed:
        lost |= _effects(pair.old, ask)
        gained |= _effects(pair.new, ask)
    return _turnover(lost, gained)


def _effects(loaded: Loaded | None, ask: Callable[[Loaded], set[str]]) -> set[Effect]:
    if loaded is None or loaded.document is None:
        return set()
    return {Effect(loaded.document_id, name) for name in ask(loaded)}


def _turnover(old: set[T], new: set[T]) -> Turnover[T]:
    return Turnover(tuple(sorted(new - old)), tuple(sorted(old - new)))


def _json(
    turnover: Turnover[T], each_as: Callable[[T], Mapping[str, Any]]
) -> dict[str, list[Mapping[str, Any]]]:
    return {
        "gained": [each_as(each) for each in turnover.gained],
        "lost": [each_as(each) for each in turnover.lost],
    }


def _named(effect: Effect) -> dict[str, Any]:
    return {"document_id": effect.document_id, "name": effect.name}


def _timed(timed: Timed) -> dict[str, Any]:
    return {
        "document_id": timed.document_id,
        "cron": timed.cron,
        "timezone": timed.timezone,
        "next_times": [isoformat(each) for each in timed.next_times],
    }
