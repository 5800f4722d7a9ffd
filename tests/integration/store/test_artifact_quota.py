"""All artifacts together are no more than the node allows (seed 38.1)."""

from io import BytesIO
from pathlib import Path

import pytest

from xyn_reconciler.store.artifact_room import ArtifactRoom, QuotaExceededError
from xyn_reconciler.store.artifacts import ArtifactStore, TooLargeError


class Counted:
    """What is stored as rows would say it, and how often somebody asked."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self.stored = 0
        self.counts = 0

    def count(self) -> int:
        self.counts += 1
        return self.stored

    def room(self) -> ArtifactRoom:
        return ArtifactRoom(quota=lambda: self.quota, stored=self.count)


def store_with(path: Path, counted: Counted) -> ArtifactStore:
    store = ArtifactStore(path, room=counted.room())
    store.prepare()
    return store


def test_what_fits_exactly_is_kept_and_a_byte_more_is_not(tmp_path: Path) -> None:
    store = store_with(tmp_path, Counted(10))

    digest, length = store.put(BytesIO(bytes(10)), limit=100)

    assert length == 10
    assert store.exists(digest)
    with pytest.raises(QuotaExceededError, match="artifact_quota"):
        store.put(b"x" * 11, limit=100)
    with pytest.raises(TooLargeError):
        store.put(b"x" * 11, limit=5)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_bytes_that_are_there_already_need_no_room(tmp_path: Path) -> None:
    counted = Counted(10)
    store = store_with(tmp_path, counted)
    first = store.put(bytes(10), limit=100)
    counted.stored = 10

    assert store.put(bytes(10), limit=100) == first
    with pytest.raises(QuotaExceededError):
        store.put(b"x", limit=100)


def test_the_log_of_a_run_is_kept_also_when_there_is_no_room(tmp_path: Path) -> None:
    store = store_with(tmp_path, Counted(0))

    digest, _ = store.put(b"what happened", limit=100, durable=False)

    assert store.exists(digest)
    with pytest.raises(QuotaExceededError):
        store.put(b"x", limit=100)


@pytest.mark.parametrize("logs", [0, 7])
def test_a_store_fills_to_the_byte_and_is_seldom_counted(logs: int) -> None:
    counted = Counted(100_000)
    room = counted.room()

    def keep_on() -> None:
        while True:
            room.take(10)
            room.note(logs)
            counted.stored += 10 + logs

    with pytest.raises(QuotaExceededError):
        keep_on()

    assert counted.stored - logs <= 100_000 < counted.stored + 10
    assert counted.counts < counted.stored / (10 + logs) / 20


def test_ten_processes_together_do_not_get_past_the_quota() -> None:
    counted = Counted(100_000)
    rooms, full = [counted.room() for _ in range(10)], set[int]()

    while len(full) < len(rooms):
        for number, room in enumerate(rooms):
            try:
                room.take(100)
            except QuotaExceededError:
                full.add(number)
            else:
                counted.stored += 100

    assert counted.stored == 100_000


def test_a_quota_that_was_lowered_or_raised_counts_at_once() -> None:
    counted = Counted(1000)
    room = counted.room()
    room.take(10)
    counted.stored = 10

    counted.quota = 15
    with pytest.raises(QuotaExceededError, match="room for 5 more bytes"):
        room.take(6)
    counted.quota = 16
    room.take(6)
