"""Bytes of artifacts that only the node has which this home was cloned from."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

import httpx2

from xyn_reconciler.model.errors import NotFoundError, UnavailableError

_GIT_PATH: Final = "/git/state.git"
_CONNECT_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 60.0
_CHUNK: Final = 1024 * 1024
_AWAY: Final = frozenset({404, 410})


def bytes_of(origin: str) -> Callable[[str], AbstractContextManager[BinaryIO]] | None:
    """Give what opens the bytes of a sha256 at an origin; ``None`` where that is no node.

    Name and token in the address are brought along, as git does.
    """
    parts = urlsplit(origin)
    if parts.scheme not in {"http", "https"} or not parts.path.endswith(_GIT_PATH):
        return None
    host = parts.netloc.rpartition("@")[2]
    base = f"{parts.scheme}://{host}{parts.path.removesuffix(_GIT_PATH)}"
    known = parts.username is not None or parts.password is not None
    auth = (unquote(parts.username or ""), unquote(parts.password or "")) if known else None

    @contextmanager
    def opened(sha256: str) -> Iterator[BinaryIO]:
        url = f"{base}/api/v1/artifacts/by-sha256/{sha256}"
        timeout = httpx2.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS)
        try:
            with (
                httpx2.Client(auth=auth, timeout=timeout, trust_env=False) as client,
                client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
            ):
                _refuse(answer.status_code, base, sha256)
                yield cast("BinaryIO", io.BufferedReader(_Body(answer.iter_bytes(_CHUNK)), _CHUNK))
        except httpx2.HTTPError as error:
            raise UnavailableError(
                f"the bytes {sha256} are at the origin {base}, which does not answer: {error}"
            ) from error

    return opened


def _refuse(status: int, base: str, sha256: str) -> None:
    if status in _AWAY:
        raise NotFoundError(f"the bytes {sha256} are neither here nor at the origin {base}")
    if status != httpx2.codes.OK:
        raise UnavailableError(
            f"the bytes {sha256} are at the origin {base}, which answers {status}: what this home"
            " was cloned from has to name somebody who may read records (http://ID:TOKEN@HOST)"
        )


class _Body(io.RawIOBase):
    """The chunks of an answer as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what io calls a WriteableBuffer
        if not self._left:
            self._left = next(self._chunks, b"")
        part = self._left[: len(buffer)]
        buffer[: len(part)] = part
        self._left = self._left[len(part) :]
        return len(part)
