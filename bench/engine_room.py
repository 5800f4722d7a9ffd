"""The parts of a node in this process, on a database and a repository of their own.

For what is measured without its surroundings: reconciling, recording.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench.place import Place
from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.run.worker import Worker
from xyn_reconciler.store import desired
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import MAIN, Repository
from xyn_reconciler.store.migrate import migrate
from xyn_reconciler.trigger.intake import Intake

AUTHOR = "Bench <bench@example.org>"
NODE_ID = "seed"


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class EngineRoom:
    """What the measured parts share; ``main`` is not reconciled yet."""

    database: Database
    url: str
    repository: Repository
    intake: Intake
    reconciler: Reconciler
    worker: Worker
    redactor: Redactor

    def commit(self, files: Mapping[str, bytes]) -> str:
        """Commit files to ``main``."""
        return self.repository.commit_files(
            MAIN,
            expected=self.repository.resolve(MAIN),
            changes=files,
            message="Edition\n",
            author=AUTHOR,
            now=utc_now(),
        )


@contextmanager
def engine_room(place: Place, name: str) -> Iterator[EngineRoom]:
    url = place.database(name)
    folder = place.folder / name
    folder.mkdir()
    with Database(url, by_key=True) as database:
        migrate(database)
        with database.begin() as connection:
            desired.ensure_node(connection, NODE_ID)
        repository = Repository.create(folder / "state.git")
        actions = installed_actions()
        redactor = Redactor([])
        intake = Intake(compile_run, redactor)
        worker = Worker(
            database=database,
            actions=actions,
            artifacts=ArtifactStore(folder / "artifacts"),
            emit=intake.emit,
            unheard=intake.unheard,
            redactor=redactor,
            secret=lambda _: None,
            may_use_secret=lambda *_: None,
            name="bench",
        )
        reconciler = Reconciler(database, repository, catalogue(actions), intake.emit)
        yield EngineRoom(database, url, repository, intake, reconciler, worker, redactor)
