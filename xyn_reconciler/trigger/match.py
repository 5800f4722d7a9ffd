"""Which blueprints does an event start? Decide; start nothing.

Pure, so that a backtest and ``explain`` ask exactly what :mod:`trigger.intake`
asks. A :class:`MatchIndex` holds every live trigger under the name or the prefix
that it waits for: the cost of an event is that of the triggers that wait for its
name, not of all that exist.

An index belongs to one node: a trigger that is not live there is not in it (but
:meth:`MatchIndex.explain` still says so). The trap: a ``when`` that fails is no
match, never an error, because one author's slip must not lose another's event;
and a ``dedupe`` or ``debounce`` whose key cannot be told is as if it were not
there, for the same reason.
"""

import datetime as dt
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from xyn_reconciler.desired.expression import (
    Template,
    parse_expression,
    references,
    render_value,
)
from xyn_reconciler.desired.values import JSON, ExpressionError, Undefined, equal, step_into, text
from xyn_reconciler.model.blueprint import SCHEDULE_EVENT
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.units import parse_duration
from xyn_reconciler.trigger import delivery_ids, glob

MAX_HOPS: Final = 20
"""Runs that may lie between an event and the one that began it all; beyond, it starts nothing."""

SCHEDULE: Final = "schedule"
"""The ``source`` of events that schedules emit; nothing outside can have it."""

logger = logging.getLogger(__name__)

LONGEST_DEBOUNCE: Final = 10
"""Without ``at_most`` a debounced key starts its run after so many times its ``quiet``."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a trigger may know of the node that it is live on, or not."""

    id: str
    env_id: str
    stage: str
    labels: frozenset[str] = frozenset()
    vars: Mapping[str, Any] = field(default_factory=dict)
    primary: bool = True
    """Whether it is the node of ``node.yaml``: where triggers without ``nodes:`` are live."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make it of ``node.settings``."""
        return cls(
            settings["id"],
            settings["env_id"],
            settings["stage"],
            frozenset(settings["labels"]),
            settings.get("vars") or {},  # rows of 0.1 before it had them
            settings["primary"],
        )

    def as_root(self) -> dict[str, JSON]:
        """The root ``node`` of expressions."""
        return {"id": self.id, "env_id": self.env_id, "stage": self.stage, "vars": dict(self.vars)}


@dataclass(frozen=True, slots=True)
class Window:
    """``dedupe`` of a trigger, for one event: the first of a key suppresses the others."""

    key: str
    length: dt.timedelta


@dataclass(frozen=True, slots=True)
class Pause:
    """``debounce`` of a trigger, for one event: it waits until its key is quiet."""

    key: str
    quiet: dt.timedelta
    at_most: dt.timedelta


@dataclass(frozen=True, slots=True)
class Match:
    """A run to start: the first trigger of this blueprint that fits."""

    blueprint_id: str
    trigger_index: int
    calm: Window | Pause | None = None
    """What may keep the run from starting now."""
    fault: str | None = None
    """Why nobody knows whether it fits: a fault of our own, by its kind."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a trigger fits or not; ``condition`` is the first that failed, ``None`` if none did."""

    blueprint_id: str
    trigger_index: int
    condition: str | None = None
    """``event_type``, ``match.data.state``, ``when``, ``nodes`` or ``schedule``."""
    expected: Any = None
    found: Any = None
    reason: str = ""

    @property
    def matched(self) -> bool:
        return self.condition is None


@dataclass(frozen=True, slots=True)
class _Trigger:
    blueprint_id: str
    index: int
    event_type: str
    conditions: tuple[tuple[str, tuple[JSON, ...]], ...]
    """(path, any of these values)."""
    when: Template | ExpressionError | None
    when_text: str | None
    dedupe: Mapping[str, Any] | None = None
    debounce: Mapping[str, Any] | None = None

    def failed(self, condition: str, expected: object, found: object, reason: str) -> Explanation:
        return Explanation(self.blueprint_id, self.index, condition, expected, found, reason)


@dataclass(frozen=True, slots=True)
class _Blueprint:
    triggers: tuple[_Trigger, ...]
    """Those that wait for events of a name."""
    scheduled: tuple[_Trigger, ...]
    """Those that wait for the clock: for their own slots' events."""
    nodes: tuple[str, ...] | None
    live: bool


@dataclass(frozen=True)
class MatchIndex:
    """The triggers of all blueprints, as one node sees them. Immutable."""

    node: NodeView
    _blueprints: Mapping[str, _Blueprint] = field(default_factory=dict)
    _exact: Mapping[str, tuple[_Trigger, ...]] = field(default_factory=dict)
    _prefixes: Mapping[str, tuple[_Trigger, ...]] = field(default_factory=dict)

    @classmethod
    def build(cls, documents: Iterable[Mapping[str, Any]], node: NodeView) -> "MatchIndex":
        """Make an index of normalised blueprint documents (``triggers`` is a list)."""
        return cls(node).with_changes((document["id"], document) for document in documents)

    def with_changes(self, changes: Iterable[tuple[str, Mapping[str, Any] | None]]) -> "MatchIndex":
        """Give an index with some blueprints replaced, or taken out (``None``), by id."""
        blueprints = dict(self._blueprints)
        exact, prefixes = dict(self._exact), dict(self._prefixes)
        for blueprint_id, document in changes:
            old = blueprints.pop(blueprint_id, None)
            for trigger in old.triggers if old is not None and old.live else ():
                shelf, name = _shelf(trigger, exact, prefixes)
                rest = tuple(each for each in shelf[name] if each.blueprint_id != blueprint_id)
                shelf[name] = rest
                if not rest:
                    del shelf[name]
            if document is None:
                continue
            try:
                new = _blueprint(document, self.node)
            except Exception:
                # Nobody can say what it waits for; the others must not wait for that.
                logger.exception("%s cannot be matched with events", blueprint_id)
                continue
            blueprints[blueprint_id] = new
            for trigger in new.triggers if new.live else ():
                shelf, name = _shelf(trigger, exact, prefixes)
                shelf[name] = (*shelf.get(name, ()), trigger)
        return MatchIndex(self.node, blueprints, exact, prefixes)

    def waits_for(self, event_name: str) -> bool:
        """Whether any trigger waits for events of this name."""
        return event_name in self._exact or any(
            prefix in self._prefixes for prefix in _prefixes_of(event_name)
        )

    def is_live(self, blueprint_id: str) -> bool:
        """Whether the triggers of this blueprint start runs on this node."""
        found = self._blueprints.get(blueprint_id)
        return found is not None and found.live

    def matches(self, event: Event) -> list[Match]:
        """Give the blueprints to start, one match each, by blueprint id."""
        candidates = [*self._exact.get(event.event_name, ()), *self._of_slot(event)]
        for prefix in _prefixes_of(event.event_name) if self._prefixes else ():
            candidates += self._prefixes.get(prefix, ())
        if not candidates or event.hops >= MAX_HOPS:
            return []
        envelope, node = event.envelope(), self.node.as_root()
        found: dict[str, Match] = {}
        for trigger in sorted(candidates, key=lambda each: (each.blueprint_id, each.index)):
            if trigger.blueprint_id in found:
                continue
            match = _matched(trigger, envelope, node)
            if match is not None:
                found[trigger.blueprint_id] = match
        return list(found.values())

    def _of_slot(self, event: Event) -> Iterable[_Trigger]:
        """The schedule's own trigger, for the event of one of its slots."""
        if event.source != SCHEDULE:
            return
        blueprint = self._blueprints.get(str(event.data.get("blueprint_id")))
        if blueprint is not None and blueprint.live:
            yield from (
                each for each in blueprint.scheduled if each.index == event.data.get("trigger")
            )

    def explain(self, event: Event) -> list[Explanation]:
        """Say of every trigger of every blueprint why this event fits it, or does not."""
        envelope, node = event.envelope(), self.node.as_root()
        found = []
        for blueprint_id, blueprint in sorted(self._blueprints.items()):
            own = [each.index for each in self._of_slot(event) if each in blueprint.scheduled]
            found += [
                Explanation(
                    blueprint_id,
                    each.index,
                    "schedule",
                    reason="this trigger starts by its own clock, not by this event",
                )
                for each in blueprint.scheduled
                if each.index not in own
            ]
            for trigger in (
                *blueprint.triggers,
                *(each for each in blueprint.scheduled if each.index in own),
            ):
                told = _explained(trigger, envelope, node)
                if told.condition == "when":
                    told = _with_values(told, trigger, {"event": envelope, "node": node})
                elif told.matched and not blueprint.live:
                    told = _not_live(trigger, blueprint, self.node)
                elif told.matched and event.hops >= MAX_HOPS:
                    told = _too_far(trigger, event)
                found.append(told)
        return sorted(found, key=lambda each: (each.blueprint_id, each.trigger_index))


def names_node(nodes: Sequence[str] | None, node: NodeView) -> bool:
    """Whether ``nodes:`` of a blueprint makes its triggers live on this node."""
    if nodes is None:
        return node.primary
    return any(
        name.removeprefix("label:") in node.labels if name.startswith("label:") else name == node.id
        for name in nodes
    )


def _matched(trigger: _Trigger, envelope: dict[str, JSON], node: dict[str, JSON]) -> Match | None:
    """Give the match; where our own fault keeps it from being judged, that is said in it."""
    try:
        if not _judge(trigger, envelope, node).matched:
            return None
        calm = _calm(trigger, {"event": envelope, "node": node})
    except Exception as error:
        logger.exception("%s cannot be matched with an event", trigger.blueprint_id)
        return Match(trigger.blueprint_id, trigger.index, fault=type(error).__name__)
    return Match(trigger.blueprint_id, trigger.index, calm)


def _explained(trigger: _Trigger, envelope: dict[str, JSON], node: dict[str, JSON]) -> Explanation:
    try:
        return _judge(trigger, envelope, node)
    except Exception as error:  # noqa: BLE001 - the log has it from when the event came
        reason = f"Xyn itself failed here ({type(error).__name__})"
        return trigger.failed("fault", None, None, reason)


def _blueprint(document: Mapping[str, Any], node: NodeView) -> _Blueprint:
    listed = document.get("triggers") or []
    named = document.get("nodes")
    nodes = None if named is None else tuple(named)
    return _Blueprint(
        triggers=tuple(
            _trigger(document["id"], index, each)
            for index, each in enumerate(listed)
            if each.get("schedule") is None
        ),
        scheduled=tuple(
            _trigger(document["id"], index, each)
            for index, each in enumerate(listed)
            if each.get("schedule") is not None
        ),
        nodes=nodes,
        live=names_node(nodes, node),
    )


def _trigger(blueprint_id: str, index: int, document: Mapping[str, Any]) -> _Trigger:
    written = document.get("when")
    if isinstance(written, bool):  # YAML's own true and false
        written = "true" if written else "false"
    when: Template | ExpressionError | None = None
    if written is not None:
        try:
            when = parse_expression(written)
        except ExpressionError as error:
            when = error
    return _Trigger(
        blueprint_id,
        index,
        str(document.get("event_type") or SCHEDULE_EVENT),
        tuple(
            (path, tuple(value) if isinstance(value, list) else (value,))
            for path, value in (document.get("match") or {}).items()
        ),
        when,
        written,
        document.get("dedupe"),
        document.get("debounce"),
    )


def _calm(trigger: _Trigger, scope: dict[str, JSON]) -> Window | Pause | None:
    asked = trigger.debounce or trigger.dedupe
    if asked is None:
        return None
    try:
        key = delivery_ids.fitted(text(render_value(asked["key"], scope)))
    except ExpressionError:
        return None
    if trigger.debounce is None:
        return Window(key, parse_duration(asked["window"]))
    quiet = parse_duration(asked["quiet"])
    at_most = asked.get("at_most")
    longest = LONGEST_DEBOUNCE * quiet if at_most is None else parse_duration(at_most)
    return Pause(key, quiet, longest)


def _look_up(value: JSON, path: str) -> JSON | Undefined:
    """Follow ``data.alerts.0.status``: a number counts in a list, and is a key in an object."""
    found: JSON | Undefined = value
    for part in path.split("."):
        if isinstance(found, Undefined):
            return found
        in_list = isinstance(found, list) and part.isascii() and part.isdigit()
        found = step_into(found, int(part[:9]) if in_list else part)
    return found


def _shelf(
    trigger: _Trigger,
    exact: dict[str, tuple[_Trigger, ...]],
    prefixes: dict[str, tuple[_Trigger, ...]],
) -> tuple[dict[str, tuple[_Trigger, ...]], str]:
    """Where a trigger lies: ``xyn.run.*`` under the prefix ``xyn.run.``."""
    if trigger.event_type.endswith("*"):
        return prefixes, trigger.event_type[:-1]
    return exact, trigger.event_type


def _prefixes_of(event_name: str) -> Iterable[str]:
    yield ""
    at = event_name.find(".")
    while at >= 0:
        yield event_name[: at + 1]
        at = event_name.find(".", at + 1)


def _judge(trigger: _Trigger, envelope: dict[str, JSON], node: dict[str, JSON]) -> Explanation:
    name = str(envelope["event_name"])
    if not _fits_type(trigger.event_type, name):
        return trigger.failed("event_type", trigger.event_type, name, "the event has another name")
    for path, wanted in trigger.conditions:
        found = _look_up(envelope, path)
        expected = wanted[0] if len(wanted) == 1 else list(wanted)
        if isinstance(found, Undefined):
            return trigger.failed(f"match.{path}", expected, None, "the event has no such value")
        if not any(_fits(each, found) for each in wanted):
            return trigger.failed(f"match.{path}", expected, found, "the value is another")
    return _judge_when(trigger, {"event": envelope, "node": node})


def _judge_when(trigger: _Trigger, scope: dict[str, JSON]) -> Explanation:
    if trigger.when is None:
        return Explanation(trigger.blueprint_id, trigger.index)
    try:
        if isinstance(trigger.when, ExpressionError):
            raise trigger.when
        said = trigger.when.render(scope)
    except ExpressionError as error:
        return trigger.failed("when", trigger.when_text, None, error.message)
    if said:
        return Explanation(trigger.blueprint_id, trigger.index)
    return trigger.failed("when", trigger.when_text, said, "the expression is not true")


def _with_values(told: Explanation, trigger: _Trigger, scope: dict[str, JSON]) -> Explanation:
    """Say what the names in a ``when`` that failed stand for; without any, what it came to."""
    if not isinstance(trigger.when, Template):
        return told
    values = {}
    for name in references(trigger.when):
        value: JSON | Undefined = scope.get(name.root)
        for part in name.path:
            if not isinstance(value, Undefined):
                value = step_into(value, part)
        if not isinstance(value, Undefined):
            values[".".join([name.root, *map(str, name.path)])] = value
    return replace(told, found=values or told.found)


def _fits_type(event_type: str, name: str) -> bool:
    return name.startswith(event_type[:-1]) if event_type.endswith("*") else name == event_type


def _fits(wanted: JSON, found: JSON) -> bool:
    if isinstance(wanted, str) and isinstance(found, str) and glob.is_pattern(wanted):
        return glob.matches(wanted, found)
    return equal(wanted, found)


def _not_live(trigger: _Trigger, blueprint: _Blueprint, node: NodeView) -> Explanation:
    if blueprint.nodes is None:
        reason = "its triggers are live on the node of node.yaml"
        return trigger.failed("nodes", None, node.id, reason)
    reason = "its triggers are live on other nodes"
    return trigger.failed("nodes", list(blueprint.nodes), node.id, reason)


def _too_far(trigger: _Trigger, event: Event) -> Explanation:
    reason = "too many runs lie between this event and the one that began it: a loop"
    return trigger.failed("hops", f"fewer than {MAX_HOPS}", event.hops, reason)
