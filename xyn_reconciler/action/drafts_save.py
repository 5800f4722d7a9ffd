"""``drafts.save``: a definition becomes a draft, which is checked and waits for people.

Seed 9.3.1. The draft is a branch with a review, as a push would have made it, in the name of
whoever caused the run; the commit names the run. To save the same again changes
nothing, so the step may simply run again. It runs beside the repository alone.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec, SaveDraft
from xyn_reconciler.model.errors import (
    InvalidError,
    PermanentError,
    TemporaryError,
    UnavailableError,
)

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "definition"],
    "properties": {
        "draft_type": {"enum": ["blueprint", "pack"], "default": "blueprint"},
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "description": "The draft's name: its branch is draft/<name>.",
        },
        "trigger_event_type": {
            "type": "string",
            "description": "What starts it, where the definition is an object without triggers.",
        },
        "definition": {
            "type": ["string", "object"],
            "description": "The document, as YAML text or as an object.",
        },
        "notes": {"type": "string", "maxLength": 20_000, "description": "What it is for."},
    },
}
_OUTPUTS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["draft_id", "revision", "status"],
    "properties": {
        "draft_id": {"type": "string"},
        "revision": {"type": "integer", "description": "The draft's iteration."},
        "status": {"const": "draft"},
    },
}

SPEC: Final = ActionSpec(
    "drafts.save",
    "Save a blueprint or a pack as a draft, which people review.",
    _SCHEMA,
    _OUTPUTS,
    idempotent=True,
)


class DraftsSave:
    """Saves drafts through ``save``, which ``node`` binds."""

    spec = SPEC

    def __init__(self, save: SaveDraft) -> None:
        self._save = save

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        try:
            draft_id, iteration = self._save(
                name=inputs["name"],
                kind=inputs.get("draft_type", "blueprint"),
                definition=_triggered(inputs["definition"], inputs.get("trigger_event_type")),
                notes=inputs.get("notes"),
                run_id=context.run_id,
            )
        except InvalidError as error:
            raise PermanentError(
                "invalid_definition", error.message, details=error.details
            ) from error
        except UnavailableError as error:
            raise TemporaryError("storage_error", error.message) from error
        context.log(f"draft {inputs['name']}: iteration {iteration}, {draft_id}")
        return {"draft_id": str(draft_id), "revision": iteration, "status": "draft"}


def _triggered(
    definition: str | Mapping[str, Any], event_type: str | None
) -> str | Mapping[str, Any]:
    """Give a definition with the trigger that the step names, where it has none of its own."""
    if event_type is None or isinstance(definition, str):
        return definition
    if {"trigger", "triggers"} & definition.keys():
        return definition
    return {**definition, "triggers": [{"event_type": event_type}]}
