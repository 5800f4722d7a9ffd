"""What a provider's refusal means for the attempt: try again, when, or not at all.

Pure. Both SDKs raise alike; what they carry is read here.
"""

import datetime as dt
import email.utils
from collections.abc import Mapping
from typing import Final

from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

LONGEST_DELAY: Final = dt.timedelta(hours=1)
_EXCERPT: Final = 2000
_WORTH_ANOTHER: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 that tell of the moment, not of the request (both APIs' own retries)."""


def of_status(status: int, headers: Mapping[str, str], body: str, *, now: dt.datetime) -> StepError:
    """Give the error for an answer that is none; ``headers`` by names in any case."""
    named = {name.lower(): value for name, value in headers.items()}
    message = f"the provider answered {status}: {body[:_EXCERPT]}"
    details = {"status": status, "request_id": named.get("x-request-id") or named.get("request-id")}
    if status in _WORTH_ANOTHER or status >= 500:  # noqa: PLR2004 - RFC 9110, server errors
        code = "rate_limited" if status == 429 else "provider_error"  # noqa: PLR2004 - RFC 6585
        return TemporaryError(code, message, delay=retry_after(named, now), details=details)
    code = "auth_failed" if status in {401, 403} else "provider_refused"
    return PermanentError(code, message, details=details)


def retry_after(headers: Mapping[str, str], now: dt.datetime) -> dt.timedelta | None:
    """Read ``Retry-After``, seconds or a date (RFC 9110, 10.2.3); at most an hour.

    OpenAI's ``retry-after-ms`` is more exact and comes first. ``None`` for anything else.
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _is_number(milliseconds):
        return min(dt.timedelta(milliseconds=int(milliseconds[:12])), LONGEST_DELAY)
    value = headers.get("retry-after", "").strip()
    if _is_number(value):
        return min(dt.timedelta(seconds=int(value[:9])), LONGEST_DELAY)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return max(dt.timedelta(), min(until - now, LONGEST_DELAY))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def of_connection(error: BaseException) -> StepError:
    """Give the error for a request that got no answer: our own network's word where it said one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StepError):
            return cause
        cause = cause.__cause__
    return TemporaryError("connection", f"the provider cannot be reached: {error}")
