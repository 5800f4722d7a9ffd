"""Fixtures that every test may ask for: a real Postgres, a real repository, an empty home.

One embedded server serves a test process (each worker of pytest-xdist has its
own: it starts in a second). With ``DATABASE_URL`` set, databases are made on
that server instead. A migrated template is copied for each test that asks.
"""

import io
import json
import logging
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql
from sqlalchemy import make_url
from xdist.scheduler import LoadScopeScheduling

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.log import JsonFormatter
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.embedded_postgres import EmbeddedPostgres
from xyn_reconciler.store.migrate import migrate

if TYPE_CHECKING:
    from tests.acceptance.docker_engine import Engine
    from xyn_reconciler.store.git import Repository


# A deadline of an example would measure the machine, not the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

COPY: Final = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
"""Files are copied as they are: a fifth of what it costs to write every page to the log too."""

ON_THE_ENGINE: Final = (
    "test_canaries_of_steps.py",
    "test_compose.py",
    "test_container_exec.py",
    "test_hands_out.py",
    "test_managed_app.py",
    "test_managed_apps.py",
    "test_night_shift.py",
    "test_pack_container.py",
    "test_tutorials.py",
)
"""What asks for ``shared_engine``; a file that is missing here waits for another worker's end."""

# Started in the background of a shell, it would hand on to every child that Ctrl-C means nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Turns(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """Give each worker a whole file at a time, and what shares the Docker engine to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "engine" if file.endswith(ON_THE_ENGINE) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Turns:
    # In the order of their names, which ends with the many quick ones: no worker waits for another.
    config.option.loadscopereorder = False
    return Turns(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What one worker alone does is begun first.
    items.sort(key=lambda item: not item.path.name.endswith(ON_THE_ENGINE))


@pytest.fixture(scope="session")
def shared_engine() -> "Iterator[Engine]":
    """The machine's Docker engine, or one for all tests of this process."""
    from tests.acceptance.docker_engine import docker_engine  # noqa: PLC0415 - few tests need one

    with docker_engine() as found:
        yield found


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The maintenance database of a server on which this process may make databases."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    home = tmp_path_factory.mktemp("server")
    # What is thrown away at the end need not survive a power cut.
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
    with EmbeddedPostgres(home / "postgres", home / "run", settings=settings) as server:
        yield server.url


@pytest.fixture(scope="session")
def template_database(server_url: str) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    name = f"xyn_template_{uuid.uuid4().hex}"
    _run(server_url, "CREATE DATABASE {}", name)
    with Database(_url(server_url, name)) as database:
        migrate(database)
    yield name
    _run(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database_url(server_url: str, template_database: str) -> Iterator[str]:
    """The URL of a fresh, migrated database, dropped afterwards."""
    name = f"xyn_test_{uuid.uuid4().hex}"
    _run(server_url, COPY, name, template_database)
    yield _url(server_url, name)
    _run(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database; the same one that ``database_url`` names."""
    with Database(database_url) as database:
        yield database


@pytest.fixture(scope="session")
def shared_database(server_url: str, template_database: str) -> Iterator[Database]:
    """A migrated database for tests that leave nothing behind: ask for ``connection``."""
    name = f"xyn_shared_{uuid.uuid4().hex}"
    _run(server_url, COPY, name, template_database)
    with Database(_url(server_url, name)) as database:
        yield database
    _run(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def connection(shared_database: Database) -> Iterator[Connection]:
    """A connection to a migrated database whose transaction is rolled back at the end."""
    with shared_database.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for one node, as ``xynctl init`` would find it: empty, its owner's alone."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> "Repository":
    """A new, empty, bare state repository."""
    from xyn_reconciler.store.git import Repository  # noqa: PLC0415 - most tests need no Git

    return Repository.create(tmp_path / "state.git")


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives what was written to the log since the test began, a JSON object a line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("test", Redactor()))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.setLevel(level)
    root.removeHandler(handler)


def _url(server_url: str, name: str) -> str:
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def _run(server_url: str, statement: LiteralString, *names: str) -> None:
    with psycopg.connect(Database(server_url).conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
