import datetime as dt
import json
import uuid

from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.record.render import (
    Batch,
    held,
    month_of,
    month_ref,
    node_of,
    parse_ranges,
    ranges,
    render,
)

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)
DATABASE = uuid.UUID(int=7)
RUN = uuid.UUID(int=1)


def batch(ids: list[int], **lines: list[str]) -> Batch:
    given: dict[str, list[str]] = {"events": [], "artifacts": [], "plans": []} | lines
    return render(
        runs=[(RUN, '{"kind":"run"}')],
        outbox_ids=ids,
        database_id=DATABASE,
        now=NOW,
        events=given["events"],
        artifacts=given["artifacts"],
        plans=given["plans"],
    )


def test_a_batch_is_the_same_whenever_it_is_rendered() -> None:
    assert batch([4, 5, 6]) == batch([4, 5, 6])


def test_plans_come_before_the_runs_that_need_them_and_events_apart() -> None:
    made = batch([4], plans=['{"kind":"plan"}'], events=['{"kind":"event"}'])

    assert made.files == {
        "02/03/04/05/000000000000-4.jsonl": b'{"kind":"plan"}\n{"kind":"run"}\n',
        "02/03/04/05/000000000000-4.events.jsonl": b'{"kind":"event"}\n',
    }


def test_the_message_says_what_is_in_it_to_people_and_to_programs() -> None:
    made = batch([4, 5, 9], events=["{}", "{}"])

    assert made.message == (
        "Record 1 run, 2 events\n\n"
        f"Run-Id: {RUN}\n"
        "Segment: 02/03/04/05/000000000000-4.jsonl\n"
        "Segment: 02/03/04/05/000000000000-4.events.jsonl\n"
        f"Outbox: {DATABASE} 4-5,9\n"
    )


def test_a_line_break_between_the_tokens_of_json_makes_no_second_line() -> None:
    made = batch([1], events=['{"a":\n1,\r\n"b": 2}'])

    (line,) = made.files["02/03/04/05/000000000000-1.events.jsonl"].splitlines()
    assert json.loads(line) == {"a": 1, "b": 2}


@given(st.lists(st.integers(1, 300), unique=True, min_size=1).map(sorted))
def test_ranges_are_read_as_they_were_written(ids: list[int]) -> None:
    assert [number for each in parse_ranges(ranges(ids)) for number in each] == ids


def test_only_ids_of_this_database_count() -> None:
    values = (f"{DATABASE} 1-3", f"{uuid.UUID(int=8)} 4-6")

    assert held(values, DATABASE) == [range(1, 4)]


def test_a_month_that_has_begun_is_not_gone_back_from() -> None:
    later = "refs/xyn/runs/seed/2026-03"

    assert month_ref("seed", NOW, []) == "refs/xyn/runs/seed/2026-01"
    assert month_ref("seed", NOW, [later, "refs/xyn/runs/seed/2025-12"]) == later


def test_a_ref_tells_its_node_and_month() -> None:
    ref = month_ref("seed", NOW, [])

    assert (node_of(ref), month_of(ref)) == ("seed", "2026-01")
