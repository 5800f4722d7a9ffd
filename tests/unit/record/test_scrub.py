import json
import uuid
from typing import Any

from xyn_reconciler.record.scrub import FORGOTTEN, Scrub

EVENT, OTHER, RUN, TOLD = (str(uuid.UUID(int=number)) for number in range(4))
WORD = "wilhelmina"

SCRUB = Scrub(
    event_id=uuid.UUID(EVENT),
    actor="ada@example.net",
    runs=frozenset({uuid.UUID(RUN)}),
    told=frozenset({uuid.UUID(TOLD)}),
    tombstone={"at": "2026-01-01T00:00:00Z", "by": "operator"},
)


def event(event_id: str = EVENT) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "actor": "ada@example.net",
        "data": {"host": WORD, "message": WORD, "code": "timeout"},
        "resource": {"type": "host", "id": WORD},
        "raw": WORD,
        "delivery_id": "d-1",
    }


def record() -> dict[str, Any]:
    told = event(TOLD) | {"data": {"message": WORD, "code": "timeout"}}
    return {
        "kind": "run",
        "run": {
            "run_id": RUN,
            "actor": "ada@example.net",
            "inputs": {"host": WORD},
            "outputs": {"host": WORD},
            "error": {"code": "timeout", "message": WORD, "step": "look", "why": WORD},
            "status": "failed",
        },
        "event": event(),
        "steps": [{"key": "look", "inputs": WORD, "outputs": [WORD], "error": {"message": WORD}}],
        "attempts": [{"number": 1, "outputs": WORD}],
        "gates": [{"effect": {"x": WORD}, "effect_digest": "d"}],
        "approvals": [{"principal": "eve", "comment": WORD, "form": {"x": WORD}}],
        "artifacts": [{"name": WORD, "sha256": "s", "byte_length": 3, "metadata": {"x": WORD}}],
        "events": [{k: v for k, v in told.items() if k not in ("resource", "raw")}],
    }


def test_no_content_is_left_in_a_runs_record() -> None:
    left = SCRUB.line(record())

    assert WORD not in json.dumps(left)
    assert "ada@example.net" not in json.dumps(left)


def test_what_happened_and_how_it_ended_is_left() -> None:
    left = SCRUB.line(record())

    assert left["run"]["status"] == "failed"
    assert left["run"]["error"] == {"code": "timeout", "step": "look", "message": FORGOTTEN}
    assert left["run"]["outputs"] == {}
    assert left["steps"][0]["key"] == "look"
    assert left["approvals"] == [{"principal": "eve"}]
    assert left["gates"][0]["effect_digest"] == "d"
    assert left["events"][0]["data"] == {"message": FORGOTTEN, "code": "timeout"}
    assert left["event"]["delivery_id"] == "d-1"


def test_the_events_own_line_becomes_a_tombstone_that_a_second_asking_does_not_change() -> None:
    started = {"run_id": RUN, "inputs": {"host": WORD}, "actor": "ada@example.net"}
    line = {"kind": "event", "event": event(), "runs": [started]}

    left = SCRUB.line(line)
    later = Scrub(SCRUB.event_id, "x", SCRUB.runs, SCRUB.told, {"at": "later", "by": "other"})

    assert WORD not in json.dumps(left)
    assert left["forgotten"] == {"at": "2026-01-01T00:00:00Z", "by": "operator"}
    assert left["runs"] == [{"run_id": RUN, "inputs": {}, "actor": FORGOTTEN}]
    assert later.line(left) == left


def test_lines_of_others_are_given_back_as_they_are() -> None:
    lines = [
        {"kind": "event", "event": event(OTHER), "runs": []},
        record() | {"run": {"run_id": OTHER}},
        {"kind": "artifact", "artifact": {"name": WORD}},
        {"kind": "plan", "plan": {"digest": "d"}},
    ]

    assert [SCRUB.line(line) for line in lines] == lines


def test_what_the_system_did_stays_the_systems() -> None:
    scrub = Scrub(SCRUB.event_id, "system", SCRUB.runs, SCRUB.told, SCRUB.tombstone)
    told = event(TOLD) | {"actor": "system"}

    assert scrub.event(told)["actor"] == "system"
