"""Bring schema, repository and index to where the processes can start on them."""

import contextlib
from collections.abc import Callable
from typing import Final

from xyn_reconciler.action.registry import catalogue, installed_actions
from xyn_reconciler.desired.load import load
from xyn_reconciler.model.errors import ConflictError, InvalidError, NotFoundError
from xyn_reconciler.node.age_key import ensure_age_key
from xyn_reconciler.node.home import Home
from xyn_reconciler.reconcile.restore import Looked, restore
from xyn_reconciler.record.audit import audit_ref, begin_log
from xyn_reconciler.record.rebuild import Rebuilt, rebuild
from xyn_reconciler.record.render import RUNS
from xyn_reconciler.service.context import utc_now
from xyn_reconciler.store import audit, desired, records
from xyn_reconciler.store.artifacts import ArtifactStore
from xyn_reconciler.store.database import Connection, Database
from xyn_reconciler.store.git import MAIN, CorruptObjectError, Repository
from xyn_reconciler.store.migrate import migrate
from xyn_reconciler.template import template_files

AUTHOR: Final = "Xyn <xyn@localhost>"
_DATABASE_SECONDS: Final = 60.0

Say = Callable[[str], None]


def prepare(home: Home, database: Database, role: str, *, say: Say) -> None:
    """Migrate; make or sweep the repository, and rebuild an empty index from it.

    The roles ``web`` and ``worker`` find the schema and are ready. Raises
    ``ConflictError`` for a database that belongs to another node.
    """
    database.wait_until_ready(_DATABASE_SECONDS)
    applied = migrate(database)
    if applied:
        say(f"database: {len(applied)} migrations applied")
    if role in {"worker", "web"}:
        return
    repository = open_or_create(home, say)
    ArtifactStore(home.artifacts).prepare()
    if not home.age_key.exists():
        recipient, _ = ensure_age_key(home)
        say(f"this home has a key for secrets now: recipient: {recipient}")
    with database.begin() as connection:
        node = desired.ensure_node(connection, home.node_id() or primary_id(repository))
    if home.node_id() not in {None, node.node_id}:
        message = f"this database belongs to node {node.node_id}; this home is {home.node_id()}"
        raise ConflictError(message)
    _refuse_another_repository(database, repository, node)
    home.set_node_id(node.node_id)
    with database.begin() as connection:
        chain = repository.resolve(audit_ref(node.node_id))
        lost_audit = chain is not None and audit.is_empty(connection)
        if records.is_empty(connection) and (repository.refs(RUNS) or lost_audit):
            done = rebuild_index(connection, repository, say)
            say(
                f"the index was made anew from Git: {done.events} events, {done.runs} runs"
                + (f", {done.interrupted} of them interrupted" if done.interrupted else "")
            )
        begin_log(connection, repository, now=utc_now())


def _refuse_another_repository(
    database: Database, repository: Repository, node: desired.NodeState
) -> None:
    """Keep a home from a database that goes with another repository, also of the same node id.

    It would undo what is active, and the records of the past would be in neither.
    """
    applied = node.last_applied_revision
    with database.connect() as connection:
        recorded = records.any_recorded(connection)
    with contextlib.suppress(CorruptObjectError):  # it is there, and said to be damaged
        lacks_main = applied is not None and repository.resolve(applied) is None
        if lacks_main or (recorded and not repository.refs(RUNS)):
            what = f"revision {str(applied)[:12]}" if lacks_main else "every run record"
            raise ConflictError(
                f"this database goes with another state repository: this one lacks {what}."
                " Give this home a database of its own (DATABASE_URL), or start it with that"
                " repository (xynctl clone URL DIR --as ID)"
            )


def rebuild_index(connection: Connection, repository: Repository, say: Say) -> Rebuilt:
    """Write the rows of all records, and make active what was active; in one transaction.

    Between the two a kill would leave an index that knows what was applied
    beside a node that has applied nothing.
    """
    done = rebuild(connection, repository, now=utc_now(), progress=say)
    history = [Looked(each.revision, each.at, each.problems) for each in done.reconciled]
    restore(connection, repository, catalogue(installed_actions()), history)
    return done


def open_or_create(home: Home, say: Say) -> Repository:
    """Open the state repository, swept of what a kill left.

    Make it from the template where none is.
    """
    try:
        repository = Repository.open(home.repository)
    except NotFoundError:
        repository = Repository.create(home.repository)
    for name in repository.sweep_stale_files():
        say(f"repository: removed {name}, left over from a kill")
    if repository.resolve(MAIN) is None:
        recipient, _ = ensure_age_key(home)
        files = dict(template_files())
        files["node.yaml"] += (
            "# Secrets are encrypted to this; what opens them is age.key in the node's home\n"
            f"recipient: {recipient}\n"
        ).encode()
        repository.commit_files(
            MAIN,
            expected=None,
            changes=files,
            message="Start from the template\n",
            author=AUTHOR,
            now=utc_now(),
        )
        say(f"state repository: {home.repository}, made from the template")
    return repository


def primary_id(repository: Repository) -> str:
    """Give the id in ``node.yaml`` on ``main``: who this repository's first node is."""
    content = repository.read_path(MAIN, "node.yaml")
    if content is None:
        raise NotFoundError("node.yaml is missing on main: it names this node (id: seed)")
    loaded = load("node.yaml", "", content)
    if loaded.document is None:
        raise InvalidError(f"node.yaml on main names no node: {loaded.problems[0]}")
    return loaded.document_id
