"""All artifacts together are no more than the node allows (seed 38.1)."""

from io import BytesIO
from pathlib import Path

import pytest

from xyn_reconciler.store.artifacts import ArtifactStore, QuotaExceededError, TooLargeError


def test_what_fits_exactly_is_kept_and_a_byte_more_is_not(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, room=lambda: 10)
    store.prepare()

    digest, length = store.put(BytesIO(bytes(10)), limit=100)

    assert length == 10
    assert store.exists(digest)
    with pytest.raises(QuotaExceededError, match="artifact_quota"):
        store.put(b"x" * 11, limit=100)
    with pytest.raises(TooLargeError):
        store.put(b"x" * 11, limit=5)


def test_the_log_of_a_run_is_kept_also_when_there_is_no_room(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, room=lambda: 0)
    store.prepare()

    digest, _ = store.put(b"what happened", limit=100, durable=False)

    assert store.exists(digest)
    with pytest.raises(QuotaExceededError):
        store.put(b"x", limit=100)
