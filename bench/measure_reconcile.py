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
from bench.rounds import rounds

FILES: Final = 10_000
ROUNDS: Final = 31
SECONDS: Final = 20.0
_CHANGED: Final = 5_000

_FLOOR_TABLE: Final = "CREATE TABLE active (path text PRIMARY KEY, revision text, document jsonb)"
_FLOOR_APPLY: Final = """
INSERT INTO active VALUES (%s, %s, %s)
ON CONFLICT (path) DO UPDATE SET revision = excluded.revision, document = excluded.document
"""


def measure(place: Place) -> Iterator[Result]:
    name = f"reconcile 1 of {FILES:,} files"
    with engine_room(place, "reconcile") as room, connect(place.database("active")) as connection:
        place.say(f"{name}: applying {FILES:,} files for the first time")
        files = {blueprint_path(number): blueprint(number, 0) for number in range(FILES)}
        before = room.commit({"node.yaml": NODE.encode(), **files})
        began = time.monotonic()
        room.reconciler.reconcile()
        first = time.monotonic() - began
        connection.execute(_FLOOR_TABLE)
        times = []
        for number in rounds(place.say, name, ROUNDS, seconds=SECONDS):
            path = blueprint_path(_CHANGED)
            after = room.commit({path: blueprint(_CHANGED, number + 1)})
            # In a node the event of the push comes first, and brings intake up to date.
            with room.database.begin() as transaction:
                room.intake.view(transaction)
            floor = _floor(room, connection, before, after)
            xyn = _reconcile(room, after)
            times.append((floor * 1000, xyn * 1000))
            before = after
    conditions = {
        "value": "from main moved to the revision committed as active: tree diff, read, parse,"
        " validate, apply, events; in-process",
        "floor_is": "git diff-tree, git cat-file, YAML parse, one upsert in one commit; nothing is"
        " validated",
        "files": f"1 of {FILES + 1} changed, a hundred to a folder",
        "first_time_s": f"{first:.1f} for all {FILES:,} files at once",
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
