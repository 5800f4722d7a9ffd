"""``xynctl rebuild``: the index made anew from Git, on a stopped node."""

from collections.abc import Callable, Mapping

from xyn_reconciler.model.redaction import Redactor
from xyn_reconciler.node.home import Home
from xyn_reconciler.node.prepare import prepare, rebuild_index
from xyn_reconciler.node.up import open_postgres
from xyn_reconciler.record.commit import WRITING, Committer
from xyn_reconciler.record.rebuild import Rebuilt
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store import desired
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Database, lock_in_transaction
from xyn_reconciler.store.git import Repository


def rebuild(home: Home, environment: Mapping[str, str], *, say: Callable[[str], None]) -> Rebuilt:
    """Write what the outbox holds to Git, then every row of finished runs and events anew.

    Rows in flight stay. Raises ``ConflictError`` while a node runs in this home.
    """
    with (
        home.lock(),
        open_postgres(home, environment, say) as url,
        Database(url) as database,
    ):
        prepare(home, database, "node", say=say)
        repository = Repository.open(home.repository)
        with database.connect() as connection:
            node_id = desired.read_node(connection).node_id
        committer = Committer(
            database,
            repository,
            artifacts=ArtifactStore(home.artifacts),
            node_id=node_id,
            redactor=Redactor.from_environment(environment),
            clock=utc_now,
        )
        written = committer.drain()
        if written:
            say(f"records: {written} that waited are in Git now")
        with database.begin() as connection:
            lock_in_transaction(connection, WRITING)
            return rebuild_index(connection, repository, say)
