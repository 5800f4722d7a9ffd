"""A redactor that learns, and one whose text comes in pieces."""

import base64
import itertools
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.redaction import REDACTED, Redactor
from xyn_reconciler.model.token_patterns import TOKEN_PATTERNS, TokenPattern

SECRET = "it's $ecret & <quoted>/value"
KEY = "-----BEGIN K-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nQyNTUxOQAAACDx7Yk3\n-----END K-----"


@given(st.lists(st.integers(0, 200), max_size=12), st.text(max_size=20), st.text(max_size=20))
def test_a_stream_cut_anywhere_gives_what_the_whole_text_gives(
    cuts: list[int], before: str, after: str
) -> None:
    redactor = Redactor([SECRET])
    text = f"{before} {SECRET} {json.dumps(SECRET)} {SECRET[:9]} {after}"
    stream = redactor.stream()

    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [stream.feed(text[a:b]) for a, b in itertools.pairwise(edges)]
    given_out = "".join(pieces) + stream.end()

    assert given_out == redactor.text(text)
    assert SECRET not in given_out


@pytest.mark.parametrize("pattern", TOKEN_PATTERNS, ids=lambda pattern: pattern.name)
def test_a_token_that_comes_letter_by_letter_is_not_seen(pattern: TokenPattern) -> None:
    example = pattern.example
    stream = Redactor().stream()

    out = "".join(stream.feed(each) for each in f"it is {example} here") + stream.end()

    assert REDACTED in out
    assert example not in out


@pytest.mark.parametrize("before", [5, 20, 40, 16 * 1024, 16 * 1024 + 20])
def test_a_token_that_is_cut_in_two_in_an_endless_line_is_not_seen(before: int) -> None:
    stream = Redactor().stream()
    text = f"{'.' * 20_000}{TOKEN_PATTERNS[0].example}{'.' * 20_000}"
    cut = 20_000 + before

    out = stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.end()

    assert out == f"{'.' * 20_000}{REDACTED}{'.' * 20_000}"


def test_words_that_are_no_secret_are_not_held_back_longer_than_a_word() -> None:
    stream = Redactor([SECRET]).stream()

    assert stream.feed("one two thr") == "one two "
    assert stream.feed("ee\n") == "three\n"


def test_every_line_of_a_key_is_replaced_wherever_it_stands() -> None:
    redactor = Redactor([KEY])

    for line in KEY.splitlines()[1:3]:
        assert redactor.text(f"> {line} <") == f"> {REDACTED} <"
    assert redactor.text("-----BEGIN K-----") == "-----BEGIN K-----"


def test_base64_in_lines_and_shell_words_are_known() -> None:
    long = "correct horse battery staple " * 5
    redactor = Redactor([SECRET, long])

    shown = base64.encodebytes(long.strip().encode()).decode()
    quoted = shlex.quote(SECRET)

    assert not any(len(line) > len(REDACTED) for line in redactor.text(shown).splitlines())
    assert "ecret" not in redactor.text(quoted)


def test_what_is_learnt_is_replaced_from_then_on_by_everybody_who_holds_it() -> None:
    redactor = Redactor()
    stream = redactor.stream()
    assert redactor.text(SECRET) == SECRET

    redactor.learn([SECRET])

    assert redactor.text(SECRET) == REDACTED
    assert stream.feed(f"{SECRET}\n") + stream.end() == f"{REDACTED}\n"
