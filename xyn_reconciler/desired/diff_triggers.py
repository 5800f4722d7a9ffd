"""How the triggers of a blueprint differ: which events start it that did not, and which no longer.

Triggers have no names. Those that are equal are left out, the others are paired by
what they wait for, in order; what finds no partner is gained or lost.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.desired.diff_words import Told, compare, shown
from xyn_reconciler.model.blueprint import Trigger

GAINED: Final = "trigger_gained"


def trigger_words(trigger: Trigger) -> str:
    """A trigger in words: ``checkmk.alert where data.state is CRIT or WARN``."""
    if trigger.schedule is not None:
        words = f"schedule {trigger.schedule.cron} {trigger.schedule.timezone}"
        return words if trigger.event_type is None else f"{words} as {trigger.event_type}"
    parts = [
        f"{path} is {_any(_values(expected))}" for path, expected in sorted(trigger.match.items())
    ]
    if trigger.when is not None:
        parts.append(_condition(trigger.when))
    return str(trigger.event_type) + (f" where {' and '.join(parts)}" if parts else "")


def trigger_changes(old: list[Trigger], new: list[Trigger]) -> Iterator[Told]:
    """Compare the triggers of two versions of a blueprint."""
    lost = [trigger for trigger in old if trigger not in new]
    gained = [trigger for trigger in new if trigger not in old]
    pairs = list(_pairs(lost, gained))
    alone = len(old) == len(new) == 1
    for before, after in pairs:
        label = "trigger" if alone else f"trigger {after.event_name}"
        yield from _differences(before, after, label)
    for trigger in lost:
        if not any(trigger is before for before, _ in pairs):
            yield f"trigger lost: {trigger_words(trigger)}", "other", None
    for trigger in gained:
        if not any(trigger is after for _, after in pairs):
            yield f"trigger gained: {trigger_words(trigger)}", GAINED, None


def _pairs(lost: list[Trigger], gained: list[Trigger]) -> Iterator[tuple[Trigger, Trigger]]:
    left = [*gained]
    for before in lost:
        partner = next(
            (
                after
                for after in left
                if after.event_name == before.event_name
                and (after.schedule is None) == (before.schedule is None)
            ),
            None,
        )
        if partner is not None:
            left = [after for after in left if after is not partner]
            yield before, partner


def _differences(old: Trigger, new: Trigger, label: str) -> Iterator[Told]:
    yield from _match(old.match, new.match, label)
    for words in compare(_text(old.when), _text(new.when), f"{label}: when"):
        yield words, "other" if old.when is None else GAINED, None
    for name, one, other in (
        ("schedule", old.schedule, new.schedule),
        ("dedupe", old.dedupe, new.dedupe),
        ("debounce", old.debounce, new.debounce),
    ):
        for words in compare(one, other, f"{label}: {name}"):
            yield words, "other" if one is None else GAINED, None


def _match(old: Mapping[str, Any], new: Mapping[str, Any], label: str) -> Iterator[Told]:
    for path in sorted({*old, *new}):
        if path not in new:
            words = f"{label} no longer asks that {path} is {_any(_values(old[path]))}"
            yield words, GAINED, None
        elif path not in old:
            words = f"{label} now also asks that {path} is {_any(_values(new[path]))}"
            yield words, "other", None
        else:
            before, after = _values(old[path]), _values(new[path])
            more = [value for value in after if value not in before]
            less = [value for value in before if value not in after]
            if more:
                yield f"{label} now also matches {_any(more)} ({path})", GAINED, None
            if less:
                yield f"{label} no longer matches {_any(less)} ({path})", "other", None


def _values(expected: object) -> list[str]:
    values = expected if isinstance(expected, list) else [expected]
    return [shown(value) or str(value) for value in values]


def _any(values: list[str]) -> str:
    return " or ".join(values)


def _text(condition: str | bool | None) -> str | None:  # noqa: FBT001 - a condition may be a flag
    return condition if condition is None or isinstance(condition, str) else str(condition).lower()


def _condition(condition: str | bool) -> str:  # noqa: FBT001 - a condition may be a flag
    return f"({_text(condition)})"
