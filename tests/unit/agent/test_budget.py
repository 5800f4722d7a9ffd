"""How many tokens a question may still use."""

import pytest

from xyn_reconciler.agent.budget import BusyError, most_output
from xyn_reconciler.model.errors import PermanentError

NONE_USED = {"step": (0, 0), "run": (0, 0), "day": (0, 0)}


@pytest.mark.parametrize(
    ("budgets", "used", "most"),
    [
        ({}, {}, 1000),
        ({"day": 5000}, {}, 1000),
        ({"day": 500}, {}, 400),
        ({"day": 5000}, {"day": (4500, 0)}, 400),
        ({"step": 5000, "run": 900, "day": 5000}, {"run": (300, 0), "day": (4000, 0)}, 500),
        ({"day": 116}, {}, 16),
    ],
)
def test_the_answer_is_clipped_to_what_the_tightest_budget_leaves(
    budgets: dict[str, int], used: dict[str, tuple[int, int]], most: int
) -> None:
    assert most_output(budgets, NONE_USED | used, tokens_in=100, wanted=1000) == most


@pytest.mark.parametrize("scope", ["step", "run", "day"])
@pytest.mark.parametrize("used", [885, 1000, 2000])
def test_nothing_is_asked_where_no_answer_fits_any_more(scope: str, used: int) -> None:
    with pytest.raises(PermanentError) as caught:
        most_output({scope: 1000}, NONE_USED | {scope: (used, 0)}, tokens_in=100, wanted=1000)

    assert caught.value.failure_code == "budget_exceeded"
    assert f"budget of this {scope} is 1,000" in caught.value.message


def test_a_step_that_wants_very_little_may_have_it() -> None:
    assert most_output({"day": 105}, NONE_USED, tokens_in=100, wanted=5) == 5


def test_a_budget_of_one_scope_asks_nothing_of_the_others() -> None:
    used = {"step": (10**9, 0), "run": (10**9, 0), "day": (0, 0)}

    assert most_output({"day": 1000}, used, tokens_in=100, wanted=50) == 50


@pytest.mark.parametrize("under_way", [1, 500, 5000])
def test_what_others_hold_is_waited_for_rather_than_to_cut_an_answer_short(under_way: int) -> None:
    used = NONE_USED | {"day": (0, under_way)}

    with pytest.raises(BusyError):
        most_output({"day": 1100}, used, tokens_in=100, wanted=1000)
    assert most_output({"day": 6100}, used, tokens_in=100, wanted=1000) == 1000


def test_what_is_used_up_is_not_waited_for() -> None:
    used = NONE_USED | {"day": (1000, 500)}

    with pytest.raises(PermanentError):
        most_output({"day": 1000}, used, tokens_in=100, wanted=1000)
