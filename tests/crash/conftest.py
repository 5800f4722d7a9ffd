from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.ledger import Effects, Ledger
from tests.running import Node


@pytest.fixture
def effects() -> Iterator[Effects]:
    server = Effects()
    yield server
    server.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """What is acknowledged by a node that the test starts; killed at the end."""
    node = Node(tmp_path / "home")
    yield Ledger(node)
    if node.process is not None:
        node.kill()
