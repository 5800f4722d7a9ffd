from urllib.parse import unquote

import pytest

from flask_ui.download import disposition, safe_type


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("text/plain", "text/plain"),
        ("Text/HTML; charset=utf-8; x=y", "text/html; charset=utf-8"),
        ("application/vnd.x+json", "application/vnd.x+json"),
        ("text/plain\r\nSet-Cookie: a=b", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_only_a_real_content_type_goes_out(given: str | None, safe: str) -> None:
    assert safe_type(given) == safe


def test_a_name_cannot_break_out_of_its_header() -> None:
    header = disposition('a"; filename="b.exe\r\nX: y/ö\ud800')

    assert header.startswith('attachment; filename="a_filename_b.exe_X_y"; filename*=UTF-8')
    assert "\r" not in header
    assert header.isascii()


def test_a_name_of_dots_alone_becomes_a_plain_one() -> None:
    assert 'filename="file"' in disposition("../..")


def test_a_long_name_is_cut_between_characters_and_not_within_one() -> None:
    full = disposition("€" * 300).partition("filename*=UTF-8''")[2]

    assert set(unquote(full, errors="strict")) == {"€"}
