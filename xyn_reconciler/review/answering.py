"""Replay what recorded events start, with their recorded runs to answer; each case once.

Pure. :mod:`.backtest` asks for both sides. A run that nobody recorded, and whose
plan looks at its inputs alone, comes out as every other with the same inputs does.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.run import ExecutionPlan, digest
from xyn_reconciler.review.history import Recorded, RunRecord
from xyn_reconciler.review.recorded_answers import RecordedAnswers, Redact, Unrecorded
from xyn_reconciler.review.replay import Replayed, replay
from xyn_reconciler.review.side import Side
from xyn_reconciler.run.scope import RunView

_RUN_IDS: Final = uuid.UUID("0c3b0d1e-9df6-4f0c-8f57-3d2f1c7f5a10")
_TEMPLATE: Final = re.compile(r"\b(?:event|run)\b")


class Answering:
    """Replays runs; those that must come out alike, once."""

    def __init__(self, actions: Mapping[str, ActionSpec], redact: Redact) -> None:
        self.runs: Mapping[str, RunRecord] = {}
        """What was recorded of runs, by their ids."""
        self._actions = actions
        self._redact = redact
        self._known: dict[tuple[str, str, str], Replayed] = {}
        self._looks_outside: dict[str, bool] = {}

    def replayed(self, side: Side, name: str, recorded: Recorded, blueprint_id: str) -> Replayed:
        """Replay what an event starts on a side, which ``name`` tells from the other."""
        event = recorded.event
        compiled = side.compile(blueprint_id, event)
        if compiled.error is not None:
            return Replayed(status="failed", steps=(), gates=(), error=compiled.error)
        started = recorded.runs.get(blueprint_id)
        record = None if started is None else self.runs.get(started["run_id"])
        key = None
        if record is None and not self._sees_more_than_inputs(compiled.plan, compiled.digest):
            key = (name, compiled.digest, digest(compiled.inputs))
            if key in self._known:
                return self._known[key]
        run = RunView(
            run_id=uuid.uuid5(_RUN_IDS, f"{event.event_id} {blueprint_id}")
            if started is None
            else uuid.UUID(started["run_id"]),
            revision="0" * 40 if started is None else started["revision"],
            actor=event.actor if started is None else started["actor"],
            inputs=compiled.inputs,
            event=event.envelope(),
        )
        answers = (
            Unrecorded() if record is None else RecordedAnswers(record, self._actions, self._redact)
        )
        found = replay(compiled.plan, run, answers, self._actions, recorded.created_at)
        if key is not None:
            self._known[key] = found
        return found

    def _sees_more_than_inputs(self, plan: ExecutionPlan, plan_digest: str) -> bool:
        """Whether any expression looks at the event or the run itself."""
        found = self._looks_outside.get(plan_digest)
        if found is None:
            body = [plan.vars, plan.outputs]
            body += [_as_json(step) for step in (*plan.steps, *plan.on_failure)]
            found = any(_TEMPLATE.search(text) for text in _expressions(body))
            self._looks_outside[plan_digest] = found
        return found


def _as_json(step: Any) -> dict[str, Any]:  # noqa: ANN401 - a planned step
    """Give a planned step as JSON, its ``when`` in the braces that it does without."""
    written: dict[str, Any] = step.model_dump(mode="json")
    if step.when is not None:
        written["when"] = f"{{{{ {step.when} }}}}"
    return written


def _expressions(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    match value:
        case str() if "{{" in value or "{%" in value:
            yield value
        case dict():
            for inner in value.values():
                yield from _expressions(inner)
        case list():
            for inner in value:
                yield from _expressions(inner)
