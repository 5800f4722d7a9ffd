"""What a provider's refusal means for the attempt."""

import datetime as dt

import pytest

from xyn_reconciler.agent.failures import of_connection, of_status, retry_after
from xyn_reconciler.model.errors import PermanentError, TemporaryError

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("status", "code", "temporary"),
    [
        (429, "rate_limited", True),
        (408, "provider_error", True),
        (500, "provider_error", True),
        (529, "provider_error", True),
        (400, "provider_refused", False),
        (404, "provider_refused", False),
        (401, "auth_failed", False),
        (403, "auth_failed", False),
        (307, "provider_refused", False),
    ],
)
def test_only_what_is_of_the_moment_is_worth_another_try(
    status: int, code: str, *, temporary: bool
) -> None:
    error = of_status(status, {}, "why", now=NOW)

    assert error.failure_code == code
    assert isinstance(error, TemporaryError if temporary else PermanentError)
    assert "why" in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "99999999"}, 3600.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1" * 5000}, 3600.0),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 +99999999999999"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    delay = retry_after(headers, NOW)

    assert (None if delay is None else delay.total_seconds()) == seconds


def test_the_headers_names_are_read_in_any_case() -> None:
    error = of_status(429, {"Retry-After": "3", "X-Request-Id": "r1"}, "", now=NOW)

    assert isinstance(error, TemporaryError)
    assert error.delay == dt.timedelta(seconds=3)
    assert error.details == {"status": 429, "request_id": "r1"}


def test_what_our_own_network_said_is_not_hidden_by_the_sdk() -> None:
    cancelled = PermanentError("cancelled", "the run was cancelled")
    try:
        try:
            raise cancelled
        except PermanentError as error:
            raise RuntimeError("Connection error.") from error
    except RuntimeError as error:
        found = of_connection(error)

    assert found is cancelled
    assert of_connection(OSError("gone")).failure_code == "connection"
