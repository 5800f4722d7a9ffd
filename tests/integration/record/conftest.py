"""A node that records, and further databases for when the first is lost."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.conftest import COPY
from tests.integration.record.record_world import FILES, World
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository


@pytest.fixture
def new_database(server_url: str, template_database: str) -> Iterator[Callable[[], Database]]:
    """Make a fresh, migrated database; each is dropped afterwards."""
    with ExitStack() as stack:

        def make() -> Database:
            name = f"xyn_test_{uuid.uuid4().hex}"
            _run(server_url, COPY, name, template_database)
            stack.callback(_run, server_url, "DROP DATABASE {} WITH (FORCE)", name)
            url = make_url(server_url).set(database=name)
            return stack.enter_context(Database(url.render_as_string(hide_password=False)))

        yield make


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> World:
    """A node with two blueprints active."""
    world = World(database, repository, tmp_path)
    world.push(**FILES)
    return world


def _run(server_url: str, statement: str, *names: str) -> None:
    with psycopg.connect(Database(server_url).conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
