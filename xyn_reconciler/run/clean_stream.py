"""Read a stream without the secrets in it, a piece at a time: what steps keep may be large.

A secret may lie across the border of two pieces. So a piece ends only where
nothing to be replaced lies across, and well before what has been read so far
ends: what begins in it has been seen to its end. The trap: what is longer than
:data:`OVERLAP` may still be cut in two; the longest secret, in hexadecimal, is half of that.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

PIECE: Final = 1024 * 1024
OVERLAP: Final = 256 * 1024
_MOST_HELD: Final = 8 * PIECE
_STEP: Final = 61
"""Bytes between two places that are tried; prime, so that lines of equal length do not evade it."""
_TRIES: Final = 200

Redact = Callable[[bytes], bytes]


class CleanStream:
    """A stream as whoever keeps it may see it: ``read`` alone, at most one piece at once."""

    def __init__(self, stream: BinaryIO, redact: Redact) -> None:
        self._pieces = clean_pieces(stream, redact)
        self._ready = b""

    def read(self, size: int) -> bytes:
        """Give up to ``size`` bytes; none at the end."""
        while not self._ready:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._ready = piece
        given, self._ready = self._ready[:size], self._ready[size:]
        return given


def clean_pieces(stream: BinaryIO, redact: Redact) -> Iterator[bytes]:
    """Give all that a stream holds, redacted; some pieces may be empty."""
    held = b""
    while read := stream.read(PIECE):
        held += read
        end = _seam(held, redact)
        yield redact(held[:end])
        held = held[end:]
    yield redact(held)


def _seam(held: bytes, redact: Redact) -> int:
    """Find where to cut, or 0: more has to be read first."""
    last = len(held) - OVERLAP
    if last <= 0:
        return 0
    clean = redact(held)
    if clean == held:
        return last
    for end in range(last, max(0, last - _STEP * _TRIES), -_STEP):
        if redact(held[:end]) + redact(held[end:]) == clean:
            return end
    return 0 if len(held) < _MOST_HELD else len(held)
