"""The language of `{{ }}` and `when`: how it is read, what it gives, what it names."""

import shlex

import pytest

from xyn_reconciler.desired.expression import (
    EVENT_FIELDS,
    ExpressionError,
    InvalidExpressionError,
    Known,
    Reference,
    UndefinedValueError,
    findings,
    parse_expression,
    parse_template,
    references,
    render_value,
)
from xyn_reconciler.desired.values import JSON

SCOPE: dict[str, JSON] = {
    "inputs": {
        "host": "web 1",
        "port": 80,
        "tags": ["a", "b"],
        "none": None,
        "code": "{{ inputs.port }}",
    },
    "steps": {"analyze": {"status": "completed", "outputs": {"risk": "low", "argv": ["ls"]}}},
}


def render(text: str, *, prompt: bool = False) -> JSON:
    return parse_template(text, prompt=prompt).render(SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ inputs.port }}", 80),
        ("{{ inputs.tags }}", ["a", "b"]),
        ("{{inputs.none}}", None),
        ("port {{ inputs.port }}", "port 80"),
        ("{{ inputs.port }}\n", "80\n"),
        ("{{ inputs.port }}{{ inputs.port }}", "8080"),
        ("{{ inputs.tags }}!", '["a", "b"]!'),
        ("{{ inputs.none }} {{ 1 == 1 }}", "null true"),
        ("no }} marks", "no }} marks"),
        ("{{ inputs['host'] }}", "web 1"),
        ("{{ inputs.tags[0] ~ inputs.tags.1 ~ inputs.tags[-1] }}", "abb"),
        ("{{ inputs.tags[inputs.port - 80] }}", "a"),
        ("{{ {'a': [1, 2.5, 'x', true, none]} }}", {"a": [1, 2.5, "x", True, None]}),
        ("{{ 10 / 2 }}", 5),
        ("{{ 1 / 4 - -1 }}", 1.25),
        ("{{ 1 < 2 <= 2 and not 3 in [1, 2] }}", True),
        ("{{ 'a' if inputs.port > 80 else 'b' }}", "b"),
        ("{{ '}}' }}", "}}"),
        ("a\r\n{{ inputs.port }}\r\n", "a\r\n80\r\n"),
        (r"{{ '\ud83d\ude00' }}", "😀"),
    ],
)
def test_a_lone_expression_keeps_its_type_and_all_else_is_text(text: str, expected: JSON) -> None:
    value = render(text)

    assert value == expected
    assert type(value) is type(expected)


def test_data_is_never_rendered_again() -> None:
    value: JSON = {"a": ["{{ inputs.code }}", 1], "{{ x }}": "b {{ inputs.code }}"}

    rendered = render_value(value, SCOPE)

    assert rendered == {"a": ["{{ inputs.port }}", 1], "{{ x }}": "b {{ inputs.port }}"}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{{ inputs.nope }}", "inputs.nope"),
        ("{{ nope }}", "nope"),
        ("x {{ inputs.none.a['b'][0] }}", "inputs.none.a.b[0]"),
        ("{{ inputs.tags[7] }}", "inputs.tags[7]"),
        ("{{ inputs.host.upper }}", "inputs.host.upper"),
        ("{{ inputs.items }}", "inputs.items"),
        ("{{ inputs.nope | lower }}", "inputs.nope"),
        ("{{ inputs.nope == 1 }}", "inputs.nope"),
        ("{{ not inputs.nope }}", "inputs.nope"),
        ("{{ [inputs.nope] }}", "inputs.nope"),
        ("{{ 'a' ~ inputs.nope }}", "inputs.nope"),
        ("{{ inputs.nope | default(inputs.neither) }}", "inputs.neither"),
    ],
)
def test_what_is_not_there_fails_and_never_becomes_empty(text: str, path: str) -> None:
    with pytest.raises(UndefinedValueError) as raised:
        render(text)

    assert raised.value.failure_code == "undefined_value"
    assert raised.value.path == path
    assert raised.value.offset is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ inputs.nope | default('d') }}", "d"),
        ("{{ inputs.nope.deeper[0] | default('d') }}", "d"),
        ("{{ inputs.none | default('d') }}", None),
        ("{{ inputs.none | default('d', true) }}", "d"),
        ("{{ inputs.none | default('d', boolean=true) }}", "d"),
        ("{{ inputs.host | default(inputs.nope) }}", "web 1"),
        ("{{ inputs.nope | default(inputs.neither) | default('e') }}", "e"),
        ("{{ inputs.nope is defined }}", False),
        ("{{ inputs.none is defined }}", True),
        ("{{ inputs.nope is not defined or inputs.nope > 1 }}", True),
        ("{{ [] | first | default('none') }}", "none"),
        ("{{ inputs[inputs.nope] | default('d') }}", "d"),
    ],
)
def test_default_and_is_defined_may_meet_what_is_not_there(text: str, expected: JSON) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ true == 1 }}", False),
        ("{{ [true] == [1] }}", False),
        ("{{ 1 == 1.0 }}", True),
        ("{{ '1' == 1 }}", False),
        ("{{ none == false }}", False),
        ("{{ 1 in [true] }}", False),
        ("{{ {'a': [1]} == {'a': [1.0]} }}", True),
        ("{{ 'a' in {'a': 1} }}", True),
        ("{{ 'eb' in inputs.host }}", True),
    ],
)
def test_equality_is_that_of_json(text: str, expected: JSON) -> None:
    assert render(text) is expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ 1 < '2' }}", "type_mismatch"),
        ("{{ true < 2 }}", "type_mismatch"),
        ("{{ [1] < [2] }}", "type_mismatch"),
        ("{{ 'a' + 'b' }}", "type_mismatch"),
        ("{{ 'a' * 3 }}", "type_mismatch"),
        ("{{ true + 1 }}", "type_mismatch"),
        ("{{ 1 in 'a1' }}", "type_mismatch"),
        ("{{ {1: 2} }}", "type_mismatch"),
        ("{{ 1 / 0 }}", "division_by_zero"),
        ("{{ 18446744073709551615 + 1 }}", "too_large"),
        ("{{ 1e308 * 10 }}", "not_finite"),
    ],
)
def test_what_makes_no_sense_fails_with_a_code_and_a_place(text: str, code: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        render(text)

    assert raised.value.failure_code == code
    assert raised.value.offset is not None


@pytest.mark.parametrize(
    ("text", "offset", "code", "advice"),
    [
        ("a {{ inputs.host.upper() }}", 22, "invalid_expression", "no calls"),
        ("{{ a | nope }} {{ b | lowr }}", 7, "unknown_filter", '"nope"'),
        ("{{ b | lowr }}", 7, "unknown_filter", 'did you mean "lower"?'),
        ("{{ a | replace('b') }}", 7, "invalid_argument", "value | replace(old, new, count=…)"),
        ("{{ a | default(*b) }}", 7, "invalid_expression", "not of the language"),
        ("{{ a | regex_match('(') }}", 7, "invalid_pattern", "missing )"),
        ("{{ a is none }}", 5, "invalid_expression", "defined"),
        ("{{ a if b }}", 3, "invalid_expression", "else"),
        ("{{ a % 2 }}", 3, "invalid_expression", "+ - * /"),
        ("{{ a ** 2 }}", 3, "invalid_expression", "**"),
        ("{{ a[1:2] }}", 5, "invalid_expression", "slices"),
        ("{{ a b }}", 5, "invalid_expression", "one expression"),
        ("{{ a", 3, "invalid_expression", "}} missing"),
        ("{{ 'a }}", 3, "invalid_expression", "not closed"),
        ("{{ }}", 3, "invalid_expression", "is missing here"),
        ("{{-1}}", 0, "invalid_expression", "space"),
        ("ab {% if a %}", 3, "statement", "only {{ … }}"),
        ("ab {# x #}", 3, "statement", "{{ '{#' }}"),
        ("{% raw %}", 0, "statement", "only {{ … }}"),
        ("{{ 1e999 }}", 3, "invalid_expression", "too large"),
        ("{{ 18446744073709551616 }}", 3, "invalid_expression", "too large"),
        (r"{{ '\ud800' }}", 3, "invalid_expression", "surrogate"),
        ("{{ " + "(" * 40 + "1" + ")" * 40 + " }}", 35, "too_complex", "split it up"),
        ("{{ " + "1 + " * 600 + "1 }}", None, "too_complex", "split it up"),
        ("{{ " + "not " * 400 + "1 }}", None, "too_complex", "split it up"),
        ("{{ 1 }}" * 1001, None, "too_complex", "split it up"),
        ("{{ " + "9" * 5000 + " }}", None, "too_complex", "too much"),
    ],
)
def test_what_is_not_of_the_language_is_refused_at_its_place(
    text: str, offset: int | None, code: str, advice: str
) -> None:
    with pytest.raises(InvalidExpressionError) as raised:
        parse_template(text)

    found = raised.value.findings[0]
    assert (found.code, advice in found.message) == (code, True), found
    assert offset in (None, found.offset)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidExpressionError) as raised:
        parse_template("{{ a | nope }} {{ b() }}\r\n{{ c % 2 }}")

    assert [found.offset for found in raised.value.findings] == [7, 19, 29]


def test_a_condition_is_a_bare_expression() -> None:
    assert parse_expression("inputs.port > 79 and 'a' in inputs.tags").holds(SCOPE)
    assert not parse_expression("inputs.none or []").holds(SCOPE)

    with pytest.raises(InvalidExpressionError, match="bare"):
        parse_expression("{{ inputs.port }}")


def test_interpolations_can_be_quoted_for_a_shell() -> None:
    template = parse_template("ping {{ inputs.host }} {{ inputs.host | quote }} -c 1")

    assert template.render(SCOPE, escape=shlex.quote) == "ping 'web 1' 'web 1' -c 1"
    assert parse_template("{{ inputs.host }}").render(SCOPE, escape=shlex.quote) == "'web 1'"


def test_a_prompt_may_branch_and_loop() -> None:
    text = (
        "Hosts:\n{% for tag in inputs.tags if tag != 'z' %}\n- {{ tag }}\n{% endfor %}\n"
        "{% if inputs.none %}\nno\n{% elif inputs.port == 80 %}\nyes\n{% else %}\nno\n{% endif %}\n"
        "{%- for x in [] %}{% else %} none{% endfor %}"
    )

    assert render(text, prompt=True) == "Hosts:\n- a\n- b\nyes\n none"


def test_what_a_prompt_holds_as_raw_stays_as_it_is() -> None:
    text = "{% raw %}\nsay {{ x }} {% if %} {# so #}\n{% endraw %}\n{{ inputs.port }}"

    assert render(text, prompt=True) == "\nsay {{ x }} {% if %} {# so #}\n80"


@pytest.mark.parametrize(
    "text",
    [
        "{% set a = 1 %}",
        "{% for a, b in c %}{% endfor %}",
        "{% for a in b recursive %}{% endfor %}",
        "{% include 'x' %}",
        "{# x #}",
        "{% raw %} unclosed",
        "{% macro a() %}{% endmacro %}",
        "{% if a %}" * 40 + "{% endif %}" * 40,
    ],
)
def test_a_prompt_may_do_nothing_else(text: str) -> None:
    with pytest.raises(InvalidExpressionError):
        parse_template(text, prompt=True)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}", True),
        ("{% for a in l %}{{ s }}{% endfor %}", True),
        ("{{ s ~ s ~ s ~ s ~ s ~ s }}", False),
        ("{{ [s, s, s, s, s, s] }}", False),
        ("{{ s | replace('a', s) }}", False),
        ("{{ l | join(s) }}", False),
        ("{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}", False),
        ("{{ l" + " | sort" * 90 + " }}", False),
        ("{{ s | trim(s) }}", False),
        ("{{ s | regex_match('a*') }}", False),
    ],
)
def test_nothing_can_grow_or_run_without_an_end(text: str, prompt: bool) -> None:
    scope: dict[str, JSON] = {"s": "a" * 1_000_000, "l": list(range(20_000))}

    with pytest.raises(ExpressionError) as raised:
        parse_template(text, prompt=prompt).render(scope)

    assert raised.value.failure_code in {"too_large", "too_much_work"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ deep | tojson }}",
        "a {{ deep }}",
        "{{ [deep] | unique }}",
        "{{ deep == deep }}",
        "{{ deep }}",
    ],
)
def test_deep_data_does_not_overflow(text: str) -> None:
    deep: JSON = []
    for _ in range(50_000):
        deep = [deep]

    try:
        value = parse_template(text).render({"deep": deep})
    except ExpressionError as error:
        assert error.failure_code == "too_deep"  # noqa: PT017 - some answer, some refuse, none overflows
    else:
        assert value is True or value is deep


def test_a_value_too_deep_to_render_is_refused() -> None:
    deep: JSON = "{{ 1 }}"
    for _ in range(5_000):
        deep = [deep]

    with pytest.raises(ExpressionError, match="too deeply"):
        render_value(deep, {})


def test_references_name_what_is_looked_up_and_where() -> None:
    text = (
        "{{ steps.analyze.outputs['risk'] }}{{ inputs.a | default(vars.b) }}"
        "{{ inputs[item].c is defined }}"
    )

    found = references(parse_template(text))

    assert found == [
        Reference("steps", ("analyze", "outputs", "risk"), (3, 9, 17, 25), guarded=False),
        Reference("inputs", ("a",), (38, 45), guarded=True),
        Reference("vars", ("b",), (57, 62), guarded=False),
        Reference("inputs", (), (70,), guarded=True),
        Reference("item", (), (77,), guarded=True),
    ]


def test_a_loop_binds_its_name_in_its_body_alone() -> None:
    text = "{% for x in inputs.l if x %}{{ x.y }}{% else %}{{ x }}{% endfor %}"

    found = references(parse_template(text, prompt=True))

    assert [(reference.root, reference.path) for reference in found] == [
        ("inputs", ("l",)),
        ("x", ()),
    ]


KNOWN = Known(
    roots={
        "event": EVENT_FIELDS,
        "inputs": ("host", "service"),
        "vars": (),
        "steps": None,
        "body": None,
    },
    steps=("analyze", "open"),
    later=("close",),
    parallel=("beside",),
)


@pytest.mark.parametrize(
    ("text", "offset", "code", "message"),
    [
        ("{{ step.a }}", 3, "unknown_root", '"step" is not known here (did you mean "steps"?)'),
        ("{{ null }}", 3, "unknown_root", 'did you mean "none"?'),
        ("{{ secrets.a }}", 3, "unknown_root", "there is body, event, inputs, steps, vars"),
        (
            "a {{ inputs.hots }}",
            12,
            "unresolved_reference",
            'no input "hots" (did you mean "host"?)',
        ),
        ("{{ inputs['hots'] | default(1) }}", 10, "unresolved_reference", 'no input "hots"'),
        ("{{ vars.x }}", 8, "unresolved_reference", 'no variable "x"'),
        ("{{ event.dta.x }}", 9, "unresolved_reference", 'did you mean "data"?'),
        ("{{ steps.analyse.outputs }}", 9, "unresolved_reference", 'did you mean "analyze"?'),
        (
            "{{ steps.close.outputs.x }}",
            9,
            "unresolved_reference",
            'step "close" has not run yet here',
        ),
        ("{{ steps.beside.status }}", 9, "unresolved_reference", "runs beside this one"),
        ("{{ steps.open.output.x }}", 14, "unresolved_reference", 'did you mean "outputs"?'),
        (
            "{{ steps.open.risk }}",
            14,
            "unresolved_reference",
            "did you mean steps.open.outputs.risk?",
        ),
        ("{{ a | nope }}", 7, "unknown_filter", "nope"),
    ],
)
def test_what_does_not_exist_is_found_before_anything_runs(
    text: str, offset: int, code: str, message: str
) -> None:
    found = findings(text, KNOWN)[0]

    assert (found.offset, found.code) == (offset, code)
    assert message in found.message


def test_what_exists_is_no_finding() -> None:
    text = (
        "{{ event.data.a.b }}{{ inputs.host }}{{ steps.open.outputs.x }}{{ body.any }}{{ steps }}"
    )

    assert findings(text, KNOWN) == []
    assert findings("steps.analyze.status == 'completed'", KNOWN, "expression") == []
    assert findings("{% for a in body %}{{ a.b }}{% endfor %}", KNOWN, "prompt") == []
