"""When a failed attempt is tried again. Pure: the jitter is an argument."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from xyn_reconciler.model.run import RetryPolicy

MOST_JITTER: Final = 0.25
"""A delay is lengthened by up to this part of it, so that a crowd does not return at once."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed; ``temporary`` after a connection error, 429, 5xx or timeout."""

    code: str
    message: str
    temporary: bool
    delay: dt.timedelta | None = None
    """The least wait that the other side asked for."""
    details: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return error if self.details is None else error | {"details": self.details}


def retry_at(
    policy: RetryPolicy, failure: Failure, failures: int, now: dt.datetime, jitter: float
) -> dt.datetime | None:
    """Give the moment of the next attempt, or ``None`` where there is none.

    ``failures`` counts this one too: an interruption is none (language,
    Semantics). ``jitter`` lies in [0, 1]. What the other side asked for
    (``Retry-After``) is kept even beyond ``max_delay``.
    """
    if failures >= policy.max_attempts or not _covers(policy, failure):
        return None
    # Beyond 2**32 the cap has long been reached; more would not fit into a float.
    factor = 2.0 ** min(failures - 1, 32) if policy.backoff == "exponential" else 1.0
    seconds = min(policy.delay * factor, policy.max_delay) * (1 + MOST_JITTER * jitter)
    delay = dt.timedelta(seconds=seconds)
    return now + (delay if failure.delay is None else max(delay, failure.delay))


def _covers(policy: RetryPolicy, failure: Failure) -> bool:
    if policy.on == "timeout":
        return failure.code == "timeout"
    return policy.on == "any" or failure.temporary
