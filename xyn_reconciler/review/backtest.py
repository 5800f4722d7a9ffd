"""What would a change have done? Recorded events against it and against ``main``.

Pure but for reading records: a history and two sides in, a report out. An event that
starts a blueprint on both sides is compared by replaying both (:mod:`.replay`), with its
recorded run to answer (:mod:`.recorded_answers`) and no action within reach; where the
plans are the same there is nothing to replay. The same inputs give the same bytes: no clock,
no id and no order comes from outside.

The trap: what nobody recorded is unknown, and is said to be. A report that has no
``changed`` in it proves nothing about outputs that no step has ever given.
"""

import dataclasses
import datetime as dt
import functools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.event import isoformat
from xyn_reconciler.model.node import Stage
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.model.run import ExecutionPlan, canonical
from xyn_reconciler.policy.evaluate import PolicyInForce, evaluate
from xyn_reconciler.policy.lockout import policies_in_force
from xyn_reconciler.policy.request import Request
from xyn_reconciler.review.answering import Answering
from xyn_reconciler.review.costs import Basis, Costs
from xyn_reconciler.review.differences import differences
from xyn_reconciler.review.history import (
    CancelledError,
    History,
    Recorded,
    RunRecord,
    read_history,
    read_runs,
)
from xyn_reconciler.review.recorded_answers import Redact
from xyn_reconciler.review.replay import UNKNOWN, Replayed
from xyn_reconciler.review.side import Side
from xyn_reconciler.review.starts import Key, Starts, follow
from xyn_reconciler.store.git import Repository
from xyn_reconciler.trigger.match import Explanation, MatchIndex

Report = dict[str, Any]
Outcome = Literal["same", "changed", "gained", "lost"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("changed", "gained", "lost", "same")

WINDOW: Final = dt.timedelta(days=7)
"""How far back is looked where nobody says it."""

SHOWN: Final = 100
"""Rows of each outcome that a report lists; all of them are counted."""

COST_BASIS: Final = 50
"""The newest runs of a blueprint that a cost is estimated from."""

_TOLD_EVERY: Final = 500
_SUMMARY: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: two sides over one history."""

    history: History
    before: Side
    """``main``."""
    after: Side
    """The draft merged into it."""
    actions: Mapping[str, ActionSpec]
    blueprint: str | None = None
    """Of this one alone."""
    redact: Redact = lambda value: value
    progress: Callable[[int], None] = lambda _: None
    """Is told how many events were looked at."""
    cancelled: Callable[[], bool] = lambda: False


ReadRuns = Callable[[Mapping[str, str]], Mapping[str, RunRecord]]
"""Gives records of runs (run id to plan digest); :func:`.history.read_runs`, bound."""


def backtest(question: Question, read_runs: ReadRuns) -> Report:
    """Answer it as JSON; raises ``CancelledError``."""
    before, after = _matched(question)
    return _Comparison(question, before, after).report(read_runs)


def backtest_states(  # noqa: PLR0913 - what is asked, and who listens
    repository: Repository,
    node_id: str,
    before: DesiredState,
    after: DesiredState,
    *,
    actions: Mapping[str, ActionSpec],
    window: dt.timedelta = WINDOW,
    blueprint: str | None = None,
    redact: Redact = lambda value: value,
    progress: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Read what this node recorded and answer for two states, ``main``'s first.

    Raises ``CancelledError``, and ``DamagedRecordError`` for records that cannot be read.
    """
    history = read_history(
        repository, node_id, window, progress=lambda _: None, cancelled=cancelled
    )
    if history is None:
        return nothing_recorded(blueprint)
    question = Question(
        history=history,
        before=Side.of(before, node_id),
        after=Side.of(after, node_id),
        actions=actions,
        blueprint=blueprint,
        redact=redact,
        progress=progress,
        cancelled=cancelled,
    )
    read = functools.partial(read_runs, repository, history, cancelled=cancelled)
    return backtest(question, read)


def nothing_recorded(blueprint: str | None) -> Report:
    """Give the report on a node that has recorded no event yet."""
    return {
        "since": None,
        "until": None,
        "truncated": False,
        "records": {},
        "blueprint": blueprint,
        "events": 0,
        "counts": dict.fromkeys(OUTCOMES, 0),
        "unknown": 0,
        "blueprints": {},
        "rows": [],
        "left_out": dict.fromkeys(OUTCOMES, 0),
        "unresolved": [],
        "gates": {},
        "policies": [],
        "cost": {},
    }


def _matched(question: Question) -> tuple[Starts, Starts]:
    index = question.before.index()
    other = question.after.index_after(question.before, index)
    before = Starts(index, question.blueprint)
    after = before if other is index else Starts(other, question.blueprint)
    sides = [before] if after is before else [before, after]
    for number, recorded in enumerate(question.history.events):
        if number % _TOLD_EVERY == 0:
            question.progress(number)
            if question.cancelled():
                raise CancelledError("the backtest was cancelled")
        follow(sides, number, recorded)
    question.progress(len(question.history.events))
    for side in sides:
        side.finish()
    return before, after


@dataclass(slots=True)
class _Tally:
    """What the rows add up to."""

    counts: Counter[str] = field(default_factory=Counter)
    by_blueprint: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    rows: list[dict[str, Any]] = field(default_factory=list)
    unresolved: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    gates: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    policies: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    unknown: int = 0
    """Runs of the draft of which nobody knows how they would end."""

    def has_room(self, outcome: Outcome) -> bool:
        return self.counts[outcome] < SHOWN

    def add(self, outcome: Outcome, blueprint_id: str, row: dict[str, Any] | None) -> None:
        if row is not None and self.has_room(outcome):
            self.rows.append(row)
        self.counts[outcome] += 1
        self.by_blueprint[blueprint_id][outcome] += 1


class _Comparison:
    def __init__(self, question: Question, before: Starts, after: Starts) -> None:
        self.question = question
        self.events = question.history.events
        self.starts = {"main": before, "draft": after}
        self.plans = _Plans(question)
        self.tally = _Tally()
        self.answering = Answering(question.actions, question.redact)
        self.policies: tuple[PolicyInForce, ...] = ()
        self._decided: dict[tuple[str, str], tuple[str, str] | None] = {}

    def report(self, read_runs: ReadRuns) -> Report:
        before, after = self.starts["main"].started, self.starts["draft"].started
        keys = sorted(before | after)
        stage = self.question.after.node.stage
        if stage == "prod":
            files = self.question.after.state.files.values()
            self.policies = policies_in_force(files, "draft")
        compared = [key for key in keys if self._needs_a_replay(key, before, after)]
        costly = {blueprint for _, blueprint in before ^ after}
        costly |= {blueprint for _, blueprint in compared}
        self.answering.runs = read_runs(self._wanted(compared, costly))
        costs = Costs(Basis.of(self.answering.runs.values()))
        for done, key in enumerate(keys):
            if done % _TOLD_EVERY == 0 and self.question.cancelled():
                raise CancelledError("the backtest was cancelled")
            self._compare(key, before, after, costs if key[1] in costly else None)
        return self._written(costs)

    def _needs_a_replay(self, key: Key, before: set[Key], after: set[Key]) -> bool:
        return key in after and not (key in before and self.plans.same(key[1]))

    def _wanted(self, compared: Sequence[Key], costly: set[str]) -> dict[str, str]:
        """The runs whose records are read: those that answer, and some to estimate costs from."""
        found: dict[str, str] = {}
        for number, blueprint in compared:
            run = self.events[number].runs.get(blueprint)
            if run is not None:
                found[run["run_id"]] = run["plan_digest"]
        basis: Counter[str] = Counter()
        for recorded in reversed(self.events):
            for blueprint, run in recorded.runs.items():
                if blueprint in costly and basis[blueprint] < COST_BASIS:
                    basis[blueprint] += 1
                    found[run["run_id"]] = run["plan_digest"]
        return found

    # ── one event at one blueprint ───────────────────────────────────────────────────────────────

    def _compare(self, key: Key, before: set[Key], after: set[Key], costs: Costs | None) -> None:
        number, blueprint_id = key
        recorded = self.events[number]
        main = draft = None
        changed: list[str] = []
        outcome: Outcome
        if key not in before:
            outcome, draft = "gained", self._replayed("draft", key)
            changed = self._why("main", key)
        elif key not in after:
            outcome = "lost"
            changed = self._why("draft", key)
        elif self.plans.same(blueprint_id):
            outcome = "same"
        else:
            main, draft = self._replayed("main", key), self._replayed("draft", key)
            changed = differences(main, draft)
            outcome = "changed" if changed else "same"
        if costs is not None:
            if key in before:
                costs.add("main", blueprint_id, main)
            if key in after:
                costs.add("draft", blueprint_id, draft)
        self._note(key, main, draft, in_draft=key in after)
        row = None
        if self.tally.has_room(outcome):
            row = _row(outcome, recorded, blueprint_id, main, draft, changed)
        self.tally.add(outcome, blueprint_id, row)

    def _why(self, side: Literal["main", "draft"], key: Key) -> list[str]:
        """Say why one side starts nothing, in a row that is shown."""
        held = self.starts[side].suppressed.get(key)
        if held is not None:
            return [f"{side}: {held} keeps it from starting"]
        seen = self.question.before if side == "main" else self.question.after
        loaded = seen.blueprints.get(key[1])
        if loaded is None:
            return [f"{side}: there is no such blueprint"]
        if not self.tally.has_room("lost" if side == "draft" else "gained"):
            return []
        told = MatchIndex.build([loaded.document], seen.view).explain(self.events[key[0]].event)
        return [f"{side}: {_explained(each)}" for each in told if not each.matched]

    def _note(
        self, key: Key, main: Replayed | None, draft: Replayed | None, *, in_draft: bool
    ) -> None:
        number, blueprint_id = key
        for side, found in (("main", main), ("draft", draft)):
            for gate in () if found is None else found.gates:
                self.tally.gates[blueprint_id, gate][side] += 1
        for step, message in () if draft is None else _unresolved(draft):
            self.tally.unresolved[blueprint_id, step, message] += 1
        if draft is not None and draft.status == UNKNOWN:
            self.tally.unknown += 1
        if in_draft and self.policies:
            said = self._decision(self.events[number], blueprint_id)
            if said is not None:
                actor = self.events[number].event.actor
                self.tally.policies[blueprint_id, actor, *said] += 1

    def _decision(self, recorded: Recorded, blueprint_id: str) -> tuple[str, str] | None:
        """What the draft's policies say of starting it, where that is more than yes."""
        asked = (recorded.event.actor, blueprint_id)
        if asked not in self._decided:
            node = self.question.after.node
            request = Request(
                actor=Principal(recorded.event.actor, kind="service"),
                action="run.start",
                stage=cast("Stage", node.stage),  # a plan's node has it as text
                env_id=node.env_id,
                now=recorded.created_at,
                resource_type="blueprint",
                resource_id=blueprint_id,
            )
            said = evaluate(request, self.policies)
            self._decided[asked] = None if said.effect == "allow" else (said.effect, said.sentence)
        return self._decided[asked]

    def _replayed(self, side: Literal["main", "draft"], key: Key) -> Replayed:
        number, blueprint_id = key
        recorded = self.events[number]
        seen = self.question.before if side == "main" else self.question.after
        return self.answering.replayed(seen, side, recorded, blueprint_id)

    # ── the whole ────────────────────────────────────────────────────────────────────────────────

    def _written(self, costs: Costs) -> Report:
        history, tally = self.question.history, self.tally
        order = {outcome: place for place, outcome in enumerate(OUTCOMES)}
        rows = sorted(tally.rows, key=lambda row: order[row["outcome"]])
        shown = Counter(row["outcome"] for row in rows)
        return {
            "since": isoformat(history.since),
            "until": isoformat(history.until),
            "truncated": history.truncated,
            "records": dict(history.tips),
            "blueprint": self.question.blueprint,
            "events": len(history.events),
            "counts": {outcome: tally.counts[outcome] for outcome in OUTCOMES},
            "unknown": tally.unknown,
            "blueprints": {
                name: {outcome: counts[outcome] for outcome in OUTCOMES}
                for name, counts in sorted(tally.by_blueprint.items())
            },
            "rows": rows,
            "left_out": {outcome: tally.counts[outcome] - shown[outcome] for outcome in OUTCOMES},
            "unresolved": [
                {"blueprint_id": blueprint, "step": step, "message": message, "events": count}
                for (blueprint, step, message), count in sorted(tally.unresolved.items())
            ],
            "gates": {
                f"{blueprint}/{gate}": {"main": counts["main"], "draft": counts["draft"]}
                for (blueprint, gate), counts in sorted(tally.gates.items())
            },
            "policies": [
                {
                    "blueprint_id": blueprint,
                    "actor": actor,
                    "action": "run.start",
                    "effect": effect,
                    "sentence": sentence,
                    "events": count,
                }
                for (blueprint, actor, effect, sentence), count in sorted(tally.policies.items())
            ],
            "cost": costs.to_json(),
        }


class _Plans:
    """Whether a blueprint would do the same on both sides, whatever starts it."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._same: dict[str, bool] = {}

    def same(self, blueprint_id: str) -> bool:
        found = self._same.get(blueprint_id)
        if found is None:
            sides = (self._question.before, self._question.after)
            one, other = (_what(side.compile(blueprint_id, None).plan) for side in sides)
            found = self._same[blueprint_id] = one == other
        return found


def _what(plan: ExecutionPlan) -> bytes:
    """Everything of a plan but where it stands and what it is called."""
    return canonical({**plan.to_json(), "path": None, "blob_id": None, "blueprint_name": None})


def _row(
    outcome: Outcome,
    recorded: Recorded,
    blueprint_id: str,
    main: Replayed | None,
    draft: Replayed | None,
    changed: Sequence[str],
) -> dict[str, Any]:
    event = recorded.event
    started = recorded.runs.get(blueprint_id)
    row: dict[str, Any] = {
        "outcome": outcome,
        "blueprint_id": blueprint_id,
        "event": {
            "event_id": str(event.event_id),
            "event_name": event.event_name,
            "created_at": isoformat(recorded.created_at),
            "summary": _cut(json.dumps(event.data, ensure_ascii=False, sort_keys=True)),
        },
        "run_id": None if started is None else started["run_id"],
    }
    if outcome != "same":
        row |= {
            "differences": list(changed),
            "main": None if main is None else _brief(main),
            "draft": None if draft is None else _brief(draft),
        }
    return row


def _brief(found: Replayed) -> dict[str, Any]:
    brief: dict[str, Any] = {
        "status": found.status,
        "steps": [
            {
                name: value
                for name, value in dataclasses.asdict(step).items()
                if value not in (None, (), [])
            }
            | ({"after": list(step.after)} if step.after else {})
            for step in found.steps
        ],
        "gates": list(found.gates),
    }
    if found.error is not None:
        brief["error"] = found.error
    if found.outputs is not None:
        brief["outputs"] = found.outputs
    return brief


def _unresolved(found: Replayed) -> Iterator[tuple[str, str]]:
    """What has no value where it is asked for."""
    for step in found.steps:
        if step.error is not None and step.error.get("code") == "undefined_value":
            yield step.key, str(step.error.get("message"))
    if found.error is not None and found.error.get("code") == "invalid_inputs" and not found.steps:
        yield "", str(found.error.get("message"))
    if found.error is not None and found.error.get("step", "") is None:
        yield "", str(found.error.get("message"))


def _explained(told: Explanation) -> str:
    where = f"trigger {told.trigger_index + 1}: {told.condition}"
    if told.condition == "event_type" or str(told.condition).startswith("match"):
        values = (
            _cut(json.dumps(value, ensure_ascii=False, default=str))
            for value in (told.found, told.expected)
        )
        return "{} is {}, asked {}".format(where, *values)
    return f"{where}: {told.reason}"


def _cut(text: str) -> str:
    return text if len(text) <= _SUMMARY else text[: _SUMMARY - 1] + "…"


def in_words(report: Report) -> str:
    """Say in one line what came out."""
    counts, unknown = report["counts"], report["unknown"]
    told = ", ".join(f"{counts[each]} {each}" for each in ("same", "changed", "gained", "lost"))
    rest = f"; of {unknown} nobody knows the end" if unknown else ""
    return f"{report['events']} events: {told}{rest}"
