import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.review.review_world import ReviewWorld
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository
from xyn_reconciler.store.push_hook import HookServer, hook_socket, install_hooks


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> ReviewWorld:
    """A node without loops or hooks: each test says when it looks."""
    return ReviewWorld(database, repository, tmp_path)


@pytest.fixture
def served(world: ReviewWorld, tmp_path: Path) -> Iterator[ReviewWorld]:
    """A node with both loops and its hooks."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    socket = hook_socket(run)
    install_hooks(world.repository, socket)
    stop = threading.Event()
    loops = [
        threading.Thread(target=loop, args=(stop,))
        for loop in (world.reconciler.run, world.reviews.run)
    ]
    for loop in loops:
        loop.start()
    try:
        with HookServer(socket, world.gate(), repository=world.repository):
            yield world
    finally:
        stop.set()
        for loop in loops:
            loop.join()
