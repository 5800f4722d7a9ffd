import datetime as dt
import json
import subprocess
import uuid
from collections.abc import Callable

import pytest

from tests.integration.record.record_world import World
from xyn_reconciler.model.artifact import Artifact
from xyn_reconciler.model.errors import ConflictError, NotFoundError
from xyn_reconciler.record.forget import forget
from xyn_reconciler.store import artifact_rows, git_purge, outbox
from xyn_reconciler.store.database import Database

NewDatabase = Callable[[], Database]

WORD = "wilhelmina"
"""What must be gone."""

TELL = """\
id: bp.tell
triggers:
  - event_type: xyn.run.completed
inputs:
  name: {type: string, from: "{{ event.data.blueprint_id }}"}
plan:
  - {id: tell, kind: transform, set: {about: "{{ inputs.name }}"}}
"""


def forget_it(world: World, event_id: uuid.UUID) -> None:
    forget(
        world.database,
        world.repository,
        event_id,
        by="operator",
        now=world.now(),
        artifacts=world.artifacts,
        redactor=world.redactor,
    )


def everything(world: World) -> str:
    """All that the index, the records' tips, and the artifacts hold."""
    tables = ("events", "runs", "steps", "attempts", "gates", "approvals", "artifacts")
    rows = [row for table in tables for row in world.rows(table)]
    records = [
        content.decode()
        for ref in world.tips()
        for _, content in world.repository.walk_records(ref)
    ]
    kept = [path.read_text() for path in world.artifacts.root.rglob("*") if path.is_file()]
    return "\n".join([*rows, *records, *kept])


def in_any_object(world: World, word: str) -> bool:
    """Whether some object of the repository, reachable or not, holds the word."""
    listed = world.git("cat-file", "--batch-check=%(objectname)", "--batch-all-objects")
    done = subprocess.run(
        ["git", "-C", str(world.repository.path), "cat-file", "--batch"],
        input=listed.encode(),
        capture_output=True,
        check=True,
    )
    return word.encode() in done.stdout


def happen(world: World) -> tuple[uuid.UUID, uuid.UUID]:
    """An event with the word comes, its run ends and leaves an artifact; both ids."""
    event = world.event(
        actor="ada@example.net",
        data={"host": WORD, "state": "CRIT"},
        raw=f'{{"host":"{WORD}"}}'.encode(),
        content_type="application/json",
        resource={"type": "host", "id": WORD},
        delivery_id="d-1",
        source="checkmk",
    )
    (run_id,) = world.take_in(event)
    world.advance(run_id)
    sha256, length = world.artifacts.put(f"about {WORD}".encode(), limit=1000)
    artifact = Artifact(
        artifact_id=uuid.uuid4(),
        name=f"{WORD}.txt",
        kind="report",
        content_type="text/plain",
        created_at=world.now(),
        created_by="ada",
        run_id=run_id,
        sha256=sha256,
        byte_length=length,
        metadata={"host": WORD},
    )
    with world.database.begin() as connection:
        artifact_rows.insert_artifact(connection, artifact)
        outbox.put(connection, "artifact", [artifact.artifact_id], world.now())
        outbox.put(connection, "run", [run_id], world.now())
    return event.event_id, run_id


def test_nothing_of_a_forgotten_event_is_left_and_all_else_is(
    world: World, new_database: NewDatabase
) -> None:
    before = world.happen()
    world.committer.drain()
    event_id, run_id = happen(world)
    world.committer.drain()
    after = world.happen()
    world.committer.drain()
    assert WORD in everything(world)

    forget_it(world, event_id)

    left = everything(world)
    assert WORD not in left
    assert "ada@example.net" not in left
    runs = dict(world.ask("SELECT run_id, CAST(outputs AS text) FROM runs"))
    assert runs[run_id] == "{}"
    assert runs[before] == runs[after] == '{"text":"on db1!"}'
    assert world.ask("SELECT delivery_id, source FROM events WHERE event_id = :e", e=event_id) == [
        ("d-1", "checkmk")
    ]
    assert world.git("fsck", "--strict", "--no-dangling") == ""


def test_rows_name_the_commits_that_hold_them_now_and_a_rebuild_gives_the_same(
    world: World, new_database: NewDatabase
) -> None:
    event_id, _ = happen(world)
    world.committer.drain()
    world.happen()
    forget_it(world, event_id)
    world.committer.drain()
    current = set(world.git("rev-list", *world.repository.refs("refs/xyn/runs/")).split())
    digests = world.digests()

    marks = {mark for (mark,) in world.ask("SELECT DISTINCT record_commit FROM events") if mark}
    world.rebuild_into(new_database())

    assert marks <= current
    assert world.digests() == digests
    assert WORD not in everything(world)


def test_a_tombstone_and_an_audit_record_say_what_was_done(world: World) -> None:
    event_id, _ = happen(world)
    world.committer.drain()
    (ref,) = world.repository.refs("refs/xyn/runs/")
    old = world.repository.resolve(ref)

    forget_it(world, event_id)

    lines = [
        json.loads(line)
        for _, content in world.repository.walk_records(ref)
        for line in content.splitlines()
    ]
    (stone,) = [line["forgotten"] for line in lines if "forgotten" in line]
    ((_, audit),) = world.repository.walk_records("refs/xyn/audit/seed")
    entry = json.loads(audit)
    assert stone["by"] == entry["actor"] == "operator"
    assert entry["at"] == stone["at"]
    assert entry["what"] == "event.forgotten"
    assert entry["subject"] == str(event_id)
    assert entry["entry"] == {
        "ref": ref,
        "old_tip": old,
        "new_tip": world.repository.resolve(ref),
    }


def test_what_only_tells_of_a_run_is_not_forgotten_by_itself(world: World) -> None:
    _, run_id = happen(world)
    world.committer.drain()
    told = world.ask("SELECT event_id FROM events WHERE run_id = :r AND source = 'xyn'", r=run_id)
    tips = world.tips()

    for (event_id,) in told:
        with pytest.raises(ConflictError, match=f"only tells of run {run_id}"):
            forget_it(world, event_id)

    assert told
    assert world.tips() == tips


def test_the_old_objects_go_with_the_maintenance(world: World) -> None:
    event_id, _ = happen(world)
    world.committer.drain()
    world.repository.maintain()
    world.happen()
    forget_it(world, event_id)
    world.committer.drain()
    assert in_any_object(world, WORD)

    early = git_purge.purge(world.repository.path, world.now())
    still = in_any_object(world, WORD)
    git_purge.purge(world.repository.path, world.now() + dt.timedelta(hours=3))

    assert early
    assert still
    assert not in_any_object(world, WORD)
    assert world.repository.check() == []
    assert not git_purge.purge(world.repository.path, world.now())


def test_a_kept_month_is_let_go_when_it_was_written_anew(world: World) -> None:
    event_id, _ = happen(world)
    world.committer.drain()
    world.late = dt.timedelta(days=40)
    world.happen()
    world.committer.drain()
    world.repository.maintain()
    assert list((world.repository.path / "objects" / "pack").glob("*.keep"))
    forget_it(world, event_id)

    git_purge.purge(world.repository.path, world.now() + dt.timedelta(hours=3))
    world.repository.maintain()

    assert not in_any_object(world, WORD)
    assert world.repository.check() == []


def test_what_a_run_told_and_what_that_started_is_forgotten_too(world: World) -> None:
    world.push(**{"blueprints/tell.yaml": TELL})
    event_id, _ = happen(world)
    told = world.ask("SELECT run_id FROM runs WHERE blueprint_id = 'bp.tell'")
    world.advance(*(run_id for (run_id,) in told))
    world.committer.drain()

    forget_it(world, event_id)

    assert len(told) == 1
    assert world.ask("SELECT CAST(inputs AS text) FROM runs WHERE blueprint_id = 'bp.tell'") == [
        ("{}",)
    ]


def test_an_event_whose_run_is_in_flight_is_not_forgotten(world: World) -> None:
    event = world.event("deploy.wanted", data={"what": WORD})
    (run_id,) = world.take_in(event)
    world.advance(run_id)

    with pytest.raises(ConflictError, match=str(run_id)):
        forget_it(world, event.event_id)

    assert WORD in everything(world)


def test_an_event_of_another_node_is_forgotten_there(
    world: World, new_database: NewDatabase
) -> None:
    event_id, _ = happen(world)
    world.committer.drain()
    world.node_id = "node-1"
    world.rebuild_into(new_database())

    with pytest.raises(ConflictError, match="another node"):
        forget_it(world, event_id)


def test_an_unknown_event_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError):
        forget_it(world, uuid.uuid4())


def test_forgetting_twice_changes_nothing_the_second_time(world: World) -> None:
    event_id, _ = happen(world)
    forget_it(world, event_id)
    tips, digests = world.tips(), world.digests()

    forget_it(world, event_id)

    assert (world.tips(), world.digests()) == (tips, digests)


def test_bytes_that_another_artifact_has_as_well_stay(world: World) -> None:
    event_id, _ = happen(world)
    sha256, length = world.artifacts.put(f"about {WORD}".encode(), limit=1000)
    other = Artifact(
        artifact_id=uuid.uuid4(),
        name="other.txt",
        kind="report",
        content_type="text/plain",
        created_at=world.now(),
        created_by="ada",
        sha256=sha256,
        byte_length=length,
    )
    with world.database.begin() as connection:
        artifact_rows.insert_artifact(connection, other)

    forget_it(world, event_id)

    assert world.artifacts.exists(sha256)
