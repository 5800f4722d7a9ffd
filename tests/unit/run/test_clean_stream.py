"""Secrets are found in what is kept, wherever the pieces of it end."""

import io
import random

import pytest

from xyn_reconciler.model.redaction import REDACTED, Redactor
from xyn_reconciler.run.clean_stream import OVERLAP, PIECE, CleanStream

SECRET = "correct-horse-battery"


def read(content: bytes) -> tuple[bytes, int]:
    """Give all of it, and the largest piece."""
    stream = CleanStream(io.BytesIO(content), Redactor([SECRET]).bytes)
    pieces = list(iter(lambda: stream.read(PIECE), b""))
    return b"".join(pieces), max(map(len, pieces), default=0)


def test_a_stream_without_secrets_is_what_it_was_a_piece_at_a_time() -> None:
    content = random.Random(1).randbytes(3 * PIECE + 17)

    found, largest = read(content)

    assert found == content
    assert largest <= PIECE


@pytest.mark.parametrize("end", [PIECE, PIECE - OVERLAP, 2 * PIECE - OVERLAP])
@pytest.mark.parametrize("before", [0, 1, 10, 20, 21])
def test_a_secret_across_a_border_is_found(end: int, before: int) -> None:
    secret = SECRET.encode()
    content = b"x" * (end - before) + secret + b"y" * PIECE

    found, _ = read(content)

    assert found == content.replace(secret, REDACTED.encode())


def test_a_stream_that_is_dense_with_secrets_keeps_none() -> None:
    secret = SECRET.encode()
    content = (b"a" + secret) * (2 * PIECE // (len(secret) + 1))

    found, _ = read(content)

    assert found == content.replace(secret, REDACTED.encode())


def test_a_private_key_across_a_border_is_found_whole() -> None:
    key = b"-----BEGIN " + b"PRIVATE KEY-----\n" + b"MIIB\n" * 400 + b"-----END PRIVATE KEY-----"
    content = b"x\n" * ((PIECE - OVERLAP) // 2 - 200) + key + b"\ny" * PIECE

    found, _ = read(content)

    assert b"MIIB" not in found
    assert found.count(REDACTED.encode()) == 1


def test_an_empty_stream_is_empty() -> None:
    assert read(b"") == (b"", 0)
