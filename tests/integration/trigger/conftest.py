import pytest

from tests.trigger_world import World
from xyn_reconciler.store.database import Database


@pytest.fixture
def world(database: Database) -> World:
    """A node of its own."""
    return World(database)
