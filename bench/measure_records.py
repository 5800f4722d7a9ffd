"""Records of finished runs that go from the outbox into durable commits, a second."""

import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from bench.desired import NODE, THREE_TRANSFORMS, TRANSFORM_EVENT
from bench.engine_room import AUTHOR, NODE_ID, EngineRoom, engine_room, utc_now
from bench.node import take_in
from bench.place import BenchError, Place
from bench.result import Result, compare
from bench.rounds import turns
from xyn_reconciler.record.commit import BATCH, Committer
from xyn_reconciler.store import outbox
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.durable import sync_folder

SECONDS: Final = 20.0
_REF: Final = Ref(b"refs/heads/floor")


def measure(place: Place) -> Iterator[Result]:
    name, count = "records of runs", place.sizes.record_runs
    with engine_room(place, "records") as room:
        place.say(f"{name}: finishing {count} runs")
        room.commit(
            {"node.yaml": NODE.encode(), "blueprints/three.yaml": THREE_TRANSFORMS.encode()}
        )
        room.reconciler.reconcile()
        runs = _finished_runs(room, count)
        committer = Committer(
            room.database,
            room.repository,
            artifacts=ArtifactStore(place.folder / "records" / "artifacts"),
            node_id=NODE_ID,
            redactor=room.redactor,
            clock=utc_now,
        )
        _drain(committer)
        floor = FloorWriter(place.folder / "floor-records.git")

        def one(_: str) -> tuple[float, float]:
            with room.database.begin() as connection:
                outbox.put(connection, "run", runs, utc_now())
            began = time.monotonic()
            _drain(committer)
            xyn = len(runs) / (time.monotonic() - began)
            files = _newest_files(room)
            began = time.monotonic()
            floor.write(files)
            return len(runs) / (time.monotonic() - began), xyn

        rounds = turns(place.say, name, place.sizes.record_rounds, {"both": one}, seconds=SECONDS)
        size = sum(map(len, _newest_files(room).values()))
        floor.close()
    pairs = [each["both"] for each in rounds]
    conditions = {
        "value": "outbox rows read, their runs read and rendered, one pack, synced, ref moved,"
        " rows marked; in-process",
        "floor_is": "dulwich writing one pack of the same bytes, synced, and moving a ref",
        "runs_per_commit": min(count, BATCH),
        "bytes_per_run": size // len(runs),
    }
    yield compare(name, "records/s", pairs, conditions)


class FloorWriter:
    """One durable commit a batch with dulwich: a pack, its folder, a ref."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._repo = Repo.init_bare(str(path))
        self._repo.object_store.fsync_object_files = True
        self._root = Tree()
        self._tip: ObjectID | None = None

    def close(self) -> None:
        self._repo.close()

    def write(self, files: dict[str, bytes]) -> None:
        blobs = {path: Blob.from_string(content) for path, content in files.items()}
        for path, blob in blobs.items():
            self._root.add(path.replace("/", "-").encode(), 0o100644, blob.id)
        commit = Commit()
        commit.tree, commit.parents = self._root.id, [self._tip] if self._tip else []
        commit.author = commit.committer = AUTHOR.encode()
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"Record\n"
        objects = [*blobs.values(), self._root, commit]
        self._repo.object_store.add_objects([(each, None) for each in objects])
        sync_folder(Path(self._repo.object_store.pack_dir))
        if not self._repo.refs.set_if_equals(_REF, self._tip, commit.id):
            raise BenchError("the floor's ref moved")
        self._tip = commit.id


def _finished_runs(room: EngineRoom, count: int) -> list[uuid.UUID]:
    names = [f"run-{number}" for number in range(count)]
    started = take_in(room.intake, room.database, TRANSFORM_EVENT, names)
    for run_id in started:
        room.worker.advance(run_id)
    return started


def _drain(committer: Committer) -> None:
    while committer.drain_once():
        pass


def _newest_files(room: EngineRoom) -> dict[str, bytes]:
    """Give the files that the newest record commits of one round have brought."""
    tips = room.repository.refs(f"refs/xyn/runs/{NODE_ID}/")
    if not tips:
        raise BenchError("no record was written")
    tip = tips[max(tips)]
    parents: Sequence[str] = room.repository.commit(tip).parents
    return {
        change.text: room.repository.read(change.new_blob)
        for change in room.repository.changes(parents[0], tip)
        if change.text is not None and change.new_blob is not None
    }
