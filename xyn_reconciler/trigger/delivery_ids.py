"""Delivery ids of senders, made to fit an index entry, and still the same for a repeat."""

import hashlib
from typing import Final

MAX_LENGTH: Final = 400


def fitted(text: str) -> str:
    """Give short printable text as it is, anything else as ``sha256:`` and its digest."""
    if len(text) <= MAX_LENGTH and text.isprintable():
        return text
    return digest(text)


def digest(text: str) -> str:
    """Give what stands for an id that cannot be kept as it is."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
