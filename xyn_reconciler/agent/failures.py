"""What a provider's refusal means for the attempt: try again, when, or not at all.

Pure. Both SDKs raise alike; what they carry is read here, in full: whoever keeps it cuts it.
"""

import datetime as dt
import email.utils
from collections.abc import Mapping
from typing import Final

from xyn_reconciler.model.errors import PermanentError, StepError, TemporaryError

LONGEST_DELAY: Final = dt.timedelta(hours=1)
_WORTH_ANOTHER: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 that tell of the moment, not of the request (both APIs' own retries)."""
_OF_THE_REQUEST: Final = frozenset(
    {"invalid_request_error", "authentication_error", "permission_error", "not_found_error"}
    | {"request_too_large", "context_length_exceeded"}
)
"""Errors told in a stream that began well, which another try would meet again."""


def of_status(status: int, headers: Mapping[str, str], body: str, *, now: dt.datetime) -> StepError:
    """Give the error for an answer that is none; ``headers`` by names in any case."""
    named = {name.lower(): value for name, value in headers.items()}
    message = f"the provider answered {status}: {body}"
    details = {"status": status, "request_id": named.get("x-request-id") or named.get("request-id")}
    if status in _WORTH_ANOTHER or status >= 500:  # noqa: PLR2004 - RFC 9110, server errors
        code = "rate_limited" if status == 429 else "provider_error"  # noqa: PLR2004 - RFC 6585
        return TemporaryError(code, message, delay=retry_after(named, now), details=details)
    code = "auth_failed" if status in {401, 403} else "provider_refused"
    return PermanentError(code, message, details=details)


def of_stream(kind: str | None, message: str) -> StepError:
    """Give the error that a stream told of after it had begun; ``kind`` as the provider has it."""
    words = f"the provider failed in its answer ({kind}): {message}"
    if kind in _OF_THE_REQUEST:
        return PermanentError("provider_refused", words)
    return TemporaryError("provider_error", words)


def unreadable(error: Exception) -> StepError:
    """Give the error for an answer that is not what the API promises."""
    return TemporaryError("provider_error", f"the answer cannot be read: {error}")


def broken_off() -> StepError:
    """Give the error for a stream that ended before its last event."""
    return TemporaryError("connection", "the provider broke off before its answer was whole")


def no_stream(content_type: str, beginning: str) -> StepError:
    """Give the error for what came in place of a stream: a page, an error with status 200."""
    message = f"what came is no stream of events ({content_type}): {beginning}"
    return TemporaryError("provider_error", message)


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
    except (ValueError, OverflowError):
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
