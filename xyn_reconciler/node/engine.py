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
from xyn_reconciler.node.bucket import Bucket
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.log import log_without_secrets
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.run.worker import utc_now
from xyn_reconciler.store import desired
from xyn_reconciler.store.artifact_room import ArtifactRoom
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.node_secrets import NodeSecrets
from xyn_reconciler.trigger.intake import Intake


@dataclass(frozen=True, slots=True)
class Engine:
    """The stores of a home, opened."""

    home: Home
    database: Database
    artifacts: ArtifactStore
    intake: Intake
    redactor: Redactor
    secrets: NodeSecrets
    secret: Callable[[str], str | None]
    """Resolves a reference: those of ``secrets``."""
    clock: Callable[[], dt.datetime] = utc_now


@contextmanager
def open_engine(
    place: Home,
    database_url: str,
    environment: Mapping[str, str] = os.environ,
    *,
    patience: float = 0.0,
    by_key: bool = False,
) -> Iterator[Engine]:
    """Open what is there; ``up`` has prepared it. Closed with the context.

    ``patience``: seconds that who keeps an artifact waits for a database that is away.
    ``by_key``: as :class:`Database` has it, for who advances runs.
    """
    redactor = Redactor.from_environment(environment)
    log_without_secrets(redactor)
    with Database(database_url, by_key=by_key) as database:
        secrets = NodeSecrets(database, place.age_key, environment, redactor)
        secrets.refresh()
        yield Engine(
            home=place,
            database=database,
            artifacts=ArtifactStore(
                place.artifacts,
                room=ArtifactRoom(database, quota=_quota, patience=patience),
                elsewhere=Bucket(database, secrets.resolve),
            ),
            intake=Intake(compile_run, redactor),
            redactor=redactor,
            secrets=secrets,
            secret=secrets.resolve,
        )


def _quota(connection: Connection) -> int:
    """What the artifact store may hold (seed 38.1)."""
    return int(desired.read_node(connection).settings["limits"]["artifact_quota"])
