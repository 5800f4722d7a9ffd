"""What somebody escaped reads the same, however it was escaped, and is found and replaced."""

import base64
import html
import itertools
import json
import re
import shlex
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Final
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.model.redaction import REDACTED, Redactor, RefusingReader, SecretInsideError
from xyn_reconciler.model.unescaped import unescaped
from xyn_reconciler.run.clean_stream import clean_pieces

SECRET: Final = "it's $ecret & <quoted>/välue\\\"n☂"

ESCAPES: Final[dict[str, Callable[[str], str]]] = {
    "json": json.dumps,
    "json as it is": lambda text: json.dumps(text, ensure_ascii=False),
    "json with slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "json in capitals": lambda text: json.dumps(text).replace("\\u00e4", "\\u00E4"),
    "json for html, as Go and Rails": lambda text: (
        json.dumps(text, ensure_ascii=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    ),
    "url": lambda text: quote(text, safe=""),
    "url in small letters": lambda text: quote(text, safe="").lower(),
    "encodeURIComponent": lambda text: quote(text, safe="!~*'()"),
    "encodeURI": lambda text: quote(text, safe=";,/?:@&=+$#!~*'()"),
    "url, every character": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "html": html.escape,
    "html, as Flask": lambda text: html.escape(text).replace("&quot;", "&#34;"),
    "xml": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "html, every character": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "a shell": shlex.quote,
    "yaml in single quotes": lambda text: "'" + text.replace("'", "''") + "'",
    "yaml in double quotes": lambda text: yaml.safe_dump(text, default_style='"', width=10**9),
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
}

ways = st.lists(st.sampled_from(sorted(ESCAPES)), min_size=1, max_size=3)
values = st.text("".join(map(chr, range(32, 127))) + "äß☂😀", min_size=12).filter(
    # One that looks as if it were escaped is found as it is, and as most ways escape it.
    lambda text: re.search(r"%[0-9A-Fa-f]{2}|&|\\[ux]", text) is None
)


@given(values, st.sampled_from(sorted(set(ESCAPES) - {"url in small letters"})))
def test_a_value_reads_the_same_whatever_escapes_it(value: str, way: str) -> None:
    assert unescaped(value.strip()) in unescaped(ESCAPES[way](value.strip()))


@pytest.mark.parametrize("way", sorted(set(ESCAPES) - {"url in small letters"}))
def test_a_value_escaped_twice_is_replaced_and_what_stands_around_it_is_not(way: str) -> None:
    redactor = Redactor([SECRET])
    for again in ESCAPES:
        escaped = ESCAPES[again](ESCAPES[way](SECRET)).strip()

        left = redactor.text(f"before {escaped} after")

        assert left.startswith("before "), again
        assert left.endswith(" after"), again
        assert REDACTED in left, again
        assert unescaped(SECRET)[4:] not in unescaped(left), again
        assert redactor.bytes(f"before {escaped} after".encode()) == left.encode()
        assert redactor.knows(escaped.encode())
        assert redactor.value({"a": [escaped]}) != {"a": [escaped]}


def test_base64_of_a_longer_text_is_replaced_wherever_its_lines_end() -> None:
    redactor = Redactor([SECRET])
    for before, width in itertools.product(range(60, 66), (40, 64, 76)):
        text = base64.b64encode(b"." * before + SECRET.encode() + b"." * 60).decode()
        lines = [text[at : at + width] for at in range(0, len(text), width)]
        for end in ("\n", "\r\n", "\n  "):
            for shown in (end.join(lines), json.dumps(end.join(lines))):
                left = redactor.text(shown)

                assert REDACTED in left
                assert redactor.text(left) == left


def test_a_value_is_known_however_its_accents_are_composed() -> None:
    assert Redactor(["p\u00e4sswort"]).text("pa\u0308sswort") == REDACTED
    assert Redactor(["pa\u0308sswort"]).text("p\u00e4sswort") == REDACTED


def test_a_text_in_which_no_value_is_escaped_stays_as_it_is() -> None:
    text = "50% of C:\\new\\table & 'it''s' &amp; %41 \\u0041 \\ \\"

    assert Redactor([SECRET]).text(text) == text


@given(ways, st.lists(st.integers(0, 400), max_size=12))
def test_a_stream_cut_anywhere_gives_what_the_whole_gives(
    names: list[str], cuts: list[int]
) -> None:
    escaped = SECRET
    for name in names:
        escaped = ESCAPES[name](escaped).strip()
    text = f"a b {escaped} {escaped[:9]} c\n"
    redactor = Redactor([SECRET])
    stream = redactor.stream()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]

    told = "".join(stream.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + stream.end()

    assert told == redactor.text(text)


@pytest.mark.parametrize("shift", [1, 7, 40, 80])
def test_bytes_that_come_in_pieces_lose_what_lies_across_the_border(shift: int) -> None:
    escaped = ESCAPES["json"](ESCAPES["url"](SECRET))
    whole = f"{'.' * (1024 * 1024 - shift)}{escaped}{'.' * 70_000}".encode()
    redactor = Redactor([SECRET])

    assert b"".join(clean_pieces(BytesIO(whole), redactor.bytes)) == redactor.bytes(whole)
    with pytest.raises(SecretInsideError):
        list(iter(partial(RefusingReader(BytesIO(whole), redactor).read, 64 * 1024), b""))
