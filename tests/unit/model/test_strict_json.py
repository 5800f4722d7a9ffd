import json

import pytest

from xyn_reconciler.desired.expression import render_value
from xyn_reconciler.model.errors import XynError
from xyn_reconciler.model.strict_json import MAX_DEPTH, loads


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_what_is_nested_too_deeply_to_be_written_again_is_not_read() -> None:
    assert json.dumps(loads(nested(MAX_DEPTH))) == nested(MAX_DEPTH)

    with pytest.raises(json.JSONDecodeError, match="nested deeper"):
        loads(nested(MAX_DEPTH + 1))
    with pytest.raises(XynError, match="nested deeper"):
        render_value("{{ text | fromjson }}", {"text": nested(MAX_DEPTH + 1)})


def test_bytes_are_utf_8_whatever_they_could_be_taken_for() -> None:
    assert loads(b'\xef\xbb\xbf["\xc3\xa9"]') == ["é"]

    with pytest.raises(UnicodeDecodeError):
        loads(b"\xff\xfe1\0")


@pytest.mark.parametrize("text", ["NaN", '["NaN", -Infinity]', "", "{", '{"a": 1} 2', "[1e]"])
def test_what_is_no_json_is_a_value_error_at_its_place(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        loads(text)

    assert 0 <= caught.value.pos <= len(text)


def test_a_number_that_nothing_can_hold_stays_the_text_that_it_was() -> None:
    assert loads('{"a": 1e999, "b": 1.5}') == {"a": "1e999", "b": 1.5}
