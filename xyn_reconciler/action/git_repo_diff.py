"""``git.repo.diff``: what differs between two revisions, as a patch that is kept.

The patch is an artifact, so that people can look at what a run has made. What a tree's
own ``.gitattributes`` would hide is shown.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action import git_managed
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.watch import go_on
from xyn_reconciler.model.capability import ActionSpec

SHOWN: Final = 65_536
"""Characters of the patch that stand in the outputs."""

LISTED: Final = 1000

SPEC: Final = ActionSpec(
    "git.repo.diff",
    "Compare two revisions of a managed repository.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["repository"],
        "properties": {
            "repository": git_managed.REPOSITORY,
            "to": git_managed.REF,
            "from": {**git_managed.REF, "description": "Else the first parent of `to`."},
            "paths": {
                "type": "array",
                "maxItems": 100,
                "items": git_managed.PATH,
                "description": "Only these files and folders.",
            },
        },
    },
    {
        "type": "object",
        "required": ["from", "to", "files", "files_changed", "patch", "patch_bytes"],
        "properties": {
            "from": {"type": ["string", "null"], "description": "Null: `to` is a first commit."},
            "to": {"type": "string"},
            "files_changed": {"type": "integer"},
            "files": {
                "type": "array",
                "description": f"The first {LISTED}; lines are null for what is no text.",
                "items": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string"},
                        "change": {"enum": ["added", "changed", "removed"]},
                        "added": {"type": ["integer", "null"]},
                        "removed": {"type": ["integer", "null"]},
                    },
                },
            },
            "patch": {"type": "string", "description": f"Its first {SHOWN} characters."},
            "patch_bytes": {"type": "integer"},
            "artifact_id": {"type": "string", "description": "The whole patch."},
        },
    },
    idempotent=True,
    capabilities=frozenset({"git", "artifacts"}),
    errors=git_managed.OF_A_REPOSITORY,
)


class GitRepoDiff:
    """Compares revisions of what ``node`` lends."""

    spec = SPEC

    def __init__(self, managed: git_managed.Managed) -> None:
        self._managed = managed

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        from xyn_reconciler.store.managed_diff import compare  # noqa: PLC0415 - as in git_managed

        found = git_managed.repositories(self._managed).open(inputs["repository"])
        new = found.resolve(inputs.get("to"))
        parents = found.repository.commit(new).parents
        old = found.resolve(inputs["from"]) if "from" in inputs else next(iter(parents), None)
        paths = inputs.get("paths", ())
        diff = compare(found, old, new, paths, lambda: go_on(context))
        outputs = {
            "from": diff.old,
            "to": diff.new,
            "files_changed": len(diff.files),
            "files": [
                {
                    "path": each.path,
                    "change": each.change,
                    "added": each.added,
                    "removed": each.removed,
                }
                for each in diff.files[:LISTED]
            ],
            "patch": context.redact(diff.patch.decode("utf-8", "replace"))[:SHOWN],
            "patch_bytes": len(diff.patch),
        }
        if context.artifact is not None:
            kept = context.artifact(
                name=f"{found.name}.patch",
                kind="diff",
                content_type="text/x-diff; charset=utf-8",
                content=diff.patch,
            )
            outputs["artifact_id"] = str(kept)
        return outputs
