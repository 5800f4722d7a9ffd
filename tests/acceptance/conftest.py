"""Nodes for the acceptance tests: one with the demo for all of a process, others made to order."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import Node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that has shown its demo; tests share it and leave it running."""
    found = Node(tmp_path_factory.mktemp("node") / "home").start("--demo")
    yield found
    assert found.stop() == 0


@pytest.fixture(scope="module")
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node for the tests of one file, which may change how it is set up."""
    found = Node(tmp_path_factory.mktemp("own") / "home").start()
    yield found
    assert found.stop() == 0


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Make nodes of the test's own; whatever still runs at its end is stopped."""
    made: list[Node] = []

    def make(name: str = "home", **environment: str) -> Node:
        made.append(Node(tmp_path / name, environment=environment))
        return made[-1]

    yield make
    for each in made:
        if each.process is not None:
            each.stop()
