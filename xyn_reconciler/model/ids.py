"""Ids that sort in the order in which they were made."""

import random
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def new_id() -> uuid.UUID:
    """Give a UUID of version 7 (RFC 9562, section 6.2, method 3), greater than this process's last.

    48 bits of milliseconds and 12 of their fraction: events of one transaction
    carry one time, and their ids keep the order in which they happened.
    """
    global _last  # noqa: PLW0603 - one clock a process
    with _lock:
        _last = max(_last + 1, (time.time_ns() << 12) // 1_000_000)
        ticks = _last
    high = (ticks >> 12) << 16 | 0x7000 | (ticks & 0xFFF)
    # An id is no secret, and the system's own source costs a change of threads each time.
    low = 0b10 << 62 | random.getrandbits(62)
    return uuid.UUID(int=high << 64 | low)
