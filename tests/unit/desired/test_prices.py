"""The table of prices, and providers that a node may ask."""

import pytest

from xyn_reconciler.desired.load import load

PRICE = "provider: openai, model: gpt-5, input: 1.25, output: 10"


def test_the_table_is_one_document_at_the_top() -> None:
    loaded = load("prices.yaml", "b", f"currency: USD\nprices: [{{{PRICE}}}]\n".encode())

    assert (loaded.problems, loaded.kind, loaded.document_id) == ((), "prices", "prices")
    assert loaded.document["prices"][0]["output"] == 10


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("prices: []", ["1:1: missing_key"]),
        ("currency: usd", ["1:11: bad_value"]),
        (f"currency: USD\nprices: [{{{PRICE}}}, {{{PRICE}}}]", ["2:69: duplicate_id"]),
        (f"currency: USD\nprices:\n  - {{{PRICE}, since: 2026-02-30}}", ["3:70: bad_value"]),
        (f"currency: USD\nprices:\n  - {{{PRICE}, cached: -1}}", ["3:71: bad_value"]),
        ("currency: USD\nprices:\n  - {provider: a, model: m, input: 1}", ["3:5: missing_key"]),
    ],
)
def test_a_wrong_price_is_told_at_its_line(text: str, found: list[str]) -> None:
    problems = load("prices.yaml", "b", text.encode()).problems

    assert [f"{each.line}:{each.column}: {each.code}" for each in problems] == found


def test_a_model_may_cost_something_else_later() -> None:
    text = f"currency: USD\nprices: [{{{PRICE}}}, {{{PRICE}, since: 2026-06-01}}]\n"

    assert load("prices.yaml", "b", text.encode()).problems == ()


def test_a_provider_of_another_name_says_whose_api_it_speaks_and_where() -> None:
    text = b"id: seed\nproviders: {ollama: {enabled: true}, openai: {enabled: true}}\n"

    (problem,) = load("node.yaml", "b", text).problems

    assert (problem.line, problem.code) == (2, "missing_key")
    assert "base_url and kind" in problem.message


@pytest.mark.parametrize(
    "address",
    [
        "http://me:s3cret-word@models.example/v1",
        "http://me@models.example/v1",
        "http://models.example/v1?key=s3cret-word",
        "http://models.example/v1#top",
        "http://models.example:99999/v1",
        "http://models.example:0/v1",
        "http://[::1/v1",
        "http://models.example\\\\@elsewhere.example/v1",
        "http://bücher.example/v1",
        "ftp://models.example/v1",
        "http:///v1",
    ],
)
def test_an_address_that_two_could_read_differently_or_that_holds_a_secret_is_refused(
    address: str,
) -> None:
    text = f'id: n\nproviders: {{own: {{kind: openai, base_url: "{address}"}}}}\n'

    problems = load("node.yaml", "b", text.encode()).problems

    assert (2, "bad_value") in {(each.line, each.code) for each in problems}
    assert "s3cret-word" not in str(problems)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:11434/v1", "https://models.example/a/v1/", "http://[::1]:8000/v1"],
)
def test_the_address_of_a_provider_may_have_a_port_and_a_path(address: str) -> None:
    text = f'id: n\nproviders: {{own: {{kind: openai, base_url: "{address}"}}}}\n'

    assert load("node.yaml", "b", text.encode()).problems == ()
