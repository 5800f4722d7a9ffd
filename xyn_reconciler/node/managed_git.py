"""Bind ``git.repo.*`` to the repositories of the home that the worker stands in."""

import re
import uuid
from pathlib import Path

from xyn_reconciler.action.context import Action
from xyn_reconciler.action.git_repo_checkout import GitRepoCheckout
from xyn_reconciler.action.git_repo_clone import GitRepoClone
from xyn_reconciler.action.git_repo_commit import GitRepoCommit
from xyn_reconciler.action.git_repo_diff import GitRepoDiff
from xyn_reconciler.action.git_repo_init import GitRepoInit
from xyn_reconciler.action.git_repo_log import GitRepoLog
from xyn_reconciler.model.errors import NotFoundError, PermanentError
from xyn_reconciler.node.engine import Engine
from xyn_reconciler.store import runs


class Managed:
    """As :class:`xyn_reconciler.action.git_managed.Managed` says."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def root(self) -> Path:
        beside_the_repository(self._engine)
        return self._engine.home.path / "repositories"

    def author(self, run_id: uuid.UUID) -> str:
        with self._engine.database.read() as connection:
            run = runs.get_run(connection, run_id)
        if run is None:
            raise NotFoundError(f"no run {run_id}")
        # Whoever sent an event may be called anything.
        name = re.sub(r"[^A-Za-z0-9_.:@-]", "-", run.actor)
        return f"{name} <{name}@xyn>"


def beside_the_repository(engine: Engine) -> None:
    """Raise ``PermanentError`` where the node's home is on another machine than this worker."""
    if not engine.home.repository.is_dir():
        raise PermanentError(
            "not_beside_the_repository",
            f"this worker has no repository in {engine.home.path}: steps of git.repo.*, drafts.*"
            " and blueprints.* run on the machine of the node",
        )


def git_actions(engine: Engine) -> list[Action]:
    """Give the actions on managed repositories."""
    managed = Managed(engine)
    return [
        GitRepoInit(managed),
        GitRepoClone(managed),
        GitRepoCommit(managed),
        GitRepoDiff(managed),
        GitRepoCheckout(managed),
        GitRepoLog(managed),
    ]
