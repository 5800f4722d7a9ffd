"""A network that brings no more of an answer than a worker can hold. Imported with httpx2.

The trap: a few kilobytes of gzip hold gigabytes. Answers are asked for as they are, and
taken in no other way.
"""

from collections.abc import Iterator
from typing import Final, cast

import httpx2

from xyn_reconciler.model.errors import PermanentError, TemporaryError

MAX_ANSWER: Final = 16_000_000
"""Bytes of one answer as it comes, where few tokens are asked for."""

_A_TOKEN: Final = 1000
"""Bytes of the event that brings one."""

BEGINNING: Final = "beginning"
"""The extension of a response that holds how its body began, for who can make nothing of it."""

_SHOWN: Final = 8000
"""Bytes of it: more than is told, so that no secret in what is told is cut in half."""


def room(tokens: int) -> int:
    """How many bytes an answer of so many tokens may be."""
    return max(MAX_ANSWER, tokens * _A_TOKEN)


class Bounded(httpx2.BaseTransport):
    """Another transport, up to a number of bytes of each answer."""

    def __init__(self, inner: httpx2.BaseTransport, most: int = MAX_ANSWER) -> None:
        self._inner = inner
        self._most = most

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        response = self._inner.handle_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            response.close()
            raise TemporaryError("provider_error", "the answer is packed, which was not asked for")
        body = cast("httpx2.SyncByteStream", response.stream)  # of a client that is not async
        response.stream = counted = _Counted(body, self._most)
        response.extensions = {**response.extensions, BEGINNING: counted.beginning}
        return response

    def close(self) -> None:
        self._inner.close()


class _Counted(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, most: int) -> None:
        self._inner = inner
        self._left = most
        self.beginning = bytearray()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise PermanentError("too_large", "the provider's answer does not end")
            self.beginning += chunk[: _SHOWN - len(self.beginning)]
            yield chunk

    def close(self) -> None:
        self._inner.close()
