"""Listen to an answer as it comes, whichever SDK brings it; tell why where it does not come whole.

The trap: an SDK takes the end of a connection for the end of an answer. Whether it was
whole, only the listener knows, by the events that it was given.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import httpx2

from xyn_reconciler.agent.failures import (
    broken_off,
    of_connection,
    of_status,
    of_stream,
    unreadable,
)
from xyn_reconciler.model.errors import StepError


class Listener(Protocol):
    """Takes in the events of one stream."""

    @property
    def whole(self) -> bool:
        """Whether the answer is all there."""
        ...

    @property
    def done(self) -> bool:
        """Whether nothing is to come that anybody needs."""
        ...

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in one event, as JSON."""
        ...


Events = AbstractContextManager[Iterable[Any]]
"""A stream of an SDK: models of its events, closed with the context."""


def listen(sdk: Any, begin: Callable[[], Events], listener: Listener) -> StepError | None:  # noqa: ANN401 - a module
    """Hand over the events until the listener has enough; say why it has not got it."""
    try:
        with begin() as events:
            for event in events:
                listener.take(event.model_dump(mode="json", warnings=False))
                if listener.done:
                    break
    except (
        StepError,
        sdk.APIError,
        httpx2.HTTPError,
        # What strangers send may be of any shape, and SDKs believe in theirs.
        *(ValueError, TypeError, AttributeError, KeyError, RuntimeError),
    ) as error:
        return None if listener.whole else _failure(sdk, error)
    return None if listener.whole else broken_off()


def _failure(sdk: Any, error: Exception) -> StepError:  # noqa: ANN401 - a module
    if isinstance(error, StepError):
        return error
    if isinstance(error, (sdk.APIConnectionError, httpx2.HTTPError)):
        return of_connection(error)
    if isinstance(error, sdk.APIStatusError) and not error.response.is_success:
        now = dt.datetime.now(dt.UTC)
        return of_status(error.status_code, error.response.headers, error.message, now=now)
    if isinstance(error, sdk.APIError):
        told: Mapping[str, Any] = error.body if isinstance(error.body, Mapping) else {}
        inner = told.get("error")
        told = inner if isinstance(inner, Mapping) else told
        return of_stream(told.get("type") or told.get("code"), error.message)
    return unreadable(error)
