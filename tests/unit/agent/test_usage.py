"""Tokens are counted the same for every provider."""

from xyn_reconciler.agent.usage import Usage, anthropic_usage, chat_usage, responses_usage


def test_both_providers_cached_tokens_are_counted_once() -> None:
    # 100 tokens of which 60 came from the cache and 10 were written to it, as each tells it.
    openai = responses_usage(
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 4},
        }
    )
    anthropic = anthropic_usage(
        {
            "input_tokens": 30,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 10,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 4},
        }
    )

    assert openai == anthropic
    assert openai == Usage(tokens_in=100, tokens_out=9, cached=60, cache_written=10, reasoning=4)


def test_a_server_that_tells_nothing_counts_as_nothing() -> None:
    assert responses_usage({"input_tokens_details": None, "output_tokens": None}) == Usage()
    assert anthropic_usage({}) == Usage()
    assert (
        responses_usage({"input_tokens": "9", "output_tokens": True, "total_tokens": -5}) == Usage()
    )


def test_footprints_are_told_apart_by_provider_and_model() -> None:
    found = list(Usage(tokens_in=5, tokens_out=2, cached=3).footprints("openai", "gpt-5"))

    assert [(one.metric, one.quantity, one.unit) for one in found] == [
        ("tokens_in", 5, "token"),
        ("tokens_out", 2, "token"),
    ]
    which = {"provider": "openai", "model": "gpt-5"}
    assert found[0].dims == {**which, "cached": 3, "cache_written": 0}
    assert found[1].dims == {**which, "reasoning": 0}


def test_no_part_is_more_than_the_whole_and_no_number_beyond_reason_is_kept() -> None:
    parts = {"prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 5}}
    thought = {"completion_tokens_details": {"reasoning_tokens": 99}}
    found = chat_usage({"prompt_tokens": 10, "completion_tokens": 10**30, **parts, **thought})

    assert (found.cached, found.cache_written, found.reasoning) == (7, 3, 99)
    assert found.tokens < 2**63


def test_thinking_that_a_server_has_in_its_total_alone_is_counted() -> None:
    said = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 215}

    assert chat_usage(said).tokens_out == 205
