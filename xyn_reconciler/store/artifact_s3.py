"""The bytes of artifacts in a bucket of S3, or of what speaks as it does (``artifacts.s3``).

One object each, ``<prefix>/<node>/<sha256>``: a node's folder is its own, so that no
node takes out what another has. Imported only where the setting is made: obstore is
the extra ``s3``.

The trap: what S3 has acknowledged is durable, so nothing is quick here.
"""

import io
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.exceptions import NotFoundError as NoObjectError
from obstore.store import S3Store

from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.store.artifact_shelf import ShelfAwayError, is_digest

if TYPE_CHECKING:
    from obstore.store import S3Config

PART: Final = 8 * 1024 * 1024
"""Larger ones go up, and are read, in parts of this size."""
_TRIES: Final = 3
_SECONDS: Final = timedelta(seconds=60)


class S3Shelf:
    """Safe to share among threads; any call may raise ``ShelfAwayError``."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        node_id: str,
        secret: Callable[[str], str | None],
    ) -> None:
        """``settings`` are ``artifacts.s3`` of ``node.yaml``; ``secret`` resolves references."""
        bucket, endpoint = settings["bucket"], settings.get("endpoint")
        folder = "/".join(filter(None, [settings.get("prefix", "").strip("/"), node_id]))
        self._where = f"s3://{bucket}/{folder}"
        config: S3Config = {
            "region": settings.get("region", "us-east-1"),
            # What comes in other than it was sent is refused there.
            "checksum_algorithm": "SHA256",
        }
        if endpoint is not None:
            config |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        if (key := settings.get("key_ref")) is not None:
            config["access_key_id"] = self._known(key, secret(key))
        if (key := settings.get("secret_ref")) is not None:
            config["secret_access_key"] = self._known(key, secret(key))
        self._store = S3Store(
            bucket,
            prefix=folder,
            config=config,
            client_options={
                "timeout": _SECONDS,
                "connect_timeout": timedelta(seconds=5),
                "allow_http": str(endpoint).startswith("http://"),
            },
            retry_config={"max_retries": _TRIES, "retry_timeout": _SECONDS},
        )

    def keep(self, unfinished: Path, sha256: str) -> None:
        """Put it once, a large one in parts; equal bytes are there already."""
        if unfinished.stat().st_size <= PART:
            self.keep_quickly(unfinished.read_bytes(), sha256)
            return
        if not self.exists(sha256):
            # Parts know no "only if there is none": two at once write the same bytes.
            with self._asking():
                obstore.put(self._store, sha256, unfinished, chunk_size=PART, max_concurrency=4)

    def keep_quickly(self, content: bytes, sha256: str) -> None:
        with self._asking():
            try:
                obstore.put(self._store, sha256, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return

    def open(self, sha256: str) -> BinaryIO:
        self._check(sha256)
        with self._asking(sha256):
            length = obstore.head(self._store, sha256)["size"]
        raw = _Object(self._read, sha256, length)
        return cast("BinaryIO", io.BufferedReader(raw, PART))

    def exists(self, sha256: str) -> bool:
        return self.state(sha256) is not None

    def state(self, sha256: str) -> Hashable:
        self._check(sha256)
        with self._asking():
            try:
                found = obstore.head(self._store, sha256)
            except (NoObjectError, FileNotFoundError):
                return None
        return found["e_tag"], found["last_modified"], found["size"]

    def remove(self, sha256: str) -> None:
        self._check(sha256)
        with self._asking():
            try:
                obstore.delete(self._store, sha256)
            except (NoObjectError, FileNotFoundError):
                return

    def contents(self) -> Iterator[tuple[str, int]]:
        with self._asking():
            for part in obstore.list(self._store):
                for found in part:
                    name = found["path"].rpartition("/")[2]
                    if is_digest(name):
                        yield name, found["size"]

    def _read(self, sha256: str, start: int, length: int) -> bytes:
        with self._asking(sha256):
            return bytes(obstore.get_range(self._store, sha256, start=start, length=length))

    def _known(self, reference: str, value: str | None) -> str:
        if value is None:
            raise ShelfAwayError(f"{self._where} cannot be opened: there is no secret {reference}")
        return value

    @contextmanager
    def _asking(self, sha256: str | None = None) -> Iterator[None]:
        try:
            yield
        except (NoObjectError, FileNotFoundError) as error:
            if sha256 is not None:
                raise NotFoundError(f"the bytes {sha256} are not in {self._where}") from error
            raise ShelfAwayError(f"{self._where} is not there") from error
        except (BaseError, OSError) as error:
            raise ShelfAwayError(f"{self._where} does not answer: {_first_line(error)}") from error

    @staticmethod
    def _check(sha256: str) -> None:
        if not is_digest(sha256):
            raise NotFoundError("an artifact's bytes are named by 64 lower-case hex digits")


class _Object(io.RawIOBase):
    """An object as a file that can be read from anywhere in it."""

    def __init__(self, read: Callable[[str, int, int], bytes], sha256: str, length: int) -> None:
        self._read_range = read
        self._sha256 = sha256
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what io calls a WriteableBuffer
        length = min(len(buffer), self._length - self._at)
        if length <= 0:
            return 0
        part = self._read_range(self._sha256, self._at, length)
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def _first_line(error: Exception) -> str:
    # The rest is how the library came there.
    return str(error).partition("\n")[0][:300]
