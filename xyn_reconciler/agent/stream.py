"""Listen to an answer as it comes, whichever SDK brings it; tell why where it does not come whole.

The trap: an SDK takes the end of a connection for the end of an answer. Whether it was
whole, only the listener knows, by the events that it was given.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import httpx2

from xyn_reconciler.agent.bounded import BEGINNING
from xyn_reconciler.agent.failures import (
    broken_off,
    no_stream,
    of_connection,
    of_status,
    of_stream,
    unreadable,
)
from xyn_reconciler.agent.question import Answer
from xyn_reconciler.model.errors import StepError

_SHAPES: Final = (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError)
"""What strangers send may be of any shape, and SDKs believe in theirs."""


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

    def answer(self, failure: StepError | None) -> Answer:
        """Give what has come, and why there is no more of it."""
        ...


def text_of(piece: object) -> str:
    """Give a piece of text that an event brings; ``TypeError`` where it is of another kind."""
    if piece is None or isinstance(piece, str):
        return piece or ""
    raise TypeError(f"a piece of text is of the kind {type(piece).__name__}")


class Stream(Protocol):
    """A stream of an SDK: models of its events."""

    response: httpx2.Response

    def __iter__(self) -> Iterator[Any]: ...


Events = AbstractContextManager[Stream]


def listen(sdk: Any, begin: Callable[[], Events], listener: Listener) -> Answer:  # noqa: ANN401 - a module
    """Hand over the events until the listener has enough; give what it has, or why it has not."""
    try:
        failure = _listen(begin, listener)
    except (StepError, sdk.APIError, httpx2.HTTPError, *_SHAPES) as error:
        failure = _failure(sdk, error)
    try:
        return listener.answer(None if listener.whole else failure)
    except _SHAPES as error:
        return Answer(text="", raw=b"", usage=None, failure=unreadable(error))


def _listen(begin: Callable[[], Events], listener: Listener) -> StepError:
    """Give why the answer is not whole, if it is not."""
    began = False
    with begin() as events:
        for event in events:
            began = True
            listener.take(event.model_dump(mode="json", warnings=False))
            if listener.done:
                break
    beginning = bytes(events.response.extensions[BEGINNING])
    if began or not beginning:
        return broken_off()
    kind = events.response.headers.get("content-type", "of no content-type")
    return no_stream(kind, beginning.decode(errors="replace"))


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
