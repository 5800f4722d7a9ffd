"""URLs that two programs could read differently are refused."""

import re

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xyn_reconciler.action.url import Origin, parse_url
from xyn_reconciler.model.errors import PermanentError


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.net",
        "//example.net/",
        "ftp://example.net/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://user@example.net/",
        "http://user:password@example.net/",
        "http://example.net@127.0.0.1/",
        "http://example.net\\@127.0.0.1/",
        "http:\\\\127.0.0.1/",
        " http://example.net/",
        "http://example.net/\r\nHost: evil",
        "http://exam\tple.net/",
        "http://example.net/\x00",
        "http://example.net /",
        "http://\u3000example.net/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1.5/",
        "http://127.0.0.256/",
        "http://127.0.0.1../",
        "http://a..b/",
        "http://.example.net/",
        "http://%31%32%37.0.0.1/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1/",
        "http://[127.0.0.1]/",
        "http://example.net:0/",
        "http://example.net:65536/",
        "http://example.net:-1/",
        "http://example.net:80a/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://exa_mple!.net/",
        f"http://{'a' * 64}.net/",
        f"http://example.net/{'a' * 9000}",
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        parse_url(url)

    assert caught.value.failure_code == "invalid_url"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://example.net", Origin("http", "example.net", 80)),
        ("HTTPS://Example.NET/a?b=c#d", Origin("https", "example.net", 443)),
        ("http://example.net.:8080/", Origin("http", "example.net.", 8080)),
        ("http://127.0.0.1/", Origin("http", "127.0.0.1", 80)),
        ("http://127.0.0.1./", Origin("http", "127.0.0.1", 80)),
        ("http://[::1]:9093/", Origin("http", "::1", 9093)),
        ("http://[0:0::ffff:127.0.0.1]/", Origin("http", "::ffff:7f00:1", 80)),
        ("http://bücher.example/", Origin("http", "xn--bcher-kva.example", 80)),
        ("http://localhost:65535/", Origin("http", "localhost", 65535)),
    ],
)
def test_the_origin_of_a_url_is_its_scheme_host_and_port(url: str, origin: Origin) -> None:
    assert parse_url(url)[1] == origin


def test_a_password_in_a_url_is_not_repeated_in_the_message() -> None:
    with pytest.raises(PermanentError) as caught:
        parse_url("http://ada:lovelace-1815@example.net/")

    assert "lovelace" not in caught.value.message


@given(
    st.tuples(
        st.sampled_from(["http://", "https:", "HTTP://", "http:/", "//", ""]),
        st.text(st.characters(codec="utf-8"), max_size=30)
        | st.text("0x7f.12[]:@%/\\#?&\u3002\uff0e\uff11\u2460\u00ad\u200b", max_size=30),
    ).map("".join)
)
def test_any_text_is_a_url_of_one_plain_host_or_refused(url: str) -> None:
    found = parsed_or_refused(url)

    if found is not None:
        parsed, origin = found
        assert re.fullmatch(r"[a-z0-9_.:-]+", origin.host)
        assert not parsed.userinfo
        assert 0 < origin.port < 65536


def parsed_or_refused(url: str) -> tuple[httpx2.URL, Origin] | None:
    try:
        return parse_url(url)
    except PermanentError as error:
        if error.failure_code != "invalid_url":
            raise
        return None
