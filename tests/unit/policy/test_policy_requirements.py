"""What still has to be true: approvals, evidence and time windows."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xyn_reconciler.model.blueprint import Approvals
from xyn_reconciler.model.policy import DAYS, Day, TimeWindow
from xyn_reconciler.model.principal import Principal
from xyn_reconciler.policy.request import Request
from xyn_reconciler.policy.requirements import Needed, describe, unmet
from xyn_reconciler.policy.window import is_open, next_opening

WEDNESDAY = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
OPERATOR = frozenset({"Operator"})
ADA = Principal("ada", roles=OPERATOR)
GRACE = Principal("grace", roles=OPERATOR)
LINUS = Principal("linus", teams=frozenset({"noc"}))
BOT = Principal("bot", "agent", roles=OPERATOR)
DEPLOY = Principal("deploy", "service", roles=OPERATOR)


def request(**given_: Any) -> Request:  # noqa: ANN401 - fields of many types
    values = {
        "actor": ADA, "action": "blueprint.promote", "stage": "prod", "env_id": "local",
        "now": WEDNESDAY, **given_,
    }  # fmt: skip
    return Request(**values)


def window(to: str, **given_: object) -> TimeWindow:
    return TimeWindow.model_validate({"to": to, **given_})


def by(minimum: int, *names: str, allow_self: bool = False) -> Needed:
    return Needed(Approvals(min=minimum, from_any_of=list(names), allow_self=allow_self))


def test_each_person_counts_once() -> None:
    asked = by(2, "role:Operator", allow_self=True)

    once = unmet(asked, request(), [GRACE, GRACE])

    assert [str(each) for each in once] == ["1 more approval by role:Operator"]
    assert unmet(asked, request(), [GRACE, ADA]) == []


def test_ones_own_approval_does_not_count_where_the_policy_says_so() -> None:
    own = unmet(by(1, "role:Operator"), request(), [ADA])

    assert [str(each) for each in own] == ["1 more approval by role:Operator, and not by ada"]
    assert unmet(by(1, "role:Operator", allow_self=True), request(), [ADA]) == []


def test_of_a_draft_everybody_who_pushed_is_an_author_and_who_promotes_is_not() -> None:
    promoting = request(actor=GRACE, authors=frozenset({"ada"}))

    assert unmet(by(1, "role:Operator"), promoting, [GRACE]) == []
    assert unmet(by(1, "role:Operator"), promoting, [ADA]) != []


@pytest.mark.parametrize("approver", [BOT, DEPLOY, LINUS])
def test_neither_agents_nor_services_nor_people_who_are_not_asked_approve(
    approver: Principal,
) -> None:
    assert unmet(by(1, "role:Operator"), request(), [approver]) != []


def test_a_team_and_a_principal_may_be_asked() -> None:
    assert unmet(by(1, "team:noc"), request(), [LINUS]) == []
    assert unmet(by(1, "principal:linus", "role:OwnerAdmin"), request(), [LINUS]) == []


def test_tests_and_backtests_are_asked_for_until_they_are_there() -> None:
    asked = Needed(tests_required=True, backtest_required=True)

    assert [each.condition for each in unmet(asked, request())] == ["tests", "backtest"]
    both = request(artifacts=frozenset({"tests_passed", "backtest"}))
    assert unmet(asked, both) == []


def test_a_second_factor_is_never_there_and_the_reason_says_so() -> None:
    (found,) = unmet(Needed(mfa=True), request())

    assert found.condition == "mfa"
    assert "Xyn has none" in found.words


def test_a_closed_window_says_when_it_opens_on_its_own_clock() -> None:
    nights = window("06:00", days=["fri", "sat"], timezone="Europe/Berlin", **{"from": "22:00"})

    (found,) = unmet(Needed(windows=(nights,)), request())

    assert str(found) == (
        "allowed fri, sat 22:00-06:00 Europe/Berlin: it opens 2026-03-06 22:00 Europe/Berlin"
    )


def test_all_windows_have_to_be_open_at_once() -> None:
    mornings, wednesdays = window("12:30"), window("23:59", days=["wed"])
    thursdays = window("23:59", days=["thu"])

    assert unmet(Needed(windows=(mornings, wednesdays)), request()) == []
    (found,) = unmet(Needed(windows=(wednesdays, thursdays)), request())
    assert found.words.endswith("never meet")


@pytest.mark.parametrize(
    ("moment", "is_it"),
    [
        ("2026-03-02T21:59", False),  # Monday
        ("2026-03-02T22:00", True),
        ("2026-03-03T05:59", True),  # Tuesday: the night that began on Monday
        ("2026-03-03T06:00", False),
        ("2026-03-03T22:30", False),
        ("2026-03-02T03:00", False),  # the night before began on Sunday
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(
    moment: str, *, is_it: bool
) -> None:
    night = window("06:00", days=["mon"], **{"from": "22:00"})

    assert is_open(night, dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)) is is_it


def test_from_midnight_to_midnight_is_the_whole_day() -> None:
    sundays = window("00:00", days=["sun"])

    assert not is_open(sundays, dt.datetime(2026, 3, 7, 23, 59, tzinfo=dt.UTC))
    assert is_open(sundays, dt.datetime(2026, 3, 8, 0, 0, tzinfo=dt.UTC))
    assert is_open(sundays, dt.datetime(2026, 3, 8, 23, 59, tzinfo=dt.UTC))
    assert not is_open(sundays, dt.datetime(2026, 3, 9, 0, 0, tzinfo=dt.UTC))


def test_summer_time_neither_swallows_a_window_nor_makes_a_hole_in_one() -> None:
    leaped = window("02:50", timezone="Europe/Berlin", **{"from": "02:30"})
    early = window("02:30", timezone="Europe/Berlin", **{"from": "01:30"})
    spring = dt.datetime(2026, 3, 29, 0, 0, tzinfo=dt.UTC)  # 01:00 in Berlin; 02:00 is 03:00
    autumn = dt.datetime(2026, 10, 25, 0, 0, tzinfo=dt.UTC)  # 02:00 in Berlin, for the first time

    assert next_opening([leaped], spring) == dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
    minutes = [autumn + dt.timedelta(minutes=each) for each in range(89)]
    assert all(is_open(early, minute) for minute in minutes)
    assert not is_open(early, autumn + dt.timedelta(minutes=90))


CLOCK = st.times().map(lambda time: f"{time:%H:%M}")
WINDOWS = st.builds(
    lambda days, opens, to, zone: window(to, days=days, timezone=zone, **{"from": opens}),
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True),
    CLOCK,
    CLOCK,
    st.sampled_from(["UTC", "Asia/Tokyo", "America/Phoenix"]),  # no summer time
)
MOMENTS = st.integers(0, 300 * 24 * 60).map(
    lambda minutes: WEDNESDAY + dt.timedelta(minutes=minutes)
)


def naively_open(each: TimeWindow, moment: dt.datetime) -> bool:
    offset = {"UTC": 0, "Asia/Tokyo": 9, "America/Phoenix": -7}[each.timezone]
    local = moment + dt.timedelta(hours=offset)
    today: Day = DAYS[local.weekday()]
    yesterday: Day = DAYS[local.weekday() - 1]
    clock = local.strftime("%H:%M")
    if each.from_ < each.to:
        return today in each.days and each.from_ <= clock < each.to
    return (today in each.days and clock >= each.from_) or (
        yesterday in each.days and clock < each.to
    )


@given(WINDOWS, MOMENTS)
def test_a_window_is_open_when_a_wall_clock_says_so(each: TimeWindow, moment: dt.datetime) -> None:
    assert is_open(each, moment) == naively_open(each, moment)


@settings(deadline=None, max_examples=30)  # the naive way looks at every minute of a week
@given(st.lists(WINDOWS, min_size=1, max_size=2), MOMENTS)
def test_windows_open_at_the_first_minute_at_which_each_of_them_is_open(
    windows: list[TimeWindow], moment: dt.datetime
) -> None:
    found = next_opening(windows, moment)

    week = (moment + dt.timedelta(minutes=each) for each in range(8 * 24 * 60))
    naive = next((at for at in week if all(naively_open(w, at) for w in windows)), None)
    assert found == naive


def test_a_window_is_told_in_few_words() -> None:
    assert describe(window("06:00")) == "00:00-06:00 UTC"
    weekdays: list[Day] = ["mon", "tue", "wed", "thu", "fri"]
    assert (
        describe(window("17:00", days=weekdays, **{"from": "09:00"})) == "mon-fri 09:00-17:00 UTC"
    )
