"""The ids that belong to whatever is logged now: a correlation, a run, a step (seed 32.2).

Bound where a request, an event or an attempt begins; the log's formatter reads
them. The trap: a new thread begins without any, and binds its own.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_bound: Final[ContextVar[Mapping[str, object]]] = ContextVar("bound", default=MappingProxyType({}))


def bound() -> Mapping[str, object]:
    """Give what is bound here, by name; each is written as its text."""
    return _bound.get()


def bind(**ids: object) -> None:
    """Bind these ids alone, for whatever this thread logs until others are bound."""
    _bound.set(ids)


@contextlib.contextmanager
def correlate(**ids: object) -> Iterator[None]:
    """Bind ids for whatever is logged inside, beside those that are bound already."""
    token = _bound.set({**_bound.get(), **ids})
    try:
        yield
    finally:
        _bound.reset(token)
