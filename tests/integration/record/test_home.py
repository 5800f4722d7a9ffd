import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.integration.record.record_world import World
from xyn_reconciler.model.errors import ConflictError
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.prepare import prepare, primary_id
from xyn_reconciler.node.rebuild import rebuild
from xyn_reconciler.store import desired, outbox
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository


def prepared(path: Path, database: Database) -> tuple[Home, list[str]]:
    home, said = Home(path), list[str]()
    home.create()
    prepare(home, database, "node", say=said.append)
    return home, said


def test_a_first_start_makes_the_repository_and_takes_the_id_of_node_yaml(
    tmp_path: Path, database: Database
) -> None:
    home, said = prepared(tmp_path / "home", database)

    assert home.node_id() == primary_id(Repository.open(home.repository)) == "seed"
    assert any("made from the template" in line for line in said)


def test_a_database_of_another_node_is_refused(tmp_path: Path, database: Database) -> None:
    with database.begin() as connection:
        desired.ensure_node(connection, "other")
    home = Home(tmp_path / "home")
    home.create()
    home.set_node_id("seed")

    with pytest.raises(ConflictError, match="belongs to node other"):
        prepare(home, database, "node", say=lambda _: None)


def test_rebuild_drains_first_and_says_what_it_did(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    home, _ = prepared(tmp_path / "home", database)
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO events (event_id, event_name, occurred_at, created_at, env_id, actor,"
                " correlation_id, data, source) VALUES (gen_random_uuid(), 'a.b', now(), now(),"
                " 'local', 'ada', 'c', '{}', 'api')"
            )
        )
        found = connection.execute(text("SELECT event_id FROM events")).scalars()
        outbox.put(connection, "event", list(found), dt.datetime.now(dt.UTC))
        waited = outbox.backlog(connection)[0]
    said: list[str] = []

    done = rebuild(home, {"DATABASE_URL": database_url}, say=said.append)

    with database.connect() as connection:
        waiting = outbox.backlog(connection)[0]
        marks = connection.execute(text("SELECT record_commit IS NOT NULL FROM events")).all()
        rebuilt = connection.execute(text("SELECT rebuilt_at IS NOT NULL FROM node")).all()
    assert (done.events, done.runs, waiting) == (1, 0, 0)
    assert marks == rebuilt == [(True,)]
    assert f"records: {waited} that waited are in Git now" in said
    assert "rebuilding: 1 events, 0 runs" in said


def test_rebuild_is_refused_while_a_node_runs_in_the_home(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    home, _ = prepared(tmp_path / "home", database)

    with home.lock(), pytest.raises(ConflictError) as refused:
        rebuild(home, {"DATABASE_URL": database_url}, say=lambda _: None)

    assert refused.value.exit_code == 4


def test_a_start_on_an_empty_database_makes_the_index_anew(
    tmp_path: Path, database: Database, new_database: Callable[[], Database]
) -> None:
    home, _ = prepared(tmp_path / "home", database)
    repository = Repository.open(home.repository)
    world = World(database, repository, tmp_path, "seed")
    world.reconciler.reconcile()
    world.committer.drain()
    before = world.digests()

    fresh = new_database()
    _, said = prepared(tmp_path / "home", fresh)

    world.database = fresh
    assert world.digests() == before
    assert any("the index was made anew from Git" in line for line in said)
