"""The engine's floor: a durable engine in as few statements as one can be written.

An event and its run are one commit, each step is one commit, and a worker
takes a run with ``FOR UPDATE SKIP LOCKED`` and is woken by ``NOTIFY``. No plan,
no record, no fencing, no retry. ``python -m bench.floor_engine`` is a worker.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final

import psycopg

from bench.place import Child, Place, connect
from bench.stamps import Stamps
from bench.step import STEPS, light_step

_SCHEMA: Final = """
CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  body jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE runs (
  id text PRIMARY KEY, event_id bigint NOT NULL REFERENCES events, steps int NOT NULL,
  status text NOT NULL DEFAULT 'created', worker text, leased_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(), completed_at timestamptz);
CREATE INDEX ON runs (created_at) WHERE status = 'created';
CREATE TABLE steps (
  run_id text REFERENCES runs, index int, status text NOT NULL, output jsonb,
  completed_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run_id, index));
"""
_SUBMIT: Final = """
WITH event AS (INSERT INTO events (body) VALUES (%s) RETURNING id),
  run AS (INSERT INTO runs (id, event_id, steps) SELECT %s, id, %s FROM event)
SELECT pg_notify('runs', '')
"""
_CLAIM: Final = """
UPDATE runs SET status = 'running', worker = %s, leased_until = now() + interval '60 s'
WHERE id = (SELECT id FROM runs WHERE status = 'created' ORDER BY created_at LIMIT 1
            FOR UPDATE SKIP LOCKED)
RETURNING id, steps
"""
_STEP: Final = "INSERT INTO steps (run_id, index, status, output) VALUES (%s, %s, 'completed', %s)"
_DONE: Final = "UPDATE runs SET status = 'completed', completed_at = now() WHERE id = %s"

Submit = Callable[[str], None]


class FloorEngine:
    """The submitting side, on a database and a connection of its own."""

    def __init__(self, place: Place, stamps: Stamps, database: str) -> None:
        self._place = place
        self._url = place.database(database)
        self._environment = {"DATABASE_URL": self._url, **stamps.environment}
        self._connection = connect(self._url)
        self._connection.execute(_SCHEMA)

    def start_worker(self) -> Child:
        return self._place.start("bench.floor_engine", **self._environment)

    def close(self) -> None:
        self._connection.close()

    def submit(self, run: str, steps: int = STEPS) -> None:
        """Commit an event and the run that it starts."""
        _submit(self._connection, run, steps)

    def submit_all(self, runs: Sequence[str]) -> None:
        """Commit them together, so that all are there at once."""
        with self._connection.transaction():
            for run in runs:
                self.submit(run)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        """Give what submits on a connection of its own."""
        with closing(connect(self._url)) as connection:
            yield lambda run: _submit(connection, run, STEPS)


def _submit(connection: psycopg.Connection, run: str, steps: int) -> None:
    body = json.dumps({"run": run, "padding": "y" * 200})
    connection.execute(_SUBMIT, (body, run, steps))


def work(url: str) -> None:
    """Advance runs, one after another, until killed."""
    worker = str(os.getpid())
    with connect(url) as connection:
        connection.execute("LISTEN runs")
        while True:
            claimed = connection.execute(_CLAIM, (worker,)).fetchone()
            if claimed is None:
                for _ in connection.notifies(timeout=1.0, stop_after=1):
                    pass
                continue
            _advance(connection, *claimed)


def _advance(connection: psycopg.Connection, run: str, steps: int) -> None:
    for index in range(steps - 1):
        output = json.dumps(light_step(run, index, steps))
        connection.execute(_STEP, (run, index, output))
    with connection.transaction():
        output = json.dumps(light_step(run, steps - 1, steps))
        connection.execute(_STEP, (run, steps - 1, output))
        connection.execute(_DONE, (run,))


if __name__ == "__main__":
    work(os.environ["DATABASE_URL"])
