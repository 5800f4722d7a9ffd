"""How two versions of every other kind of document differ: rules, people, nodes, sources, packs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired.diff_words import Told, Weight, compare, compare_fields
from xyn_reconciler.desired.loaded import Kind, Loaded
from xyn_reconciler.model.document import Part
from xyn_reconciler.model.node import Node
from xyn_reconciler.model.pack import Pack
from xyn_reconciler.model.policy import (
    GovernancePolicy,
    GovernanceRule,
    TreasuryPolicy,
    TreasuryRule,
)
from xyn_reconciler.model.prices import Prices
from xyn_reconciler.model.principals import PrincipalEntry, Principals
from xyn_reconciler.model.source import Source
from xyn_reconciler.model.test_file import TestFile

WEIGHTS: Final[Mapping[Kind, Weight]] = {
    "policy": "policy_changed",
    "principals": "principals_changed",
    "node": "node_changed",
    "source": "source_changed",
    "pack": "pack_changed",
    "pack_settings": "pack_changed",
    "pack_file": "pack_changed",
    "known_hosts": "node_changed",
    "prompt": "action_changed",
    "secret": "secret_added",
}
"""What a change weighs by the kind of document alone."""

_MODELS: Final[Mapping[Kind, type[Part]]] = {
    "node": Node,
    "prices": Prices,
    "pack": Pack,
    "source": Source,
    "test": TestFile,
}


def document_changes(old: Loaded | None, new: Loaded) -> Iterator[Told]:
    """Compare two versions; what a new policy or list of people says is told, too."""
    special: Mapping[Kind, Callable[[Any, Any], Iterator[str]]] = {
        "policy": _policy,
        "principals": _principals,
        "prompt": _prompt,
        "pack_file": _prompt,
        "pack_settings": _settings,
        "known_hosts": _known_hosts,
        "secret": _secret,
    }
    before = None if old is None else old.document
    weight = WEIGHTS.get(new.kind, "other")
    if new.kind in special:
        for words in special[new.kind](before, new.document):
            yield words, weight, None
    elif before is not None:
        model = _MODELS[new.kind]
        one, other = model.model_validate(before), model.model_validate(new.document)
        for words, _, name in compare_fields(one, other):
            yield words, weight, name


def _settings(old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - documents
    if old is None:
        return
    for key in (*old, *(key for key in new if key not in old)):
        yield from compare(old.get(key), new.get(key), key)


def _known_hosts(old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - documents
    before = [] if old is None else _lines(old["text"])
    after = _lines(new["text"])
    for verb, lines, other in (("trusts", after, before), ("no longer trusts", before, after)):
        different = [line.split()[0][:60] for line in lines if line not in other]
        if different:
            yield f"{verb} another key of {', '.join(different[:10])}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]


def _prompt(old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - documents
    if old is not None and old != new:
        yield "text changed"


def _secret(old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - documents
    if old is not None and old != new:
        yield "encrypted anew: its value, or who can open it, is another"


# ── Policies ─────────────────────────────────────────────────────────────────────────────────────

Rule = GovernanceRule | TreasuryRule


def _policy(old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - documents
    before = None if old is None else _read_policy(old)
    after = _read_policy(new)
    if before is not None:
        yield from (words for words, *_ in compare_fields(before, after, ("rules",)))
    old_rules = {} if before is None else {rule.rule_id: rule for rule in before.rules}
    new_rules = {rule.rule_id: rule for rule in after.rules}
    for rule_id, rule in old_rules.items():
        if rule_id not in new_rules:
            yield f"rule {rule_id} removed: {rule_words(rule)}"
    for rule_id, rule in new_rules.items():
        if rule_id not in old_rules:
            yield f"rule {rule_id} added: {rule_words(rule)}"
        else:
            for words, *_ in compare_fields(old_rules[rule_id], rule):
                yield f"rule {rule_id}: {words}"
    before_kept = [each for each in _asked_in_order(old_rules) if each in new_rules]
    kept = [each for each in _asked_in_order(new_rules) if each in old_rules]
    if before_kept != kept:
        yield f"rules are asked in another order: {', '.join(kept)}"


def _asked_in_order(rules: Mapping[str, Rule]) -> list[str]:
    """By priority, then as the file has them."""
    return sorted(rules, key=lambda rule_id: -rules[rule_id].priority)


def _read_policy(document: Mapping[str, Any]) -> GovernancePolicy | TreasuryPolicy:
    treasury = document["policy_type"] == "treasury"
    return (TreasuryPolicy if treasury else GovernancePolicy).model_validate(document)


def rule_words(rule: Rule) -> str:
    """A rule in words: ``deny infra.* on prod for team:noc``."""
    if isinstance(rule, TreasuryRule):
        return f"{rule.effect} {rule.match.event_type or 'anything'}"
    match = rule.match
    words = f"{rule.effect} {match.action or 'everything'}"
    if match.stage != "any":
        words += f" on {match.stage}"
    if match.actor:
        words += f" for {' or '.join(match.actor)}"
    if match.risk != "any":
        words += f" at risk {match.risk}"
    others = [value for value in (match.resource_type, match.env_id) if value]
    return words + (f" of {' in '.join(others)}" if others else "")


# ── People ───────────────────────────────────────────────────────────────────────────────────────


def _principals(old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - documents
    before, after = (
        {}
        if document is None
        else {each.id: each for each in Principals.model_validate(document).principals}
        for document in (old, new)
    )
    for name in before:
        if name not in after:
            yield f"{name} leaves"
    for name, entry in after.items():
        if name not in before:
            yield f"{name} joins: {', '.join([entry.kind, *_given(entry)])}"
        else:
            yield from _principal(before[name], entry)


def _principal(old: PrincipalEntry, new: PrincipalEntry) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"{new.id}: kind {old.kind} -> {new.kind}"
    for verb, one, other in (("gains", new, old), ("loses", old, new)):
        different = [each for each in _given(one) if each not in _given(other)]
        if different:
            yield f"{new.id} {verb} {', '.join(different)}"


def _given(entry: PrincipalEntry) -> list[str]:
    return [*entry.roles, *(f"team {team}" for team in entry.teams)]
