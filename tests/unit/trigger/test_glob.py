import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.trigger.glob import matches


@given(st.text("ab*?", max_size=8), st.text("abAB", max_size=10))
def test_it_says_what_a_regular_expression_says(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)

    assert matches(pattern, text) == (re.fullmatch(expression, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("disk-*", "disk-root", True),
        ("disk-*", "Disk-root", False),
        ("disk-*", "my disk-root", False),
        ("a*a", "a", False),
        ("[ab]", "a", False),
        ("*\n*", "a\nb", True),
    ],
)
def test_it_is_anchored_and_case_counts(pattern: str, text: str, *, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_many_stars_do_not_explode() -> None:
    assert not matches("*a" * 500 + "b", "a" * 20_000)
