import hashlib
import os
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest

from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.store.artifacts import ArtifactStore, DamagedError, TooLargeError

HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore(tmp_path / "artifacts")
    store.prepare()
    return store


def files(store: ArtifactStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"hello", BytesIO(b"hello")], ids=["bytes", "stream"])
def test_bytes_lie_under_their_digest(store: ArtifactStore, content: bytes | BytesIO) -> None:
    assert store.put(content, limit=5) == (HELLO, 5)

    assert files(store) == [store.root / HELLO[:2] / HELLO]
    with store.open(HELLO, verify=True) as file:
        assert file.read() == b"hello"
    assert store.exists(HELLO)


def test_nothing_at_all_is_content_too(store: ArtifactStore) -> None:
    digest, length = store.put(b"", limit=0)

    assert length == 0
    with store.open(digest) as file:
        assert file.read() == b""


def test_equal_bytes_are_kept_once_also_when_many_put_them_at_once(store: ArtifactStore) -> None:
    content = os.urandom(300_000)
    putting = [
        threading.Thread(target=store.put, args=(content,), kwargs={"limit": 10**6})
        for _ in range(8)
    ]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join()

    assert [path.read_bytes() for path in files(store)] == [content]


@pytest.mark.parametrize("content", [b"hello!", BytesIO(b"hello!" * 10**6)])
def test_one_byte_too_many_is_refused_and_nothing_is_left(
    store: ArtifactStore, content: bytes | BytesIO
) -> None:
    with pytest.raises(TooLargeError, match="at most 5 bytes") as caught:
        store.put(content, limit=5)

    assert caught.value.code == "too_large"
    assert files(store) == []


def test_an_endless_stream_is_left_soon_after_the_limit(store: ArtifactStore) -> None:
    class Endless(BytesIO):
        given = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.given += size or 0
            return b"x" * (size or 0)

    stream = Endless()
    with pytest.raises(TooLargeError):
        store.put(stream, limit=3_000_000)

    assert stream.given < 6_000_000


@pytest.mark.parametrize("name", ["0" * 64, "../../etc/passwd", HELLO.upper(), "", HELLO + "\n"])
def test_what_is_not_there_is_not_found(store: ArtifactStore, name: str) -> None:
    store.put(b"hello", limit=5)

    with pytest.raises(NotFoundError):
        store.open(name)


def test_bytes_that_changed_on_disk_are_noticed_when_asked(store: ArtifactStore) -> None:
    store.put(b"hello", limit=5)
    store.path(HELLO).write_bytes(b"hallo")

    with pytest.raises(DamagedError, match=HELLO):
        store.open(HELLO, verify=True)


def test_what_a_killed_writer_left_goes_at_the_next_start_but_not_what_is_being_written(
    store: ArtifactStore,
) -> None:
    left, fresh = store.root / "tmp" / "left", store.root / "tmp" / "fresh"
    left.write_bytes(b"half")
    fresh.write_bytes(b"half")
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))

    store.prepare()

    assert files(store) == [fresh]


def test_nobody_else_may_look_in(store: ArtifactStore) -> None:
    store.put(b"hello", limit=5)

    assert store.root.stat().st_mode & 0o077 == 0
    assert store.path(HELLO).stat().st_mode & 0o077 == 0
