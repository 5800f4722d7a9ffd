"""Open the stores of a home for one process."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.node.engine import Engine, open_engine
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.origin import bytes_of
from xyn_reconciler.node.ticket import Tickets
from xyn_reconciler.reconcile.loop import Reconciler
from xyn_reconciler.review.merged import Merging
from xyn_reconciler.service.context import Context, utc_now
from xyn_reconciler.store.credentials import Credentials
from xyn_reconciler.store.git import Repository


@contextmanager
def open_context(
    home: Path, database_url: str, url: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Context]:
    """Open what is there; ``up`` has prepared it. Closed with the context."""
    with open_engine(Home(home), database_url, environment) as engine:
        yield context_of(engine, url)


def context_of(engine: Engine, url: str) -> Context:
    """Give the whole of a node's stores around an engine that is open; lasts as long as that."""
    known = catalogue(installed_actions())
    repository, origin = Repository.open(engine.home.repository), engine.home.origin()
    reconciler = Reconciler(engine.database, repository, known, engine.intake.emit)
    return Context(
        database=engine.database,
        repository=repository,
        artifacts=engine.artifacts,
        credentials=Credentials(engine.home.path),
        intake=engine.intake,
        reconciler=reconciler,
        merging=Merging(repository, reconciler),
        catalogue=known,
        redactor=engine.redactor,
        home=engine.home.path,
        url=url,
        ticket=Tickets.of(engine.home, utc_now).issue,
        origin=origin,
        origin_bytes=None if origin is None else bytes_of(origin),
        secrets=engine.secrets,
        secret=engine.secrets.find,
    )
