import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.strict_json import MAX_DEPTH
from xyn_reconciler.trigger.json_body import InvalidJsonError, read, read_object

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def place_of_the_error(body: bytes) -> tuple[int, int]:
    try:
        read(body)
    except InvalidJsonError as error:
        details = error.details or {}
        return details["line"], details["column"]
    return (1, 1)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_raises_anything_but_invalid_json(body: bytes) -> None:
    assert place_of_the_error(body) >= (1, 1)


@given(VALUES)
def test_what_python_writes_is_read_again(value: object) -> None:
    assert read(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) is not Ellipsis
    assert read(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "line", "column", "said"),
    [
        (b'{"a": 1,\n "b": }', 2, 7, "Expecting value"),
        (b'["NaN",\n NaN]', 2, 2, "NaN is not a number"),
        (b"[-Infinity]", 1, 2, "-Infinity is not a number"),
        (b'{"a":\n"\xff"}', 2, 2, "not UTF-8"),
        (b"", 1, 1, "Expecting value"),
        (b'"\x01"', 1, 2, "control character"),
        ('{"a": 1}'.encode("utf-16"), 1, 1, "not UTF-8"),
        (b"{} {}", 1, 4, "Extra data"),
    ],
)
def test_what_is_no_json_is_refused_at_its_place(
    body: bytes, line: int, column: int, said: str
) -> None:
    with pytest.raises(InvalidJsonError, match=said) as caught:
        read(body)

    assert caught.value.details == {"line": line, "column": column}


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_the_deepest_body_that_is_taken_and_the_first_that_is_not() -> None:
    assert read(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)

    with pytest.raises(InvalidJsonError, match="nested deeper"):
        read(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    with pytest.raises(InvalidJsonError, match="nested deeper"):
        read(b'{"a":' * 100_000)


def test_brackets_in_texts_and_side_by_side_are_no_depth() -> None:
    assert read(b'["' + b"[{" * 1000 + b'"]') == ["[{" * 1000]
    assert read(b"[" + b",".join([b"[]"] * 1000) + b"]") == [[]] * 1000


def test_a_body_full_of_quotes_is_read_in_linear_time() -> None:
    with pytest.raises(InvalidJsonError):
        read(b"[" * 201 + b'"' + b'\\"' * 2_000_000)


@pytest.mark.parametrize("number", ["1e400", "-1e999999", "9" * 5000, "1e-999", "-0.001e-400"])
def test_a_number_that_nothing_can_hold_is_kept_as_it_was_sent(number: str) -> None:
    assert read(f"[{number}]".encode()) == [number]


def test_numbers_that_can_be_held_are_numbers() -> None:
    assert read(b"[0.0, 0e5, 1e308, 123456789012345678901234567890]") == [
        0.0,
        0.0,
        1e308,
        123456789012345678901234567890,
    ]
    assert math.copysign(1, read(b"-0.0")) == -1


def test_of_a_repeated_key_the_last_counts_and_odd_texts_stay() -> None:
    assert read(b'{"a": 1, "a": 2, "b": "\\u0000\\ud800"}') == {"a": 2, "b": "\x00\ud800"}


def test_where_an_object_is_needed_another_value_is_wrapped() -> None:
    assert read_object(b"[1]") == {"value": [1]}
    assert read_object(b'{"value": 1}') == {"value": 1}
