"""A network that brings no more of an answer than a worker can hold. Imported with httpx2."""

from collections.abc import Iterator
from typing import Final, cast

import httpx2

from xyn_reconciler.model.errors import PermanentError

MAX_ANSWER: Final = 16_000_000
"""Bytes of one answer as it comes: the longest of today's models, each token an event."""


class Bounded(httpx2.BaseTransport):
    """Another transport, up to a number of bytes of each answer."""

    def __init__(self, inner: httpx2.BaseTransport, most: int = MAX_ANSWER) -> None:
        self._inner = inner
        self._most = most

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        body = cast("httpx2.SyncByteStream", response.stream)  # of a client that is not async
        response.stream = _Counted(body, self._most)
        return response

    def close(self) -> None:
        self._inner.close()


class _Counted(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, most: int) -> None:
        self._inner = inner
        self._left = most

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise PermanentError("too_large", "the provider's answer does not end")
            yield chunk

    def close(self) -> None:
        self._inner.close()
