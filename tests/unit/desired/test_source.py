"""The strict reader: what it takes, what it refuses, and where it says so."""

import io
import json
import math
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from xyn_reconciler.desired.source import MAX_BYTES, Source, parse


def read(text: str, path: str = "a.yaml") -> Source:
    source, problems = parse(path, text)
    assert not problems
    assert source is not None
    return source


def complaints(text: bytes | str, path: str = "a.yaml") -> list[tuple[int, int, str]]:
    return [(found.line, found.column, found.code) for found in parse(path, text)[1]]


def test_a_problem_points_at_the_line_a_person_would_edit() -> None:
    source, problems = parse("blueprints/x.yaml", "id: bp.x\nplan:\n  - kind: gate\n    id: ok\n")
    assert not problems
    assert source is not None
    found = source.problem(("plan", 0, "mode"), "missing_key", "a gate needs a mode")
    assert str(found) == "blueprints/x.yaml:3:5: missing_key: a gate needs a mode"


def test_a_value_and_its_key_have_places_of_their_own() -> None:
    source = read("id: x\nplan:\n  - {kind: gate, idd: ok}\n")

    assert source.position(("plan", 0, "kind")) == (3, 12)
    assert source.key_position(("plan", 0, "idd")) == (3, 18)
    assert source.key_position(("plan", 0)) == (3, 5)
    assert source.problem(("plan", 0, "idd"), "unknown_key", "x", at_key=True).column == 18
    assert source.position(("plan", 7, "kind")) == source.position(("plan",)) == (3, 3)
    assert source.position(()) == (1, 1)


def test_only_the_types_of_yaml_1_2_are_known() -> None:
    text = """
    strings: [no, on, yes, Off, 12:30, 0b1, 1_000, 2020-01-01, 1.2.3, +, 0o8, nULL, "1", '~']
    nulls: [null, Null, NULL, ~, ]
    empty:
    booleans: [true, True, TRUE, false]
    integers: [1, -1, +1, 010, 0o17, 0x1F, 18446744073709551615]
    floats: [1.0, 1., .5, -1e3, 1.5E-3]
    """

    assert read(text).value == {
        "strings": [
            "no",
            "on",
            "yes",
            "Off",
            "12:30",
            "0b1",
            "1_000",
            "2020-01-01",
            "1.2.3",
            "+",
            "0o8",
            "nULL",
            "1",
            "~",
        ],
        "nulls": [None] * 4,
        "empty": None,
        "booleans": [True, True, True, False],
        "integers": [1, -1, 1, 10, 15, 31, 2**64 - 1],
        "floats": [1.0, 1.0, 0.5, -1000.0, 0.0015],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\na: 2\nb: {c: 1, c: 2, c: 3}\n",
            [(line, column, "duplicate_key") for line, column in ((2, 1), (3, 11), (3, 17))],
        ),
        (
            "1: a\ntrue: b\n~: c\n? [x]\n: d\n",
            [(line, column, "non_string_key") for line, column in ((1, 1), (2, 1), (3, 1), (4, 3))],
        ),
        ("a: {x: 1}\nb:\n  <<: {y: 1}\n", [(3, 3, "merge_key")]),
        ("a: [?b]\nc: {?d: 1}\n", [(1, 5, "invalid_yaml"), (2, 5, "invalid_yaml")]),
        ("a: &x 1\nb: *x\n", [(1, 4, "anchor"), (2, 4, "alias")]),
        ("a: !!str 1\nb: !x y\n", [(1, 4, "tag"), (2, 4, "tag")]),
        (
            "a: [.nan, -.inf, 1e999]\n",
            [(1, 5, "not_finite"), (1, 11, "not_finite"), (1, 18, "not_finite")],
        ),
        (
            "a: 18446744073709551616\nb: 0xfffffffffffffffff\n",
            [(1, 4, "too_large"), (2, 4, "too_large")],
        ),
        ("a: 1\n---\nb: 1\n", [(2, 1, "multiple_documents")]),
        ("", [(1, 1, "empty_document")]),
        ("# only a remark\n", [(1, 1, "empty_document")]),
        ("%YAML 1.1\n---\na: 1\n", [(1, 1, "directive")]),
        ("a: 1\nb: \x07\n", [(2, 4, "control_character")]),
        ("a: 1\nb: x\u2028c: d\n", [(2, 5, "control_character")]),
        (b"a: 1\nb: \xc3\xa9\xff\n", [(2, 5, "not_utf8")]),
        ("a: \ud800", [(1, 4, "not_utf8")]),
        ("a: {{ inputs.host }}\n", [(1, 4, "non_string_key")]),
        ("a: 1\nb: {{ x }}/y\n", [(2, 4, "non_string_key")]),
        ("a:\n\t- b\n", [(2, 1, "invalid_yaml")]),
        ("a: 'x\nb: 1\n", [(1, 4, "invalid_yaml")]),
    ],
)
def test_what_is_refused_is_refused_at_its_place(
    text: bytes | str, expected: list[tuple[int, int, str]]
) -> None:
    assert complaints(text) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("a: {{ inputs.host }}\n", 'quote it: "{{ … }}"'),
        ("a: {{ x | default('y') }}/z\n", 'quote it: "{{ … }}"'),
        ("a:\n\tb: 1\n", "not with a tab"),
        ("a: b: c\n", "quote a value"),
        ("a: @x\n", "quote it"),
        ("a: [1, 2\nb: 1\n", "line 1"),
        ('a: "\\d"\n', "single quotes"),
        ("a: 'x\n", "not closed"),
        ("a: 1\n  - b\nc: 2\n  d: 1", "indent"),
    ],
)
def test_a_problem_says_what_to_do(text: str, advice: str) -> None:
    messages = [found.message for found in parse("a.yaml", text)[1]]

    assert any(advice in message for message in messages), messages


def test_the_first_of_several_equal_keys_is_kept() -> None:
    source, _ = parse("a.yaml", "a: 1\na: 2\n")

    assert source is not None
    assert source.value == {"a": 1}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_do(line_end: str) -> None:
    text = line_end.join(["# ä", "a: 1", "b: [é, x]", ""])

    assert read("\ufeff" + text).position(("b", 1)) == (3, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: say {{ bad }}\n", (1, 11)),
        ("a: 'say {{ bad }}'\n", (1, 12)),
        ('a: "say {{ bad }}"\n', (1, 12)),
        ('a: "say \\"x\\" {{ bad }}"\n', (1, 18)),
        ("a: |\n  say\n  {{ bad }}\n", (3, 6)),
        ("a: >-  # bad\n  say\n\n  {{ bad }}\n", (4, 6)),
        ("a: say\n  {{ bad }}\n", (2, 6)),
        ('a: "say {{ b\\x61d }}"\n', (1, 4)),
    ],
)
def test_a_place_inside_a_string_is_found_in_every_style(
    text: str, expected: tuple[int, int]
) -> None:
    source = read(text)
    assert isinstance(source.value, dict)
    value = source.value["a"]
    assert isinstance(value, str)

    assert source.position(("a",), offset=value.index("bad")) == expected


def test_equal_words_before_it_do_not_mislead_a_place_inside_a_string() -> None:
    source = read("a: x {{ x }} xx {{ x }}\n")

    assert source.position(("a",), offset=16) == (1, 20)


def test_json_is_read_as_json() -> None:
    text = '{\t"a": ["\\ud83d\\ude00\\/\x7f", 1, -0.5e1, true, null, {}, []],\r\n "b": {"c": 1}}\n'
    source = read(text, "a.json")

    assert source.value == {"a": ["😀/\x7f", 1, -5.0, True, None, {}, []], "b": {"c": 1}}
    assert source.position(("b", "c")) == (2, 13)
    assert source.key_position(("b", "c")) == (2, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,}', (1, 9, "invalid_json")),
        ("{'a': 1}", (1, 2, "invalid_json")),
        ('{"a": NaN}', (1, 7, "invalid_json")),
        ('{"a": 01}', (1, 8, "invalid_json")),
        ('["\\ud800"]', (1, 2, "invalid_json")),
        ("[1] [2]", (1, 5, "invalid_json")),
        ('{"a": 1, "a": 2}', (1, 10, "duplicate_key")),
        ('{"a": 1e999}', (1, 7, "not_finite")),
        ('{"a": 99999999999999999999}', (1, 7, "too_large")),
        (" \n", (1, 1, "empty_document")),
    ],
)
def test_what_is_not_json_is_refused_at_its_place(
    text: str, expected: tuple[int, int, str]
) -> None:
    assert complaints(text, "a.json") == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 30_000,
        "{" * 30_000,
        "- " * 30_000,
        "? " * 30_000,
        "[{" * 30_000,
        "".join(" " * n + "a:\n" for n in range(100)),
    ],
)
def test_deep_nesting_is_refused_and_not_survived_by_luck(text: str) -> None:
    assert [code for *_, code in complaints(text)] == ["too_deep"]


@pytest.mark.parametrize("path", ["a.yaml", "a.json"])
def test_sixty_four_levels_are_allowed_and_brackets_in_text_are_none(path: str) -> None:
    read("[" * 64 + "]" * 64, path)
    read(json.dumps(["[" * 1000]), path)

    assert complaints("[" * 65 + "]" * 65, path) == [(1, 65, "too_deep")]


def test_a_file_is_measured_before_it_is_read() -> None:
    assert complaints("#" * MAX_BYTES) == [(1, 1, "empty_document")]
    assert complaints("[" * (MAX_BYTES + 1)) == [(1, 1, "too_large")]


_SYNTAX = st.text(st.sampled_from("ab1:-?[]{},&*!|>'\"%@`#~<\\. \t\n\r{}é\u2028\x00"), max_size=60)


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=100), st.text(max_size=100), _SYNTAX),
    st.sampled_from(["a.yaml", "a.json"]),
)
def test_no_text_whatever_makes_the_reader_raise(text: bytes | str, path: str) -> None:
    source, problems = parse(path, text)

    assert source is not None or problems
    assert problems == sorted(problems)
    assert all(found.line > 0 and found.column > 0 for found in problems)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64) + 1, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(_JSON, st.booleans())
def test_what_json_writes_is_read_back(value: Any, ascii_only: bool) -> None:  # noqa: ANN401 - any JSON value; hypothesis passes it
    source = read(json.dumps(value, ensure_ascii=ascii_only), "a.json")

    assert source.value == value
    assert _types(source.value) == _types(value)


@settings(deadline=None)
@given(_JSON, st.booleans())
def test_what_a_yaml_library_writes_is_read_back(value: Any, flow: bool) -> None:  # noqa: ANN401 - any JSON value; hypothesis passes it
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.allow_unicode = False
    yaml.representer.ignore_aliases = lambda *_: True
    yaml.version = (1, 2)
    yaml.width = 10**9  # where it folds a quoted text, it can add a space
    written = io.StringIO()
    yaml.dump(value, written)

    # Within brackets libyaml keeps to YAML 1.1: what begins with ? or : is refused there.
    assume(not re.search(r"[\[{ ][?:]\S", written.getvalue()))
    source = read(written.getvalue().removeprefix("%YAML 1.2\n"))

    assert source.value == value
    assert _types(source.value) == _types(value)


def _types(value: Any) -> object:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_types(item) for item in value]
    return (type(value), math.copysign(1, value)) if isinstance(value, float) else type(value)
