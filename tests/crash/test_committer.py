import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.record.record_world import FILES, World
from xyn_reconciler.model.audit import AuditEntry
from xyn_reconciler.record.audit import append_audit, link_of
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository

pytestmark = pytest.mark.crash

NewDatabase = Callable[[], Database]


@pytest.fixture
def world(database: Database, repository: Repository, tmp_path: Path) -> World:
    world = World(database, repository, tmp_path)
    world.push(**FILES)
    return world


def drain_elsewhere(world: World, crash_at: str = "") -> int:
    """Drain in another process, which may be killed at a point; its exit code."""
    arguments = [world.database.url, str(world.repository.path), str(world.artifacts.root)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.dying_committer", *arguments],
        env=os.environ | {"XYN_CRASH_AT": crash_at},
        check=False,
        timeout=60,
    )
    return done.returncode


@pytest.mark.parametrize("point", ["record.rendered", "record.committed", "record.marked"])
def test_a_committer_killed_anywhere_loses_nothing_and_records_nothing_twice(
    world: World, point: str
) -> None:
    runs = [world.happen() for _ in range(3)]
    runs.append(world.happen("deploy.wanted", data={"what": "v2"}))

    killed = drain_elsewhere(world, point)
    later = world.happen()
    ended = drain_elsewhere(world)

    assert (killed, ended) == (-signal.SIGKILL, 0)
    assert world.waiting() == 0
    trailers = world.git("log", "--all", "--format=%(trailers:key=Run-Id,valueonly)").split()
    assert Counter(trailers) == Counter(map(str, [*runs, later]))
    marked = world.ask("SELECT run_id, record_commit FROM runs")
    for run_id, commit in marked:
        assert world.git("log", "--all", "--format=%H", "--grep", str(run_id)) == f"{commit}\n"
    assert world.ask(
        "SELECT count(*) FROM events WHERE record_commit IS NULL"
        " AND (run_id IS NULL OR event_name LIKE 'xyn.artifact%')"
    ) == [(0,)]


@pytest.mark.parametrize("point", ["audit.committed", "record.marked"])
def test_a_committer_killed_in_the_audit_neither_loses_an_entry_nor_writes_one_twice(
    world: World, point: str
) -> None:
    entries = [world.decide("policy.decided", "run.start", outcome="allowed") for _ in range(3)]
    world.happen()

    killed = drain_elsewhere(world, point)
    entries.append(world.decide("policy.decided", "run.start", outcome="refused"))
    ended = drain_elsewhere(world)

    assert (killed, ended) == (-signal.SIGKILL, 0)
    assert world.waiting() == 0
    lines = [
        json.loads(line)
        for _, content in world.repository.walk_records("refs/xyn/audit/seed")
        for line in content.splitlines()
    ]
    assert [line["audit_id"] for line in lines] == [str(each.audit_id) for each in entries]
    assert [line["sequence"] for line in lines] == [1, 2, 3, 4]
    assert world.ask("SELECT count(*) FROM audit WHERE record_commit IS NULL") == [(0,)]


def test_an_entry_that_was_not_of_the_outbox_does_not_hide_what_a_kill_left(world: World) -> None:
    world.decide("policy.decided", "run.start")
    assert drain_elsewhere(world, "audit.committed") == -signal.SIGKILL
    append_audit(
        world.repository,
        "seed",
        [AuditEntry(kind="event.forgotten", actor="ada", at=world.now())],
        now=world.now(),
        redactor=world.redactor,
    )

    assert drain_elsewhere(world) == 0

    link = link_of(world.repository.commit(world.tips()["refs/xyn/audit/seed"]))
    assert link.sequence == 2


def test_what_was_recorded_before_a_kill_is_there_after_a_lost_database(
    world: World, server_url: str, template_database: str, database_url: str
) -> None:
    world.happen()
    assert drain_elsewhere(world, "record.committed") == -signal.SIGKILL
    tips = world.tips()

    with world.database.begin() as connection:
        for table in ("runs", "events", "artifacts", "plans", "documents", "outbox"):
            connection.exec_driver_sql(f"TRUNCATE {table} CASCADE")
    world.rebuild()

    assert world.ask("SELECT status FROM runs") == [("completed",)]
    assert world.tips() == tips
