"""Open the stores of a home for one process."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.ticket import Tickets
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.run.compile import compile_run
from xyn_reconciler.service.context import Context, utc_now
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database
from xyn_reconciler.store.git import Repository
from xyn_reconciler.trigger.intake import Intake


@contextmanager
def open_context(
    home: Path, database_url: str, url: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Context]:
    """Open what is there; ``up`` has prepared it. Closed with the context."""
    place = Home(home)
    redactor = Redactor.from_environment(environment)
    known = catalogue(installed_actions())
    with Database(database_url) as database:
        repository = Repository.open(place.repository)
        intake = Intake(compile_run, redactor)
        yield Context(
            database=database,
            repository=repository,
            artifacts=ArtifactStore(place.artifacts),
            intake=intake,
            reconciler=Reconciler(database, repository, known, intake.emit),
            catalogue=known,
            redactor=redactor,
            home=place.path,
            url=url,
            ticket=Tickets.of(place, utc_now).issue,
            secret=lambda reference: resolve_secret(reference, environment),
        )


def resolve_secret(reference: str, environment: Mapping[str, str]) -> str | None:
    """Give the value of ``env/NAME``.

    ``None`` where the variable is not set, or for another kind.
    """
    kind, _, name = reference.partition("/")
    return environment.get(name) if kind == "env" else None
