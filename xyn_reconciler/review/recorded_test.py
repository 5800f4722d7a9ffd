"""Make a blueprint test of a recorded run: its event, what its steps gave, how it ended. Pure.

What a record has no secrets of, the test has none of. The trap: only what was
recorded can be expected; a run that a person cancelled, or that a worker lost, is no example
of what its blueprint does.
"""

from collections.abc import Mapping
from typing import Any, Final

import yaml

from xyn_reconciler.desired.references import EVENT_FIELDS
from xyn_reconciler.model.errors import InvalidError
from xyn_reconciler.review.history import RunRecord, event_of
from xyn_reconciler.review.recorded_answers import plan_of

_NO_EXAMPLE: Final = frozenset({"interrupted", "poison", "retry", "run"})
"""Reasons to wait that are no blueprint's doing."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write everything out: state files know no aliases."""
        del data
        return True


def path_of(record: RunRecord) -> str:
    """Give the path of a test, which no other run's has."""
    run = record.line["run"]
    return f"tests/{run['blueprint_id']}-{run['run_id']}.yaml"


def text_of(record: RunRecord) -> str:
    """Give the test as YAML; ``InvalidError`` where the run is no example."""
    document = document_of(record)
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"# yaml-language-server: $schema=../schemas/test.json\n{text}"


def document_of(record: RunRecord) -> dict[str, Any]:
    """Give the test as a document."""
    line = record.line
    run, event = line["run"], line.get("event")
    if run["status"] not in ("completed", "failed", "waiting") or (
        run["status"] == "waiting" and run.get("wait_reason") in _NO_EXAMPLE
    ):
        raise InvalidError(f"a run that is {_standing(run)} is no example of what it does")
    if run.get("origin_run_id") is not None:
        raise InvalidError("a re-run took steps over from another run: make the test of that one")
    document: dict[str, Any] = {
        "name": f"As in run {run['run_id']}",
        "blueprint": run["blueprint_id"],
    }
    if event is None:
        document["inputs"] = run.get("inputs") or {}
    else:
        envelope = event_of(event).envelope()
        document["event"] = {
            name: envelope[name]
            for name in EVENT_FIELDS
            if envelope.get(name) is not None and name != "env_id"
        }
    document |= _answers(record)
    return document | {"expect": _expected(line)}


def _answers(record: RunRecord) -> dict[str, Any]:
    """What its steps gave, transforms left out: a test carries those out itself."""
    plan = plan_of(record)
    kinds = {step.key: step for step in (*plan.steps, *plan.on_failure)}
    gives: dict[str, Any] = {}
    fails: dict[str, Any] = {}
    for row in record.line["steps"]:
        planned = kinds.get(row["key"])
        if planned is None or planned.kind == "transform":
            continue
        if row.get("outputs") is not None:
            gives[row["key"]] = row["outputs"]
        elif row["status"] == "completed":
            gives[row["key"]] = {}
        elif row["status"] == "failed" and row.get("error"):
            error = row["error"]
            fails[row["key"]] = {name: error[name] for name in ("code", "message") if name in error}
    return ({"steps": gives} if gives else {}) | ({"failures": fails} if fails else {})


def _expected(line: Mapping[str, Any]) -> dict[str, Any]:
    run = line["run"]
    expected: dict[str, Any] = {"status": run["status"]}
    if run.get("error"):
        expected["error"] = run["error"]["code"]
    if run.get("inputs"):
        expected["inputs"] = run["inputs"]
    steps = {row["key"]: row["status"] for row in line["steps"]}
    if steps:
        expected["steps"] = steps
    if run.get("outputs"):
        expected["outputs"] = run["outputs"]
    return expected


def _standing(run: Mapping[str, Any]) -> str:
    reason = run.get("wait_reason")
    return f"{run['status']} ({reason})" if reason else str(run["status"])
