"""What a process needs to take in events and to advance runs: database, artifacts, intake, secrets.

The worker process opens this and no more: no repository, no reconciler, none of
their libraries (an idle worker is to be small, ``docs/benchmarks.md``).
"""

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.home import Home
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.run.worker import utc_now
from xyn_reconciler.store import artifact_rows, desired
from xyn_reconciler.store.artifact_room import ArtifactRoom
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.trigger.intake import Intake


@dataclass(frozen=True, slots=True)
class Engine:
    """The stores of a home, opened."""

    home: Home
    database: Database
    artifacts: ArtifactStore
    intake: Intake
    redactor: Redactor
    secret: Callable[[str], str | None]
    clock: Callable[[], dt.datetime] = utc_now


@contextmanager
def open_engine(
    place: Home, database_url: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Engine]:
    """Open what is there; ``up`` has prepared it. Closed with the context."""
    redactor = Redactor.from_environment(environment)
    with Database(database_url) as database:
        yield Engine(
            home=place,
            database=database,
            artifacts=ArtifactStore(place.artifacts, room=_room(database)),
            intake=Intake(compile_run, redactor),
            redactor=redactor,
            secret=lambda reference: resolve_secret(reference, environment),
        )


def _room(database: Database) -> ArtifactRoom:
    """What the artifact store may hold (seed 38.1)."""

    def quota() -> int:
        with database.read() as connection:
            return int(desired.read_node(connection).settings["limits"]["artifact_quota"])

    def stored() -> int:
        with database.read() as connection:
            return artifact_rows.stored_bytes(connection)

    return ArtifactRoom(quota=quota, stored=stored)


def resolve_secret(reference: str, environment: Mapping[str, str]) -> str | None:
    """Give the value of ``env/NAME``.

    ``None`` where the variable is not set, or for another kind.
    """
    kind, _, name = reference.partition("/")
    return environment.get(name) if kind == "env" else None
