import datetime as dt
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xyn_reconciler.model.document import CRON_WORDS
from xyn_reconciler.trigger.cron import LATE, MOST_MISSED, due, next_slots

BERLIN = "Europe/Berlin"


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def slots(cron: str, after: str, count: int = 3, zone: str = "UTC") -> list[str]:
    return [f"{slot:%Y-%m-%d %H:%M}" for slot in next_slots(cron, zone, at(after), count)]


def test_both_day_fields_are_ored_as_debian_does() -> None:
    # 2026-11-13 is a Friday, the 1st a Sunday.
    assert slots("0 0 1 * 5", "2026-10-31T12:00") == [
        "2026-11-01 00:00",
        "2026-11-06 00:00",
        "2026-11-13 00:00",
    ]


def test_a_day_field_that_begins_with_a_star_is_anded() -> None:
    assert slots("0 0 */2 * 5", "2026-10-31T12:00") == [
        "2026-11-13 00:00",
        "2026-11-27 00:00",
        "2026-12-11 00:00",
    ]


@pytest.mark.parametrize("day", ["0", "7", "sun", "SUN"])
def test_sunday_is_0_and_7(day: str) -> None:
    assert slots(f"0 2 * * {day}", "2026-11-22T03:00", 2) == [
        "2026-11-29 02:00",
        "2026-12-06 02:00",
    ]


@pytest.mark.parametrize(("word", "cron"), CRON_WORDS.items())
def test_words_mean_what_crontab_5_says(word: str, cron: str) -> None:
    assert slots(word, "2026-11-22T03:00", 5) == slots(cron, "2026-11-22T03:00", 5)


def test_a_slot_is_after_the_moment_and_never_it() -> None:
    assert slots("0 2 * * *", "2026-11-22T02:00", 1) == ["2026-11-23 02:00"]
    assert slots("0 2 * * *", "2026-11-22T01:59:59", 1) == ["2026-11-22 02:00"]


def test_a_time_that_the_clock_leaps_over_fires_after_the_leap_once() -> None:
    # 2026-03-29: 02:00 becomes 03:00 in Berlin, at 01:00 UTC.
    assert slots("30 2 * * *", "2026-03-28T12:00", 2, BERLIN) == [
        "2026-03-29 01:00",
        "2026-03-30 00:30",
    ]


def test_a_time_that_comes_twice_fires_the_first_time() -> None:
    # 2026-10-25: 03:00 becomes 02:00 in Berlin, at 01:00 UTC.
    first, second = slots("30 2 * * *", "2026-10-24T12:00", 2, BERLIN)
    assert (first, second) == ("2026-10-25 00:30", "2026-10-26 01:30")
    assert slots("30 2 * * *", "2026-10-25T00:30", 1, BERLIN) == [second]
    assert slots("30 2 * * *", "2026-10-25T01:10", 1, BERLIN) == [second]


def test_two_wall_clock_times_of_one_moment_are_one_slot() -> None:
    assert slots("0,30 2-3 * * *", "2026-03-28T12:00", 3, BERLIN) == [
        "2026-03-29 01:00",
        "2026-03-29 01:30",
        "2026-03-30 00:00",
    ]


def test_stars_go_by_elapsed_time() -> None:
    assert slots("*/30 * * * *", "2026-10-25T00:00", 4, BERLIN) == [
        "2026-10-25 00:30",
        "2026-10-25 01:00",
        "2026-10-25 01:30",
        "2026-10-25 02:00",
    ]


def test_a_29th_of_february_waits_for_its_year() -> None:
    assert slots("0 0 29 2 *", "2026-01-01T00:00", 2) == ["2028-02-29 00:00", "2032-02-29 00:00"]


crons = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "30 2 * * *",
        "0 3 * * 0",
        "15,45 1-3 * * *",
        "0 0 1 * 5",
        "@hourly",
    ]
)
zones = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
moments = st.integers(
    int(at("2026-01-01T00:00").timestamp()), int(at("2027-12-31T00:00").timestamp())
).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC))


@settings(deadline=None)
@given(crons, zones, moments)
def test_slots_rise_and_do_not_depend_on_where_one_begins_to_look(
    cron: str, zone: str, after: dt.datetime
) -> None:
    found = next_slots(cron, zone, after, 6)

    assert all(a < b for a, b in zip([after, *found], found, strict=False))
    for n, slot in enumerate(found[:-1]):
        assert next_slots(cron, zone, slot, 1) == [found[n + 1]]


def fired(
    missed: Literal["skip", "last", "all"], cron: str, after: str, now: str
) -> tuple[list[str], int]:
    found = due(cron, "UTC", missed, at(after), at(now))
    return [f"{slot:%d %H:%M}" for slot in found.slots], found.passed_over


def test_a_slot_that_is_found_in_time_fires_whatever_missed_says() -> None:
    for missed in ("skip", "last", "all"):
        assert fired(missed, "0 2 * * *", "2026-11-22T01:59", "2026-11-22T02:00:01") == (
            ["22 02:00"],
            0,
        )


def test_over_a_stop_missed_says_which_slots_fire() -> None:
    stop = ("0 2 * * *", "2026-11-19T12:00", "2026-11-22T12:00")

    assert fired("skip", *stop) == ([], 1)
    assert fired("last", *stop) == (["22 02:00"], 0)
    assert fired("all", *stop) == (["20 02:00", "21 02:00", "22 02:00"], 0)


def test_a_slot_that_is_due_now_stands_for_those_that_were_missed() -> None:
    stop = ("0 * * * *", "2026-11-22T05:30", "2026-11-22T09:00:02")

    assert fired("last", *stop) == (["22 09:00"], 1)
    assert fired("skip", *stop) == (["22 09:00"], 1)


def test_nothing_is_due_twice_or_before_its_time() -> None:
    assert fired("all", "0 2 * * *", "2026-11-22T02:00:01", "2026-11-23T01:59:59") == ([], 0)
    assert fired("all", "0 2 * * *", "2026-11-22T02:00:01", "2026-11-22T01:00") == ([], 0)


def test_all_is_bounded_by_its_newest_and_says_so() -> None:
    found = due("* * * * *", "UTC", "all", at("2025-11-22T00:00"), at("2026-11-22T00:00"))

    assert len(found.slots) == MOST_MISSED + 1  # and the one that is due now
    assert found.slots[-1] == at("2026-11-22T00:00")
    assert found.passed_over > 0


@settings(deadline=None)
@given(
    crons, zones, moments, st.timedeltas(min_value=dt.timedelta(), max_value=dt.timedelta(hours=6))
)
def test_all_fires_every_slot_between_two_looks_once(
    cron: str, zone: str, after: dt.datetime, stop: dt.timedelta
) -> None:
    now = after + stop
    every: list[dt.datetime] = []
    while (found := next_slots(cron, zone, every[-1] if every else after, 1)) and found[0] <= now:
        every += found

    last = due(cron, zone, "last", after, now)

    assert due(cron, zone, "all", after, now).slots == every
    assert last.slots == [s for s in every if s > now - LATE] or last.slots == every[-1:]
