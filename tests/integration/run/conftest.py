"""A worker on a real database, and a way to start blueprints without Git."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.run.engine_bench import Bench
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Iterator[Bench]:
    store = ArtifactStore(tmp_path / "artifacts")
    store.prepare()
    bench = Bench(database, store)
    yield bench
    for worker in bench.workers:
        worker.close()
