"""Bring one changed file of ten thousand from a commit to active."""

import subprocess
import time
from collections.abc import Iterator
from typing import Final

import psycopg
import yaml
from psycopg.types.json import Jsonb

from bench.desired import NODE, blueprint, blueprint_path
from bench.engine_room import EngineRoom, engine_room
from bench.place import BenchError, Place, connect
from bench.result import Result, compare, quantile
from bench.rounds import turns
from xyn_reconciler.store.git import MAIN

SECONDS: Final = 20.0

_FLOOR_TABLE: Final = "CREATE TABLE active (path text PRIMARY KEY, revision text, document jsonb)"
_FLOOR_APPLY: Final = """
INSERT INTO active VALUES (%s, %s, %s)
ON CONFLICT (path) DO UPDATE SET revision = excluded.revision, document = excluded.document
"""


def measure(place: Place) -> Iterator[Result]:
    count = place.sizes.reconcile_files
    name = f"reconcile 1 of {count:,} files"
    with engine_room(place, "reconcile") as room, connect(place.database("active")) as connection:
        place.say(f"{name}: applying {count:,} files for the first time")
        files = {blueprint_path(number): blueprint(number, "0") for number in range(count)}
        room.commit({"node.yaml": NODE.encode(), **files})
        began = time.monotonic()
        room.reconciler.reconcile()
        first = time.monotonic() - began
        connection.execute(_FLOOR_TABLE)

        def one(edition: str) -> tuple[float, float]:
            before = room.repository.resolve(MAIN)
            assert before is not None, "it was applied"
            after = room.commit({path: blueprint(count // 2, edition)})
            # In a node the event of the push comes first, and brings intake up to date.
            with room.database.begin() as transaction:
                room.intake.view(transaction)
            return _floor(room, connection, before, after) * 1000, _reconcile(room, after) * 1000

        path, wanted = blueprint_path(count // 2), place.sizes.reconcile_rounds
        rounds = turns(place.say, name, wanted, {"both": one}, seconds=SECONDS)
    times = [each["both"] for each in rounds]
    conditions = {
        "value": "from main moved to the revision committed as active: tree diff, read, parse,"
        " validate, apply, events; in-process",
        "floor_is": "git diff-tree, git cat-file, YAML parse, one upsert in one commit; nothing is"
        " validated",
        "files": f"1 of {count + 1} changed, a hundred to a folder",
        "first_time_s": f"{first:.1f} for all {count:,} files at once",
        "p95_ms": f"{quantile([xyn for _, xyn in times], 0.95):.1f}",
    }
    yield compare(name, "ms", times, conditions)


def _reconcile(room: EngineRoom, revision: str) -> float:
    began = time.monotonic()
    judgement = room.reconciler.reconcile()
    took = time.monotonic() - began
    if judgement is None or judgement.problems or judgement.revision != revision:
        raise BenchError(f"the revision was not applied: {judgement and judgement.problems}")
    return took


def _floor(room: EngineRoom, connection: psycopg.Connection, before: str, after: str) -> float:
    began = time.monotonic()
    for line in _git(room, "diff-tree", "-r", before, after).splitlines():
        facts, _, path = line.partition(b"\t")
        blob = facts.split()[3].decode()
        document = yaml.load(_git(room, "cat-file", "blob", blob), yaml.CSafeLoader)
        connection.execute(_FLOOR_APPLY, (path.decode(), after, Jsonb(document)))
    return time.monotonic() - began


def _git(room: EngineRoom, *arguments: str) -> bytes:
    command = ["git", "-C", str(room.repository.path), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout
