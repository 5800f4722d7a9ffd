"""Bind the actions that work on the node itself: its drafts, repositories, events, artifacts.

The rooms below know them by protocols of :mod:`xyn_reconciler.model.capability`; what they
need is loaded by the first step that uses it, for an idle worker is to be small.
"""

import uuid
from typing import Any

from xyn_reconciler.action.artifacts_get import ArtifactsGet
from xyn_reconciler.action.blueprints_promote import BlueprintsPromote
from xyn_reconciler.action.blueprints_validate import BlueprintsValidate
from xyn_reconciler.action.context import Action
from xyn_reconciler.action.drafts_save import DraftsSave
from xyn_reconciler.action.events_emit import EventsEmit
from xyn_reconciler.node.drafts import Drafts
from xyn_reconciler.node.engine import Engine
from xyn_reconciler.node.managed_git import git_actions
from xyn_reconciler.node.pack_data import pack_actions


def platform_actions(engine: Engine, url: str) -> dict[str, Action]:
    """Give them by name; ``url`` is where the node answers."""
    drafts = Drafts(engine, url)

    def emit(**event: Any) -> uuid.UUID:  # noqa: ANN401 - as EmitEvent says
        from xyn_reconciler.service.run_events import emit_of_run  # noqa: PLC0415 - see above

        return emit_of_run(engine, **event)

    def find(**wanted: Any) -> uuid.UUID:  # noqa: ANN401 - as FindArtifact says
        from xyn_reconciler.service.run_events import find_artifact_of_run  # noqa: PLC0415 - see above

        return find_artifact_of_run(engine, **wanted)

    actions: list[Action] = [
        DraftsSave(drafts.save),
        BlueprintsValidate(drafts.validate),
        BlueprintsPromote(drafts.promote),
        EventsEmit(emit),
        ArtifactsGet(find),
        *git_actions(engine),
        *pack_actions(engine),
    ]
    return {action.spec.name: action for action in actions}
