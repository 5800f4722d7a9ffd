"""Tests of blueprints (``tests/*.yaml``): an event in, what has to come of it compared.

Pure: a desired state in, findings out, so that ``xynctl test`` works on a folder, a push
and a review on a commit. Nothing is carried out (:mod:`.replay`): a step that would act
has its outputs under ``steps``, or its error under ``failures``; a gate without either
waits. The trap: a step that is reached and has neither is a fault of the test, never a
step that went well.
"""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.desired.loaded import Loaded
from xyn_reconciler.desired.source import parse
from xyn_reconciler.desired.state import DesiredState
from xyn_reconciler.desired.values import equal
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import Problem
from xyn_reconciler.model.event import Event
from xyn_reconciler.model.run import PlannedStep
from xyn_reconciler.review.replay import (
    Answer,
    Done,
    Failed,
    Replayed,
    StepEnd,
    Unanswered,
    Waiting,
    replay,
)
from xyn_reconciler.review.side import Side
from xyn_reconciler.run.scope import RunView
from xyn_reconciler.trigger.match import Explanation, MatchIndex

FAILED: Final = "test_failed"
"""The code of what is found; a file that cannot be read has the codes of its problems."""

NOT_STARTED: Final = "not_started"

MOMENT: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""When the event of a test happened that does not say it: the same at each run."""

_IDS: Final = uuid.UUID("5a4f5d0b-0d55-4c0f-9a57-7e0b0a7d3c44")
_SHOWN: Final = 200

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What became of one file."""

    __test__ = False  # its name looks like a test to pytest

    path: str
    name: str
    blueprint_id: str | None
    failures: tuple[Problem, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """As reviews and the API show it."""
        return {
            "path": self.path,
            "name": self.name,
            "blueprint_id": self.blueprint_id,
            "passed": self.passed,
            "failures": [
                {
                    "path": each.path,
                    "line": each.line,
                    "column": each.column,
                    "code": each.code,
                    "message": each.message,
                }
                for each in self.failures
            ],
        }


def run_tests(
    state: DesiredState,
    actions: Mapping[str, ActionSpec],
    read: Callable[[Loaded], bytes],
    *,
    node_id: str | None = None,
    only: Collection[str] | None = None,
) -> list[TestResult]:
    """Run every test of a state, or those of these paths, by path.

    ``read`` gives the bytes of a file, and is asked only where something failed: for lines.
    """
    side = Side.of(state, node_id)
    return [
        _tested(loaded, side, actions, read)
        for path, loaded in sorted(state.files.items())
        if loaded.kind == "test" and (only is None or path in only)
    ]


def _tested(
    loaded: Loaded,
    side: Side,
    actions: Mapping[str, ActionSpec],
    read: Callable[[Loaded], bytes],
) -> TestResult:
    if loaded.document is None:
        return TestResult(
            path=loaded.path, name=loaded.path, blueprint_id=None, failures=loaded.problems
        )
    found = list(_Test(loaded, side, actions).failures())
    return TestResult(
        path=loaded.path,
        name=loaded.document.get("name") or loaded.path,
        blueprint_id=loaded.document["blueprint"],
        failures=_located(loaded, found, read) if found else (),
    )


def _located(
    loaded: Loaded, found: list[tuple[Place, str]], read: Callable[[Loaded], bytes]
) -> tuple[Problem, ...]:
    source, _ = parse(loaded.path, read(loaded))
    assert source is not None, "it was read before"  # noqa: S101 - for the type checker
    return tuple(sorted(source.problem(place, FAILED, message) for place, message in found))


class _Test:
    def __init__(self, loaded: Loaded, side: Side, actions: Mapping[str, ActionSpec]) -> None:
        self.path = loaded.path
        self.document: Mapping[str, Any] = loaded.document
        self.expect: Mapping[str, Any] = loaded.document["expect"]
        self.outputs: Mapping[str, Any] = loaded.document.get("steps") or {}
        self.fails: Mapping[str, Any] = loaded.document.get("failures") or {}
        self.side = side
        self.actions = actions

    def failures(self) -> Iterator[tuple[Place, str]]:
        """Give where and how what was found is not what is expected."""
        if not _asks(self.expect):
            yield ("expect",), "it asks nothing, so it would pass whatever happens: say a status"
            return
        blueprint_id = self.document["blueprint"]
        if blueprint_id not in self.side.blueprints:
            files = self.side.state.files.values()
            bad = [each.path for each in files if each.kind == "blueprint" and each.problems]
            hint = f", and {', '.join(bad)} cannot be read: xynctl validate" if bad else ""
            yield ("blueprint",), f"there is no blueprint {blueprint_id}{hint}"
            return
        event = self._event()
        why_not = None if event is None else self._why_not_started(event, blueprint_id)
        expects_none = self.expect.get("status") == NOT_STARTED
        if why_not is not None and not expects_none:
            yield ("event",), f"it does not start {blueprint_id}: {why_not}"
        if why_not is None and expects_none:
            yield ("expect", "status"), f"expected not_started, but the event starts {blueprint_id}"
        if why_not is None and not expects_none:
            yield from self._of_run(blueprint_id, event)

    def _event(self) -> Event | None:
        written = self.document.get("event")
        if written is None:
            return None
        given = {key: value for key, value in written.items() if value is not None}
        moment = given.get("occurred_at")
        return Event(
            event_id=_as_id(given.get("event_id"), f"{self.path} event"),
            event_name=str(given.get("event_name", "")),
            occurred_at=MOMENT if moment is None else _moment(moment),
            env_id=str(given.get("env_id", self.side.node.env_id)),
            actor=str(given.get("actor", "tests")),
            correlation_id=str(given.get("correlation_id", "tests")),
            resource=given.get("resource"),
            data=given.get("data") or {},
        )

    def _why_not_started(self, event: Event, blueprint_id: str) -> str | None:
        """Say why no trigger fits; on which nodes they are live is no matter of a test."""
        loaded = self.side.blueprints[blueprint_id]
        told = MatchIndex.build([loaded.document], self.side.view).explain(event)
        if any(each.matched or each.condition == "nodes" for each in told):
            return None
        for trigger in loaded.document.get("triggers") or ():
            # A schedule's own event comes from the clock: by its name it is taken for that.
            if trigger.get("schedule") is not None and event.event_name == trigger.get(
                "event_type", "xyn.schedule.fired"
            ):
                return None
        return "; ".join(map(_words, told)) or "it has no triggers"

    def _of_run(self, blueprint_id: str, event: Event | None) -> Iterator[tuple[Place, str]]:
        given = self.document.get("inputs")
        compiled = self.side.compile(blueprint_id, event, given)
        yield from self._compare_each(("expect", "inputs"), "input", compiled.inputs)
        if compiled.error is not None:
            yield from self._compare_end("failed", compiled.error)
            return
        stubs = _Stubs(self.outputs, self.fails)
        run = RunView(
            run_id=uuid.uuid5(_IDS, self.path),
            revision="0" * 40,
            actor="tests" if event is None else event.actor,
            inputs=compiled.inputs,
            event=None if event is None else event.envelope(),
        )
        found = replay(compiled.plan, run, stubs, self.actions, MOMENT)
        for place, named in (("steps", self.outputs), ("failures", self.fails)):
            for name in named:
                if found.step(name) is None:
                    yield (place, name), f"{blueprint_id} has no step {name}"
        missing = [each for each in found.steps if each.why is not None and not each.after]
        for each in missing:
            told = f"step {each.key} is reached, and no test carries it out: say under steps what"
            yield ("steps",), f"{told} it gives, or under failures how it fails"
        if missing:
            return
        yield from self._compare_end(found.status, found.error)
        yield from self._compare_steps(found)
        yield from self._compare_each(("expect", "outputs"), "output", found.outputs or {})

    # ── comparing ────────────────────────────────────────────────────────────────────────────────

    def _compare_end(
        self, status: str, error: Mapping[str, Any] | None
    ) -> Iterator[tuple[Place, str]]:
        told = "" if error is None else f" ({error.get('code')}: {error.get('message')})"
        if self.expect.get("status") not in (None, status):
            yield (
                ("expect", "status"),
                f"expected the run {self.expect['status']}, found it {status}{told}",
            )
        wanted = self.expect.get("error")
        if wanted is not None and (error is None or error.get("code") != wanted):
            found = "none" if error is None else f"{error.get('code')}: {error.get('message')}"
            yield ("expect", "error"), f"expected the error {wanted}, found {found}"

    def _compare_steps(self, found: Replayed) -> Iterator[tuple[Place, str]]:
        for key, wanted in (self.expect.get("steps") or {}).items():
            place: Place = ("expect", "steps", key)
            step = found.step(key)
            if step is None:
                yield place, f"there is no step {key}"
                continue
            asked = wanted if isinstance(wanted, dict) else {"status": wanted}
            at = (*place, "status") if isinstance(wanted, dict) else place
            if asked.get("status") not in (None, step.status):
                yield at, f"step {key}: expected {asked['status']}, found {_end_of(step)}"
            for part, has in (("inputs", step.inputs), ("outputs", step.outputs)):
                for name, value in (asked.get(part) or {}).items():
                    yield from _compare(
                        (*place, part, name), f"{part[:-1]} {name} of step {key}", value, has, name
                    )
            for name in asked.keys() - {"status", "inputs", "outputs"}:
                yield (*place, name), "of a step a test asks status, inputs and outputs"

    def _compare_each(
        self, place: Place, noun: str, has: Mapping[str, Any]
    ) -> Iterator[tuple[Place, str]]:
        for name, value in (self.expect.get(str(place[-1])) or {}).items():
            yield from _compare((*place, name), f"{noun} {name}", value, has, name)


class _Stubs:
    """What a test says of its steps."""

    def __init__(self, outputs: Mapping[str, Any], failures: Mapping[str, Any]) -> None:
        self._outputs = outputs
        self._failures = failures

    def of_step(self, planned: PlannedStep, index: int | None, inputs: Mapping[str, Any]) -> Answer:
        del inputs
        key = planned.key
        if key in self._failures:
            return Failed(_error(self._failures[key]))
        if key not in self._outputs:
            return Unanswered("the test does not say what it gives")
        outputs = self._outputs[key]
        if index is None:
            return Done(outputs)
        if not isinstance(outputs, list) or index >= len(outputs):
            return Unanswered(f"the test does not say what item {index} gives")
        return _of_item(outputs[index])

    def of_gate(self, planned: PlannedStep, shown: Mapping[str, Any]) -> Answer:
        del shown
        if planned.key in self._failures:
            return Failed(_error(self._failures[planned.key]))
        said = self._outputs.get(planned.key)
        if said is None:
            return Waiting()
        decision = said if isinstance(said, dict) else {"decision": said}
        return Done({"approvers": [], "comment": None, "form": None, **decision})


def _asks(expect: Mapping[str, Any]) -> bool:
    """Whether anything that a run could do would fail a test."""
    steps = (expect.get("steps") or {}).values()
    ends = [*(each if isinstance(each, dict) else {"status": each} for each in steps), expect]
    return any(end.get(key) for end in ends for key in ("status", "error", "inputs", "outputs"))


def _of_item(item: Any) -> Answer:  # noqa: ANN401 - any JSON value
    """Read an item as a ``foreach`` step gives it (``{status, …}``), or its outputs alone."""
    if isinstance(item, dict) and item.get("status") == "failed":
        return Failed(_error(item.get("error")))
    if isinstance(item, dict) and item.keys() <= {"status", "outputs", "error"} and item:
        return Done(item.get("outputs"))
    return Done(item)


def _error(written: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if isinstance(written, dict):
        return {"code": "failed", "message": "it fails in this test", **written}
    return {"code": str(written), "message": "it fails in this test"}


def _compare(
    place: Place,
    what: str,
    wanted: Any,  # noqa: ANN401 - any JSON value
    has: Any,  # noqa: ANN401 - any JSON value
    name: str,
) -> Iterator[tuple[Place, str]]:
    if not isinstance(has, dict) or name not in has:
        yield place, f"{what}: expected {_short(wanted)}, found none"
    elif not equal(wanted, has[name]):
        yield place, f"{what}: expected {_short(wanted)}, found {_short(has[name])}"


def _end_of(step: StepEnd) -> str:
    if step.error is None:
        return step.status
    return f"{step.status} ({step.error.get('code')}: {step.error.get('message')})"


def _words(told: Explanation) -> str:
    """Say why a trigger does not fit."""
    where = f"trigger {told.trigger_index + 1}"
    if told.condition == "event_type" or str(told.condition).startswith("match"):
        return f"{where}: {told.condition} is {_short(told.found)}, asked {_short(told.expected)}"
    return f"{where}: {told.condition}: {told.reason}"


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _as_id(written: Any, seed: str) -> uuid.UUID:  # noqa: ANN401 - any JSON value
    try:
        return uuid.UUID(str(written))
    except ValueError:
        return uuid.uuid5(_IDS, seed)


def _moment(written: Any) -> dt.datetime:  # noqa: ANN401 - any JSON value
    try:
        moment = dt.datetime.fromisoformat(str(written))
    except ValueError:
        return MOMENT
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
