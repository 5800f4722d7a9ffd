"""Places of outputs that an action declares are never kept, whatever stands there."""

from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.run.hidden import without


def test_a_path_a_list_and_a_star_are_followed() -> None:
    value = {"headers": {"set-cookie": "a", "date": "b"}, "users": [{"key": 1}, {"key": {"x": 2}}]}

    assert without(value, ["headers.set-cookie", "users.key"]) == {
        "headers": {"set-cookie": "[redacted]", "date": "b"},
        "users": [{"key": "[redacted]"}, {"key": "[redacted]"}],
    }
    assert without({"a": {"k": 1}, "b": {"k": 2}}, ["*.k"]) == {
        "a": {"k": "[redacted]"},
        "b": {"k": "[redacted]"},
    }


def test_what_is_not_there_is_passed_over() -> None:
    assert without({"a": 1, "b": None}, ["a.b.c", "x.y", "b"]) == {"a": 1, "b": None}
    assert without(None, ["a"]) is None


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_nothing_changes_without_keys(value: object) -> None:
    assert without(value, ["a.b"]) == value
