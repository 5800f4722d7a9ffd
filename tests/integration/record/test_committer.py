import datetime as dt
import json
import threading
import uuid
from collections.abc import Callable

import pytest

from tests.integration.record.record_world import SECRET, World
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.store import artifact_rows, desired, outbox
from xyn_reconciler.store.database import Database

NewDatabase = Callable[[], Database]


def lines(world: World) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for ref in world.repository.refs("refs/xyn/runs/")
        for _, content in world.repository.walk_records(ref)
        for line in content.splitlines()
    ]


def test_a_run_is_found_by_its_id_with_plain_git(world: World) -> None:
    run_id = world.happen()
    world.committer.drain()

    found = world.git("log", "--all", "--format=%H", "--grep", str(run_id)).split()

    assert world.ask("SELECT record_commit FROM runs") == [(found[0],)]
    assert len(found) == 1
    ref = f"refs/xyn/runs/seed/{world.now():%Y-%m}"
    assert world.git("rev-parse", ref).strip() == found[0]
    assert world.git("fsck", "--strict") == ""


def test_events_that_matched_nothing_are_recorded_in_segments_of_their_own(world: World) -> None:
    world.take_in(world.event("nobody.cares"))
    world.committer.drain()

    (ref,) = world.repository.refs("refs/xyn/runs/")
    names = world.git("ls-tree", "-r", "--name-only", ref)
    told = [line["event"]["event_name"] for line in lines(world) if line["kind"] == "event"]  # type: ignore[index] # JSON
    assert "nobody.cares" in told
    assert "xyn.event.received" in told
    assert "xyn.reconcile.succeeded" in told
    assert all(name.endswith(".events.jsonl") for name in names.split())


def test_a_run_is_recorded_when_it_begins_to_wait_and_again_when_it_ends(world: World) -> None:
    run_id = world.happen("deploy.wanted", data={"what": "v2"})
    world.committer.drain()
    world.approve(run_id)
    world.advance(run_id)
    world.committer.drain()

    found = [line for line in lines(world) if line["kind"] == "run"]
    statuses = [line["run"]["status"] for line in found]  # type: ignore[index] # JSON
    assert statuses[0] == "waiting"
    assert statuses[-1] == "completed"
    assert len(found[-1]["approvals"]) == 1  # type: ignore[arg-type] # JSON
    assert len(world.git("log", "--all", "--oneline", "--grep", str(run_id)).splitlines()) >= 2


def test_one_batch_is_one_commit_and_leaves_nothing_waiting(world: World) -> None:
    for _ in range(5):
        world.happen()

    taken = world.committer.drain_once()

    assert taken > 5
    assert world.waiting() == 0
    assert world.git("rev-list", "--count", f"refs/xyn/runs/seed/{world.now():%Y-%m}") == "1\n"
    assert world.committer.drain_once() == 0


def test_a_later_month_has_a_ref_of_its_own_and_a_clock_that_goes_back_does_not_return(
    world: World,
) -> None:
    world.late = dt.timedelta(days=40)
    world.happen()
    world.committer.drain()
    later = f"{world.now():%Y-%m}"
    world.late = dt.timedelta()
    run_id = world.happen()
    world.committer.drain()

    refs = list(world.repository.refs("refs/xyn/runs/seed/"))

    assert refs == [f"refs/xyn/runs/seed/{later}"]
    assert world.git("log", "--format=%H", "--grep", str(run_id), refs[0]) != ""


def test_two_databases_that_count_alike_do_not_meet_in_one_path(
    world: World, new_database: NewDatabase
) -> None:
    moment = world.now()
    world.now = lambda: moment  # type: ignore[method-assign] # time stands still
    world.committer._clock = world.now  # noqa: SLF001 - as above
    world.take_in(world.event())
    world.committer.drain()

    world.rebuild_into(new_database())
    world.take_in(world.event())
    world.committer.drain()

    assert world.waiting() == 0
    assert len([line for line in lines(world) if line["kind"] == "event"]) >= 4


def test_what_is_in_already_is_not_recorded_twice(world: World) -> None:
    world.happen()
    waiting = world.ask("SELECT kind, subject, created_at, id FROM outbox ORDER BY id")
    world.committer.drain()
    tips = world.tips()
    with world.database.begin() as connection:
        for kind, subject, created_at, number in waiting:
            connection.exec_driver_sql(
                "INSERT INTO outbox (id, kind, subject, created_at) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, %s, %s, %s)",
                (number, kind, subject, created_at),
            )

    world.committer.drain()

    assert world.tips() == tips
    assert world.waiting() == 0


def test_while_git_cannot_be_written_runs_go_on_and_the_node_says_so(world: World) -> None:
    world.committer.drain()
    folder = world.repository.path / "objects" / "pack"
    aside = folder.rename(folder.with_name("pack-away"))
    stop = threading.Event()
    thread = threading.Thread(target=world.committer.run, args=(stop,))
    thread.start()
    try:
        run_id = world.happen()
        behind = wait_for(world, status=True)
        status = world.ask("SELECT status FROM runs WHERE run_id = :r", r=run_id)
        aside.rename(folder)
        in_time = wait_for(world, status=False)
    finally:
        stop.set()
        thread.join()

    assert status == [("completed",)]
    assert behind
    assert in_time
    assert world.waiting() == 0


def wait_for(world: World, *, status: bool) -> bool:
    for _ in range(200):
        with world.database.connect() as connection:
            conditions = desired.read_node(connection).conditions
        if any(c.type == "RecordsBehind" and c.status is status for c in conditions):
            return True
        threading.Event().wait(0.05)
    return False


def test_an_orderly_stop_writes_what_is_there(world: World) -> None:
    stop = threading.Event()
    stop.set()
    world.happen()

    world.committer.run(stop)

    assert world.waiting() == 0


def test_of_two_committers_one_works_and_nothing_is_recorded_twice(world: World) -> None:
    runs = [world.happen() for _ in range(10)]
    threads = [threading.Thread(target=world.committer.drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    recorded = [line["run"]["run_id"] for line in lines(world) if line["kind"] == "run"]  # type: ignore[index] # JSON
    assert sorted(recorded) == sorted(map(str, runs))


def test_a_secret_that_was_stored_by_mistake_is_not_recorded(world: World) -> None:
    (run_id,) = world.take_in(world.event())
    with world.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE events SET data = %s WHERE event_name = 'checkmk.alert'",
            (json.dumps({"host": f'"{SECRET}', "list": [SECRET]}),),
        )
        outbox.put(connection, "run", [run_id], world.now())
    world.committer.drain()

    found = [line for line in lines(world) if line["kind"] == "event"]
    assert SECRET not in json.dumps(found)
    assert {"host": '"[redacted]', "list": ["[redacted]"]} in [
        line["event"]["data"]  # type: ignore[index] # JSON
        for line in found
    ]


def test_an_artifact_without_a_run_has_a_line_of_its_own(world: World) -> None:
    artifact = Artifact(
        artifact_id=uuid.uuid4(),
        name="report.txt",
        kind="report",
        content_type="text/plain",
        created_at=world.now(),
        created_by="ada",
    )
    with world.database.begin() as connection:
        artifact_rows.insert_artifact(connection, artifact)
        outbox.put(connection, "artifact", [artifact.artifact_id], world.now())
    world.committer.drain()

    assert [line["artifact"]["name"] for line in lines(world) if line["kind"] == "artifact"] == [  # type: ignore[index] # JSON
        "report.txt"
    ]


def test_what_vanished_before_it_was_recorded_stops_nothing(world: World) -> None:
    world.committer.drain()
    with world.database.begin() as connection:
        outbox.put(connection, "run", [uuid.uuid4()], world.now())
    tips = world.tips()

    world.committer.drain()

    assert (world.waiting(), world.tips()) == (0, tips)


def test_a_committer_whose_repository_is_gone_raises_what_its_loop_catches(world: World) -> None:
    world.happen()
    folder = world.repository.path / "objects" / "pack"
    folder.rename(folder.with_name("pack-away"))

    with pytest.raises(OSError, match="pack"):
        world.committer.drain_once()

    assert world.waiting() > 0
