"""Read a response's body up to a cap, before and after it is unpacked.

A few kilobytes of gzip can hold gigabytes. The unpacker is asked for no more
than the cap allows, so the size in memory is bounded whatever was sent.
"""

import json
import zlib
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from xyn_reconciler.model.errors import PermanentError

MAX_BYTES: Final = 1_048_576
"""Bytes of an answer that are kept in the outputs where ``max_bytes`` says nothing."""

_WINDOWS: Final = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}


def read_body(chunks: Iterable[bytes], encoding: str | None, limit: int) -> bytes:
    """Give the unpacked body.

    Raises ``PermanentError`` with code ``too_large`` as soon as it is known to
    hold more than ``limit`` bytes, ``bad_body`` where it is damaged or packed
    in a way that was not asked for.
    """
    named = (encoding or "identity").strip().lower()
    if named == "identity":
        return _joined(chunks, limit)
    if named not in _WINDOWS:
        raise PermanentError(
            "bad_body", f"the body is packed as {named!r}, which is not understood"
        )
    return _joined(_unpacked(chunks, _WINDOWS[named], limit), limit)


def _joined(chunks: Iterable[bytes], limit: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise PermanentError(
                "too_large",
                f"the answer is larger than {limit:,} bytes; raise max_bytes, or ask for less",
                details={"limit": limit},
            )
    return bytes(body)


def _unpacked(chunks: Iterable[bytes], window: int, limit: int) -> Iterable[bytes]:
    unpacker = zlib.decompressobj(window)
    try:
        for chunk in chunks:
            yield unpacker.decompress(chunk, limit + 1)
            while unpacker.unconsumed_tail:
                yield unpacker.decompress(unpacker.unconsumed_tail, limit + 1)
        yield unpacker.flush()
        if not unpacker.eof:
            raise PermanentError("bad_body", "the packed body ends too early")
    except zlib.error as error:
        raise PermanentError("bad_body", f"the body cannot be unpacked: {error}") from error


def parsed_json(content_type: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Give the value of a JSON body; ``None`` where it is none (``null`` reads the same)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return None
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
