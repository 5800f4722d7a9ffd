"""Shapes of credentials: each finds its own, and prose goes free."""

import re

import pytest

from xyn_reconciler.model.token_patterns import ANY_TOKEN, TOKEN_PATTERNS, TokenPattern, find_token


@pytest.mark.parametrize("pattern", TOKEN_PATTERNS, ids=lambda pattern: pattern.name)
def test_a_credential_is_found_wherever_it_stands_in_a_text(pattern: TokenPattern) -> None:
    text = f"x = '{pattern.example}' # and so on"

    found = find_token(text)

    assert found is not None
    assert found[0] == pattern.name
    assert re.compile(pattern.regex.encode()).search(text.encode()) is not None


@pytest.mark.parametrize(
    "text",
    [
        "risk-assessment-of-the-whole-network-in-2024",
        "Bearer authentication is explained in RFC 6750",
        "https://example.net:8443/path?x=1@2",
        "https://ada@example.net/",
        "https://{{ vars.user }}:{{ vars.word }}@example.net/",
        "-----BEGIN CERTIFICATE-----",
        "sk-",
        "eyJ",
        "2f1c1f9e-0000-4000-8000-000000000001",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
)
def test_prose_and_harmless_identifiers_are_no_credentials(text: str) -> None:
    assert find_token(text) is None


def test_a_whole_private_key_is_one_find() -> None:
    key = next(p.example for p in TOKEN_PATTERNS if p.name == "a private key")

    assert ANY_TOKEN.sub("", f"before {key} after") == "before  after"


def test_many_openings_of_a_key_that_never_ends_are_read_once() -> None:
    opening = "-----BEGIN " + "PRIVATE KEY-----\n"

    assert ANY_TOKEN.sub("", opening * 40_000).strip() == ""
