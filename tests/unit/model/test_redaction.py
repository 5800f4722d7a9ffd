import base64
import html
import json
import re
import urllib.parse

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xyn_reconciler.model.redaction import REDACTED, SENSITIVE_HEADERS, Redactor, secret_values
from xyn_reconciler.model.secret_forms import MIN_LENGTH
from xyn_reconciler.model.token_patterns import TOKEN_PATTERNS, TokenPattern

SECRET = "hunter2-hunter2"

secrets = (
    st.text(min_size=MIN_LENGTH, max_size=60)
    .map(str.strip)
    .filter(lambda value: len(value) >= MIN_LENGTH and not REDACTED.startswith(value[:1]))
)
around = st.text(max_size=20)


def written(value: str) -> dict[str, str]:
    """A value in every form in which it might leave this process."""
    raw = value.encode()
    return {
        "plain": value,
        "json": json.dumps(value),
        "json_unicode": json.dumps(value, ensure_ascii=False),
        "json_in_json": json.dumps(json.dumps({"k": value})),
        "url": urllib.parse.quote(value, safe=""),
        "url_path": urllib.parse.quote(value),
        "form": urllib.parse.urlencode({"k": value}),
        "html": html.escape(value),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "urlsafe": base64.urlsafe_b64encode(raw).decode(),
    }


@given(secrets, st.lists(secrets, max_size=5), around, around)
def test_no_form_of_a_known_value_survives_in_text_or_bytes(
    value: str, others: list[str], before: str, after: str
) -> None:
    redactor = Redactor([value, *others])
    for name, form in written(value).items():
        text = before + form + after

        assert form.strip('"') not in redactor.text(text), name
        assert form.strip('"').encode() not in redactor.bytes(text.encode()), name


@given(secrets, st.binary(max_size=10), st.binary(max_size=10))
def test_a_value_inside_a_longer_base64_text_cannot_be_decoded_any_more(
    value: str, before: bytes, after: bytes
) -> None:
    encoded = base64.b64encode(before + value.encode() + after).decode()

    left = Redactor([value]).text(encoded)

    assert left != encoded
    assert REDACTED in left


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    ),
    secrets,
)
def test_a_json_value_without_secrets_is_given_back_as_it_is(value: object, secret: str) -> None:
    assume(not any(name in json.dumps(value).lower() for name in SENSITIVE_HEADERS))

    assert Redactor([secret]).value(value) is value


def test_a_secret_is_found_in_every_corner_of_a_json_value() -> None:
    value = {"a": [{"b": f"x{SECRET}y"}, 1], SECRET: None, "ok": "fine"}

    assert Redactor([SECRET]).value(value) == {
        "a": [{"b": f"x{REDACTED}y"}, 1],
        REDACTED: None,
        "ok": "fine",
    }


def test_what_stands_under_a_sensitive_headers_name_is_replaced_whatever_it_is() -> None:
    value = {"headers": {"Authorization": "anything", "cookie": ["a", "b"], "accept": "text"}}

    assert Redactor().value(value) == {
        "headers": {"Authorization": REDACTED, "cookie": REDACTED, "accept": "text"}
    }


def test_headers_lose_credentials_and_signatures() -> None:
    headers = {
        "Authorization": "Basic x",
        "X-Gitlab-Token": "x",
        "X-Acme-Signature": "x",
        "Content-Type": f"text/plain; key={SECRET}",
    }

    assert Redactor([SECRET]).headers(headers) == {"content-type": f"text/plain; key={REDACTED}"}


@pytest.mark.parametrize("pattern", TOKEN_PATTERNS, ids=lambda pattern: pattern.name)
def test_every_known_shape_of_a_token_is_replaced_with_nothing_known_of_it(
    pattern: TokenPattern,
) -> None:
    redactor = Redactor()
    for text in (pattern.example, f"a {pattern.example} b", f'{{"k":"{pattern.example}"}}'):
        left = redactor.text(text)

        assert REDACTED in left
        assert redactor.text(left) == left
        assert redactor.bytes(text.encode()) == left.encode()


@given(st.text(alphabet="ab:/@-_ .ghpsk0123456789AKI\"'{}[]", max_size=80))
def test_a_tokens_quick_hint_finds_what_its_whole_expression_finds(text: str) -> None:
    plain = text
    for pattern in TOKEN_PATTERNS:
        plain = re.sub(pattern.regex, REDACTED, plain)

    assert Redactor().text(text) == plain


def test_two_tokens_in_one_text_are_both_replaced_and_the_rest_stays() -> None:
    token = next(p.example for p in TOKEN_PATTERNS if p.name == "a GitHub token")

    assert Redactor().text(f"{token} and {token}!") == f"{REDACTED} and {REDACTED}!"


def test_of_two_values_the_longer_is_replaced_as_a_whole() -> None:
    assert Redactor(["12345678", "12345678-abc"]).text("12345678-abc") == REDACTED


def test_short_values_are_left_alone_for_they_would_be_found_in_words() -> None:
    assert Redactor(["short"]).text("a short word") == "a short word"


def test_a_value_read_from_a_file_is_known_without_its_line_break() -> None:
    assert Redactor([f"{SECRET}\n"]).text(f"<{SECRET}>") == f"<{REDACTED}>"


def test_bytes_of_latin_1_are_redacted_too() -> None:
    assert Redactor(["pässwörter"]).bytes("x pässwörter".encode("latin-1")) == b"x [redacted]"


def test_secrets_are_known_by_the_names_of_their_variables_and_in_urls() -> None:
    found = secret_values(
        {
            "OPENAI_API_KEY": "one",
            "DB_PASSWORD": "two",
            "DATABASE_URL": "postgresql://u:three@h/db",
            "HOME": "/home/ada",
            "MONKEY": "banana",
        }
    )

    assert sorted(found) == ["one", "three", "two"]
