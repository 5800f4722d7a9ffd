"""``git.repo.init``: make an empty repository that the node manages.

Repositories are bare folders below ``<home>/repositories``; nothing is ever checked
out there, and the state repository is none of them. One that is there stays as it is.
"""

from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action import git_managed
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.model.capability import ActionSpec

SPEC: Final = ActionSpec(
    "git.repo.init",
    "Make an empty repository that the node manages.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["repository"],
        "properties": {"repository": git_managed.REPOSITORY},
    },
    {
        "type": "object",
        "required": ["repository", "created"],
        "properties": {
            "repository": {"type": "string"},
            "created": {"type": "boolean", "description": "False where it was there already."},
        },
    },
    idempotent=True,
    capabilities=frozenset({"git"}),
    errors=git_managed.ERRORS,
)


class GitRepoInit:
    """Makes repositories below what ``node`` lends."""

    spec = SPEC

    def __init__(self, managed: git_managed.Managed) -> None:
        self._managed = managed

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        name = inputs["repository"]
        created = git_managed.repositories(self._managed).init(name)
        context.log(f"repository {name} {'made' if created else 'was there already'}")
        return {"repository": name, "created": created}
