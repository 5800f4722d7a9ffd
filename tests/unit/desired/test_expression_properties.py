"""What holds for every expression: it agrees with Jinja where both speak, and it ends well."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from xyn_reconciler.desired.expression import (
    ExpressionError,
    parse_expression,
    parse_template,
    references,
)
from xyn_reconciler.desired.filters import FILTERS
from xyn_reconciler.desired.values import JSON, MAX_SIZE, equal, size

SCOPE: dict[str, JSON] = {
    "n": 7,
    "f": 2.5,
    "s": "Hello, World",
    "t": True,
    "z": None,
    "e": "",
    "l": [3, 1, 2, 3],
    "w": ["b", "a"],
    "d": {"a": 1, "b": {"c": "x"}, "k": "a"},
    "objects": [{"name": "x", "on": True}, {"name": "y", "on": False}],
}
_JINJA = SandboxedEnvironment(undefined=StrictUndefined, optimized=False)


def _join(*texts: str) -> str:
    return f"({' '.join(texts)})"


def _grown(levels: int) -> tuple[st.SearchStrategy[str], st.SearchStrategy[str]]:
    """Texts of numbers or strings, and of booleans.

    Typed on purpose: where Jinja guesses (a string times a number, none as text), Xyn refuses.
    """
    numbers = st.sampled_from(
        ["n", "f", "d.a", "l[0]", "3", "0.5", "(l | length)", "(s | length)", "(l | first)"]
    )
    strings = st.sampled_from(
        [
            "s",
            "e",
            "d.b.c",
            "d['k']",
            "'lit'",
            "w[1]",
            "(w | last)",
            "(d.nope | default('q'))",
            "(objects | map(attribute='name') | join('/'))",
            "(objects | selectattr('on') | map(attribute='name') | join)",
        ]
    )
    booleans = st.sampled_from(["t", "true", "(d.nope is defined)", "(d.a is not defined)"])
    lists = st.sampled_from(["l", "[1, n, 2]", "(1, 2)", "(l | sort)", "(l | sort(reverse=true))"])
    for _ in range(levels):
        inner = numbers, strings, booleans
        numbers = st.one_of(
            inner[0],
            st.builds(_join, inner[0], st.sampled_from("+-*"), inner[0]),
            st.builds(_join, inner[0], st.just("if"), inner[2], st.just("else"), inner[0]),
            st.builds(_join, st.just("-"), inner[0]),
            st.builds(_join, inner[0], st.sampled_from(["/ 4", "| int"])),
        )
        strings = st.one_of(
            inner[1],
            st.builds(_join, inner[1], st.sampled_from(["~", "or", "and"]), inner[1]),
            st.builds(
                _join,
                inner[1],
                st.sampled_from(
                    [
                        "| lower",
                        "| upper",
                        "| trim",
                        "| replace('l', 'LL')",
                        "| default('x', true)",
                        "| string",
                    ]
                ),
            ),
            st.builds("(w | join({}))".format, inner[1]),
        )
        booleans = st.one_of(
            inner[2],
            st.builds(
                _join, inner[0], st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), inner[0]
            ),
            st.builds(_join, inner[1], st.sampled_from(["in", "not in", "<", "=="]), inner[1]),
            st.builds(_join, inner[0], st.just("in"), lists),
            st.builds(_join, st.just("not"), inner[2]),
            st.builds(_join, inner[2], st.sampled_from(["and", "or"]), inner[2]),
        )
    return numbers | strings, booleans


_VALUES, _BOOLEANS = _grown(3)


@settings(deadline=None)
@given(_VALUES | _BOOLEANS)
def test_it_agrees_with_jinja_where_both_speak(text: str) -> None:
    ours = parse_expression(text).render(SCOPE)

    theirs = _JINJA.compile_expression(text)(**SCOPE)

    assert ours == theirs
    assert isinstance(ours, bool) == isinstance(theirs, bool)


@settings(deadline=None)
@given(
    st.lists(_grown(1)[0].filter(lambda text: "/ 4" not in text), min_size=1, max_size=3),
    st.text("ab }\n-", max_size=4),
)
def test_its_text_agrees_with_jinja_where_both_speak(parts: list[str], between: str) -> None:
    text = between.join(["|", *(f"{{{{ {part} }}}}" for part in parts), "|"])

    assert parse_template(text).render(SCOPE) == _JINJA.from_string(text).render(SCOPE)


_WORDS = """
    n f s l d objects nope d.a l[0] l[9] d.b.c 'x' '' 1 0 2.5 true none ( ) [ ] { } , : . | == != <
    > in not and or if else is defined + - * / ~ // % ** = {{ }} {% %} for endfor endif {# ' " \\
""".split()  # noqa: SIM905 - as a list it is sixty lines
_TOKENS = st.lists(st.sampled_from([*_WORDS, *FILTERS, "\r"]), max_size=12)


@settings(deadline=None)
@given(_TOKENS, st.sampled_from(["{}", "{{{{ {} }}}}", "a {{{{ {} }}}} b"]), st.booleans())
def test_whatever_the_text_nothing_but_its_own_errors_comes_out(
    tokens: list[str],
    frame: str,
    prompt: bool,
) -> None:
    text = frame.format(" ".join(tokens))

    try:
        template = parse_template(text, prompt=prompt)
        references(template)
        value = template.render(SCOPE)
    except ExpressionError as error:
        # Either is right; an error of another kind is not.
        assert error.failure_code  # noqa: PT017 - see above
        assert error.offset is None or 0 <= error.offset <= len(text)  # noqa: PT017 - see above
    else:
        json.dumps(value, allow_nan=False)
        assert size(value) <= MAX_SIZE


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(FILTERS)), _JSON, st.lists(_JSON, max_size=3))
def test_a_filter_given_anything_answers_json_or_fails_with_a_code(
    name: str, value: JSON, arguments: list[JSON]
) -> None:
    names = [f"a{number}" for number in range(len(arguments))]
    text = f"value | {name}({', '.join(names)})"
    scope = {"value": value, **dict(zip(names, arguments, strict=True))}

    try:
        result = parse_expression(text).render(scope)
    except ExpressionError as error:
        assert error.failure_code  # noqa: PT017 - either is right, an error of another kind is not
    else:
        json.dumps(result, allow_nan=False)


@settings(deadline=None)
@given(_JSON, _JSON)
def test_equality_is_that_of_the_canonical_json(left: JSON, right: JSON) -> None:
    assert equal(left, left) == (not _has_nan(left))
    assert equal(left, right) == equal(right, left)
    unique = parse_expression("[a, b] | unique | length")
    try:
        count = unique.render({"a": left, "b": right})
    except ExpressionError:
        return
    assert count == (1 if equal(left, right) else 2)


def _has_nan(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict | list):
        return any(map(_has_nan, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isnan(value)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_every_filter_says_what_it_does(name: str) -> None:
    assert FILTERS[name].__doc__
