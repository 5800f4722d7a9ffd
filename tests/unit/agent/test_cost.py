"""What a request cost, by the table of prices."""

import datetime as dt
from typing import Any

from xyn_reconciler.agent.cost import cost
from xyn_reconciler.agent.usage import Usage, anthropic_usage, chat_usage, responses_usage

DAY = dt.date(2026, 7, 1)
PRICES: dict[str, Any] = {
    "currency": "USD",
    "prices": [
        {"provider": "openai", "model": "m", "input": 10, "cached": 1, "output": 40},
        {"provider": "openai", "model": "m", "since": "2026-06-01", "input": 8, "output": 30},
        {"provider": "openai", "model": "m", "since": "2026-08-01", "input": 1, "output": 1},
        {"provider": "openai", "model": "*", "since": "2026-06-30", "input": 99, "output": 99},
        {"provider": "local", "model": "*", "input": 0, "output": 0},
    ],
}
MILLION = Usage(tokens_in=1_000_000, tokens_out=1_000_000)


def quantity(model: str, usage: Usage, day: dt.date = DAY, provider: str = "openai") -> float:
    found = cost(PRICES, provider, model, usage, day)
    assert found is not None
    assert (found.metric, found.unit) == ("cost", "USD")
    return found.quantity


def test_the_latest_price_of_the_model_itself_that_holds_counts() -> None:
    assert quantity("m", MILLION) == 38
    assert quantity("m", MILLION, dt.date(2026, 5, 31)) == 50
    assert quantity("m", MILLION, dt.date(2026, 8, 1)) == 2
    assert quantity("other", MILLION) == 198
    assert quantity("any", MILLION, provider="local") == 0


def test_what_has_no_price_costs_nothing_that_is_known() -> None:
    assert cost(PRICES, "anthropic", "m", MILLION, DAY) is None
    assert cost(PRICES, "openai", "other", MILLION, dt.date(2026, 1, 1)) is None


def test_cached_tokens_of_every_api_cost_their_own_price_once() -> None:
    prices = {
        "currency": "EUR",
        "prices": [
            {"provider": "p", "model": "*", "input": 1_000_000, "cached": 1_000, "output": 0}
            | {"cache_written": 2_000_000}
        ],
    }
    told = [
        responses_usage(
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            }
        ),
        chat_usage(
            {
                "prompt_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            }
        ),
        anthropic_usage(
            {
                "input_tokens": 30,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 10,
            }
        ),
    ]

    found = [cost(prices, "p", "m", usage, DAY) for usage in told]

    assert [each.quantity for each in found if each] == [30 + 0.06 + 20] * 3


def test_a_cost_is_exact_in_the_decimals_that_prices_are_written_in() -> None:
    entry = {"provider": "p", "model": "*", "input": 0.1, "cached": 0.0375, "output": 0.7}
    prices = {"currency": "USD", "prices": [entry]}

    found = cost(prices, "p", "m", Usage(tokens_in=4, cached=1, tokens_out=3), DAY)

    assert found is not None
    assert found.quantity == 0.0000024375
