"""Artifacts in a bucket. ``moto_server`` is a simulator and no S3: it answers as S3 documents."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx2
import pytest

from tests.moto import SIGNED, s3_with
from tests.running import PLAIN, free_port
from xyn_reconciler.model.errors import NotFoundError
from xyn_reconciler.store.artifact_shelf import ShelfAwayError
from xyn_reconciler.store.artifacts import ArtifactStore, DamagedError, TooLargeError

LARGE = bytes(range(256)) * 80_000
"""Of three parts."""
HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_with("artifacts") as url:
        yield url


def in_bucket(endpoint: str, folder: Path, *, node: str = "seed", **more: str) -> ArtifactStore:
    from xyn_reconciler.store.artifact_s3 import S3Shelf  # noqa: PLC0415 - the extra s3

    settings = {
        "bucket": "artifacts",
        "prefix": folder.name,
        "endpoint": endpoint,
        "key_ref": "env/KEY",
        "secret_ref": "env/SECRET",
    }
    secrets = {"env/KEY": "k", "env/SECRET": "s"}
    shelf = S3Shelf(settings | more, node_id=node, secret=secrets.get)
    return ArtifactStore(folder / "artifacts", elsewhere=lambda: shelf)


@pytest.fixture
def store(endpoint: str, tmp_path: Path) -> ArtifactStore:
    return in_bucket(endpoint, tmp_path)


def test_bytes_are_in_the_bucket_and_not_in_the_home(store: ArtifactStore) -> None:
    assert store.put(BytesIO(b"hello"), limit=5) == (HELLO, 5)
    assert store.put(b"hello", limit=5) == (HELLO, 5), "and again"

    assert list(store.shelf.contents()) == [(HELLO, 5)]
    assert [path for path in store.root.rglob("*") if path.is_file()] == []
    with store.open(HELLO, verify=True) as file:
        assert file.read() == b"hello"
        assert file.seek(-4, 2) == 1
        assert file.read(2) == b"el"
    assert store.exists(HELLO)


def test_large_ones_go_up_and_come_back_in_parts(store: ArtifactStore) -> None:
    digest, length = store.put(BytesIO(LARGE), limit=10**8)

    assert (digest, length) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    with store.open(digest, verify=True) as file:
        assert file.read() == LARGE
        file.seek(9_000_000)
        assert file.read(10) == LARGE[9_000_000:9_000_010]


def test_a_log_is_in_the_bucket_and_nothing_at_all_is_content_too(store: ArtifactStore) -> None:
    digest, _ = store.keep_log(b"log", last=True)
    empty, _ = store.put(b"", limit=0)

    store.make_durable([digest, "0" * 64])

    assert {name for name, _ in store.shelf.contents()} == {digest, empty}
    assert not store.path(digest).exists()
    with store.open(empty, verify=True) as file:
        assert file.read() == b""


def test_what_a_run_said_before_it_waits_is_read_also_when_the_bucket_is_away(
    store: ArtifactStore, tmp_path: Path
) -> None:
    digest, _ = store.keep_log(b"before", last=False)

    with in_bucket(f"http://127.0.0.1:{free_port()}", tmp_path).open(digest) as file:
        assert file.read() == b"before"
    assert list(store.shelf.contents()) == [(digest, 6)]


def test_limits_hold_there_too(store: ArtifactStore) -> None:
    with pytest.raises(TooLargeError):
        store.put(BytesIO(b"hello!"), limit=5)

    assert list(store.shelf.contents()) == []


def test_what_was_changed_in_the_bucket_is_not_given_out(
    store: ArtifactStore, endpoint: str, tmp_path: Path
) -> None:
    store.put(b"hello", limit=5)
    store.open(HELLO, verify=True).close()
    httpx2.put(
        f"{endpoint}/artifacts/{tmp_path.name}/seed/{HELLO}",
        content=b"hallo",
        headers=SIGNED,
        **PLAIN,
    ).raise_for_status()

    with pytest.raises(DamagedError):
        store.open(HELLO, verify=True)


def test_what_is_not_there_is_not_found_and_removing_it_does_no_harm(store: ArtifactStore) -> None:
    store.put(b"hello", limit=5)

    store.remove(HELLO)
    store.remove(HELLO)

    assert not store.exists(HELLO)
    for name in (HELLO, "../../etc/passwd"):
        with pytest.raises(NotFoundError):
            store.open(name)


def test_many_that_put_the_same_at_once_keep_it_once(store: ArtifactStore) -> None:
    putting = [
        threading.Thread(target=store.put, args=(b"same",), kwargs={"limit": 10}) for _ in range(6)
    ]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join()

    assert len(list(store.shelf.contents())) == 1


def test_what_was_in_the_folder_before_is_read_there_and_goes_with_the_rest(
    store: ArtifactStore,
) -> None:
    ArtifactStore(store.root).put(b"hello", limit=5)
    other, _ = store.put(b"other", limit=5)

    with store.open(HELLO, verify=True) as file:
        assert file.read() == b"hello"
    assert {name for name, _ in store.contents()} == {HELLO, other}
    store.remove(HELLO)
    assert not store.exists(HELLO)


def test_two_nodes_in_one_bucket_do_not_see_each_others(endpoint: str, tmp_path: Path) -> None:
    """Or one would sweep what the other has."""
    one, other = (in_bucket(endpoint, tmp_path, node=node) for node in ("seed", "edge"))
    one.put(b"hello", limit=5)

    assert not other.exists(HELLO)
    assert list(other.shelf.contents()) == []


def test_a_bucket_that_is_away_or_missing_says_so(endpoint: str, tmp_path: Path) -> None:
    away = in_bucket(f"http://127.0.0.1:{free_port()}", tmp_path)
    missing = in_bucket(endpoint, tmp_path, bucket="nobodys")

    for store in (away, missing):
        with pytest.raises(ShelfAwayError, match="s3://"):
            store.put(b"hello", limit=5)
        log, _ = store.keep_log(b"how it ended", last=True)
        store.make_durable([log])
        with store.open(log, verify=True) as file:
            assert file.read() == b"how it ended"
    with pytest.raises(ShelfAwayError, match="there is no secret env/NONE"):
        in_bucket(endpoint, tmp_path, secret_ref="env/NONE")


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, xyn_reconciler.node.worker_process, xyn_reconciler.node.node_process\n"
        "print([name for name in sys.modules if name.startswith('obstore')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
