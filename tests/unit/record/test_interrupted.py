import datetime as dt
from typing import Any

from xyn_reconciler.record.rebuild import interrupted

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def record(*statuses: str, attempts: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "run": {"run_id": "r", "status": "running", "available_at": "soon"},
        "steps": [{"key": str(n), "status": status} for n, status in enumerate(statuses)],
        "attempts": [{"number": n, "status": status} for n, status in enumerate(attempts)],
    }


def statuses(record: dict[str, Any]) -> list[str]:
    return [step["status"] for step in record["steps"]]


def test_steps_that_were_under_way_are_interrupted_and_finished_ones_stay() -> None:
    left = interrupted(
        record("completed", "running", "created", attempts=("completed", "running")), NOW
    )

    assert statuses(left) == ["completed", "interrupted", "created"]
    assert [attempt["status"] for attempt in left["attempts"]] == ["completed", "interrupted"]
    assert left["attempts"][1]["completed_at"] == "2026-01-02T00:00:00.000000Z"


def test_where_no_step_was_under_way_it_is_the_first_that_may_have_been() -> None:
    assert statuses(interrupted(record("completed", "created", "created"), NOW)) == [
        "completed",
        "interrupted",
        "created",
    ]


def test_the_run_waits_for_people_and_for_no_moment() -> None:
    run = interrupted(record("created"), NOW)["run"]

    assert run == {
        "run_id": "r",
        "status": "waiting",
        "wait_reason": "interrupted",
        "waiting_since": "2026-01-02T00:00:00.000000Z",
    }


def test_the_record_itself_is_not_changed() -> None:
    given = record("running")

    interrupted(given, NOW)

    assert given == record("running")
