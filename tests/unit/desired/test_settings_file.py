"""Settings are changed in their file, and the rest of it stays as it was."""

import json

import pytest

from xyn_reconciler.desired.settings_file import with_values
from xyn_reconciler.desired.source import parse

WRITTEN = """\
---
# where it answers
url: http://a.example.net   # the test one
teams:
  - noc   # first
  - web

# the other file says why
extra: {x: 1}
token_ref: 'env/ONE'
"""
KNOWN = {"url", "teams", "token_ref", "loud", "word"}


def values_of(text: str) -> object:
    source, problems = parse("settings.yaml", text)
    assert problems == []
    assert source is not None
    return source.value


def test_only_the_line_of_a_changed_value_differs() -> None:
    values = {"url": "http://b.example.net", "teams": ["noc", "web"], "token_ref": "env/ONE"}

    made = with_values("settings.yaml", WRITTEN, values, KNOWN)

    differing = [
        (old, new)
        for old, new in zip(WRITTEN.splitlines(), made.splitlines(), strict=True)
        if old != new
    ]
    assert differing == [
        ("url: http://a.example.net   # the test one", "url: http://b.example.net   # the test one")
    ]


def test_what_has_no_value_goes_and_what_the_form_does_not_know_stays() -> None:
    made = with_values("settings.yaml", WRITTEN, {"url": "http://a.example.net"}, KNOWN)

    assert values_of(made) == {"url": "http://a.example.net", "extra": {"x": 1}}


@pytest.mark.parametrize(
    "value", ["no", "12:30", "007", "- x", "# x", "a: b", " x ", "{{ x", "two\nlines", "é", True, 1]
)
def test_every_value_is_read_again_as_it_was_given(value: object) -> None:
    for text in ("", "# nothing yet\n", "word: old\n", 'word: "old"\n'):
        made = with_values("settings.yaml", text, {"word": value}, KNOWN)

        assert values_of(made) == {"word": value}
        assert made.startswith("# nothing yet") is text.startswith("#")


def test_true_is_not_one() -> None:
    assert values_of(with_values("s.yaml", "loud: 1\n", {"loud": True}, KNOWN)) == {"loud": True}


def test_a_file_of_json_stays_json() -> None:
    made = with_values("settings.json", '{"url": "a", "extra": 1}', {"url": "b"}, KNOWN)

    assert json.loads(made) == {"extra": 1, "url": "b"}


def test_nothing_left_is_an_empty_mapping() -> None:
    assert values_of(with_values("settings.yaml", "url: x\n", {}, KNOWN)) == {}
