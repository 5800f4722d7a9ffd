"""The actions that this node can run.

An action joins by a line in :func:`installed_actions`; one that works on the node itself
and is bound by ``node`` (``node.platform_actions``) by its specification in :data:`BOUND`.
"""

from collections.abc import Mapping
from typing import Final

from xyn_reconciler.action import (
    artifacts_get,
    blueprints_promote,
    blueprints_validate,
    drafts_save,
    events_emit,
    git_repo_checkout,
    git_repo_clone,
    git_repo_commit,
    git_repo_diff,
    git_repo_init,
    git_repo_log,
    pack_data,
    sub_run,
)
from xyn_reconciler.action.artifacts_put import ArtifactsPut
from xyn_reconciler.action.container_exec import ContainerExec
from xyn_reconciler.action.context import Action
from xyn_reconciler.action.http_call import HttpCall
from xyn_reconciler.action.ssh_run import SshRun
from xyn_reconciler.model.capability import Catalogue

BOUND: Final = (
    sub_run.SPEC,
    drafts_save.SPEC,
    blueprints_validate.SPEC,
    blueprints_promote.SPEC,
    events_emit.SPEC,
    artifacts_get.SPEC,
    git_repo_init.SPEC,
    git_repo_clone.SPEC,
    git_repo_commit.SPEC,
    git_repo_diff.SPEC,
    git_repo_checkout.SPEC,
    git_repo_log.SPEC,
    *pack_data.SPECS,
)
"""What a worker process binds, or carries out by itself: there wherever there is a worker."""


def installed_actions() -> dict[str, Action]:
    """Give every action of this node by its name."""
    actions: tuple[Action, ...] = (HttpCall(), SshRun(), ContainerExec(), ArtifactsPut())
    return {action.spec.name: action for action in actions}


def catalogue(actions: Mapping[str, Action]) -> Catalogue:
    """Say what exists, as data for validation, forms and docs."""
    bound = {spec.name: spec for spec in BOUND}
    installed = {name: action.spec for name, action in actions.items()}
    return Catalogue(actions=bound | installed)
