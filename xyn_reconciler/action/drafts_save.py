"""``drafts.save``: a definition, or files, become a draft, which is checked and waits for people.

Seed 9.3.1. The draft is a branch with a review, as a push would have made it, in the name of
whoever caused the run; the commit names the run. What is saved is an artifact of the run
too. To save the same again changes nothing, so the step may simply run again. It runs beside
the repository alone.

What is saved may come from a model, so a step brings blueprints with their tests and prompts, or
files of one pack. Policies, people, secrets and nodes are no draft of a step.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.desired.layout import governed_as, in_pack, kind_of
from xyn_reconciler.model.capability import ActionSpec, SaveDraft
from xyn_reconciler.model.errors import (
    InvalidError,
    PermanentError,
    ProblemsError,
    TemporaryError,
    UnavailableError,
)

_BESIDE_A_BLUEPRINT: Final = frozenset({"blueprint", "test", "prompt"})

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
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
            "description": "The document, as YAML text or as an object; it goes to"
            " blueprints/<name>.yaml, of a pack to packs/<name>/pack.yaml.",
        },
        "files": {
            "type": "object",
            "maxProperties": 100,
            "additionalProperties": {"type": "string"},
            "description": "Files of the repository, path to text, in one commit: of a blueprint"
            " below blueprints/, tests/ and prompts/, of a pack below packs/<pack>/.",
        },
        "notes": {"type": "string", "maxLength": 20_000, "description": "What it is for."},
        "source_run_id": {
            "type": "string",
            "pattern": "^[0-9a-f-]{36}$",
            "description": "The run that it came of, where that is another one than this.",
        },
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
    capabilities=frozenset({"artifacts", "drafts"}),
    errors={
        "invalid_definition": "there is no definition and no file, or what there is cannot be part"
        " of a draft; nothing is saved",
        "path_denied": "a file is none that a step may save: a policy, a secret, a node, a file of"
        " another pack; nothing is saved",
        "validation_failed": "the tree would be one that no push may bring; nothing is saved",
        "nothing_to_save": "`main` holds all of it already",
        "storage_error": "the repository cannot be written at the moment, or the node did not"
        " come to review the draft; worth another try",
        "not_beside_the_repository": "this worker runs on a machine without the node's home",
    },
)


class DraftsSave:
    """Saves drafts through ``save``, which ``node`` binds."""

    spec = SPEC

    def __init__(self, save: SaveDraft) -> None:
        self._save = save

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        kind, files = inputs.get("draft_type", "blueprint"), inputs.get("files", {})
        definition = inputs.get("definition")
        strange = [path for path in files if not _of_kind(kind, path)]
        packs = {in_pack(path)[0] for path in files}
        if strange or (kind == "pack" and len(packs) > 1):
            raise PermanentError("path_denied", _denied(kind, strange or sorted(files)))
        _keep(definition, files, context)
        try:
            draft_id, iteration = self._save(
                name=inputs["name"],
                kind=kind,
                definition=_triggered(definition, inputs.get("trigger_event_type")),
                files=files,
                notes=_notes(inputs),
                run_id=context.run_id,
            )
        except ProblemsError:
            raise
        except InvalidError as error:
            raise PermanentError(
                "invalid_definition", error.message, details=error.details
            ) from error
        except UnavailableError as error:
            raise TemporaryError("storage_error", error.message) from error
        context.log(f"draft {inputs['name']}: iteration {iteration}, {draft_id}")
        return {"draft_id": str(draft_id), "revision": iteration, "status": "draft"}


def _of_kind(kind: str, path: str) -> bool:
    """Whether a step may save this file in a draft of this kind."""
    if kind == "pack":
        return governed_as(path) == "pack"
    return kind_of(path) in _BESIDE_A_BLUEPRINT and in_pack(path)[0] is None


def _denied(kind: str, paths: Sequence[str]) -> str:
    named = ", ".join(paths[:3])
    if kind == "pack":
        return f"a draft of a pack brings files of one pack and no policy: not {named}"
    return f"a draft of a blueprint brings blueprints, tests and prompts: not {named}"


def _keep(
    definition: str | Mapping[str, Any] | None, files: Mapping[str, str], context: ActionContext
) -> None:
    if context.artifact is None:
        return
    kept: dict[str, str] = {}
    if isinstance(definition, str):
        kept["definition.yaml"] = definition
    elif definition is not None:
        kept["definition.json"] = json.dumps(definition, indent=1, ensure_ascii=False)
    if files:
        kept["files.json"] = json.dumps(files, indent=1, ensure_ascii=False)
    for name, text in kept.items():
        context.artifact(
            name=name,
            kind="draft_definition",
            content_type=f"application/{name.rpartition('.')[2]}",
            content=text.encode("utf-8", "replace"),
        )


def _notes(inputs: Mapping[str, Any]) -> str | None:
    notes, source = inputs.get("notes"), inputs.get("source_run_id")
    if source is None:
        return notes
    return "\n\n".join(filter(None, (notes, f"Source-Run-Id: {source}")))


def _triggered(
    definition: str | Mapping[str, Any] | None, event_type: str | None
) -> str | Mapping[str, Any] | None:
    """Give a definition with the trigger that the step names, where it has none of its own."""
    if event_type is None or definition is None or isinstance(definition, str):
        return definition
    if {"trigger", "triggers"} & definition.keys():
        return definition
    return {**definition, "triggers": [{"event_type": event_type}]}
