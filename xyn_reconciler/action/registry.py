"""The actions that this node can run, and those that the language knows besides.

An action joins by a line in :func:`installed_actions`. The trap: a name that
is only in :data:`KNOWN` is no problem in a blueprint; it makes the blueprint
``NotRunnable`` here, and a step that comes to it fails with ``not_installed``.
"""

from collections.abc import Mapping
from typing import Final

from xyn_reconciler.action import drafts_save, sub_run
from xyn_reconciler.action.container_exec import ContainerExec
from xyn_reconciler.action.context import Action
from xyn_reconciler.action.http_call import HttpCall
from xyn_reconciler.action.ssh_run import SshRun
from xyn_reconciler.model.capability import ActionSpec, Catalogue

KNOWN: Final = {
    "git.commit": "Commit files to a repository.",
    "git.tag": "Tag a commit.",
    "events.emit": "Emit an event.",
    "blueprints.validate": "Check a draft.",
    "blueprints.promote": "Promote a draft.",
}
"""Names that the language defines and this node cannot run, with their summary."""


def installed_actions() -> dict[str, Action]:
    """Give every action of this node by its name."""
    actions: tuple[Action, ...] = (HttpCall(), SshRun(), ContainerExec())
    return {action.spec.name: action for action in actions}


def catalogue(actions: Mapping[str, Action]) -> Catalogue:
    """Say what exists, as data for validation, forms and docs."""
    known = {
        name: ActionSpec(name, summary, {}, {}, idempotent=False, installed=False)
        for name, summary in KNOWN.items()
    }
    installed = {name: action.spec for name, action in actions.items()}
    # What a worker process binds, or carries out by itself, is there wherever there is one.
    bound = {spec.name: spec for spec in (sub_run.SPEC, drafts_save.SPEC)}
    return Catalogue(actions=known | bound | installed)
