"""Read a response's body up to a cap, before and after it is unpacked.

A few kilobytes of gzip can hold gigabytes. The unpacker is asked for no more
than a piece at a time, so the size in memory is bounded whatever was sent.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from xyn_reconciler.model import strict_json
from xyn_reconciler.model.errors import PermanentError

MAX_BYTES: Final = 1_048_576
"""Bytes of an answer that are kept in the outputs where ``max_bytes`` says nothing."""

_PIECE: Final = 64 * 1024
_GZIP: Final = zlib.MAX_WBITS | 16
_WINDOWS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
_MEMBER: Final = b"\x1f\x8b"
"""How each of the members of a gzip file begins (RFC 1952, section 2.2)."""


def read_body(
    chunks: Iterable[bytes], encoding: str | None, limit: int, *, cut: bool = False
) -> bytes:
    """Give the unpacked body; with ``cut`` only its first ``limit`` bytes.

    Raises ``PermanentError`` with code ``too_large`` as soon as it is known to
    hold more than ``limit`` bytes, ``bad_body`` where it is damaged or packed
    in a way that was not asked for.
    """
    body = bytearray()
    for piece in unpacked(chunks, encoding):
        body += piece
        if len(body) > limit:
            if cut:
                break
            raise PermanentError(
                "too_large",
                f"the answer is larger than {limit:,} bytes;"
                " raise max_bytes, keep it as an artifact (save_to), or ask for less",
                details={"limit": limit},
            )
    return bytes(body[:limit])


def unpacked(chunks: Iterable[bytes], encoding: str | None) -> Iterator[bytes]:
    """Give the body a small piece at a time; raises as :func:`read_body`."""
    named = (encoding or "identity").strip().lower()
    if named == "identity":
        return iter(chunks)
    if named not in _WINDOWS:
        raise PermanentError(
            "bad_body", f"the body is packed as {named!r}, which is not understood"
        )
    return _unpacked(chunks, _WINDOWS[named])


def _unpacked(chunks: Iterable[bytes], window: int) -> Iterator[bytes]:
    left, whole = iter(chunks), True
    held = _two_bytes(left)
    if window != _GZIP and not _is_zlib(held):
        window = -zlib.MAX_WBITS  # Without its two bytes of header, as many servers send it.
    try:
        while held:
            unpacker, whole = zlib.decompressobj(window), False
            while held:
                yield unpacker.decompress(held, _PIECE)
                held = unpacker.unconsumed_tail
                if unpacker.eof:
                    break
                held = held or next(left, b"")
            if not unpacker.eof:
                yield unpacker.flush()
            whole = unpacker.eof
            held = _two_bytes(left, unpacker.unused_data)
            if window != _GZIP or not held.startswith(_MEMBER):
                break  # What follows the end is no part of the body.
    except zlib.error as error:
        raise PermanentError("bad_body", f"the body cannot be unpacked: {error}") from error
    if not whole:
        raise PermanentError("bad_body", "the packed body ends too early")


def _two_bytes(chunks: Iterator[bytes], held: bytes = b"") -> bytes:
    """Read on until there are two bytes, or the end."""
    while len(held) < 2 and (more := next(chunks, None)) is not None:  # noqa: PLR2004 - as it is named
        held += more
    return held


def _is_zlib(head: bytes) -> bool:
    """RFC 1950, section 2.2: the method is 8, and the first two bytes are a multiple of 31."""
    return len(head) > 1 and head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2]) % 31 == 0


class Counted:
    """A body as a stream to keep: ``read`` alone; knows what has been read of it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.length = 0
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self._ready = b""

    @property
    def sha256(self) -> str:
        """In hex, of what has been read."""
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Give up to ``size`` bytes, without one all that is left; none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        while not self._ready:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._ready = piece
        given, self._ready = self._ready[:size], self._ready[size:]
        self._digest.update(given)
        self.length += len(given)
        return given


def parsed_json(content_type: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Give the value of a JSON body; ``None`` where it is none (``null`` reads the same)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return None
    try:
        return strict_json.loads(text)
    except ValueError:
        return None
