"""``git.repo.log``: the newest commits of a branch, with the runs that made them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from xyn_reconciler.action import git_managed
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.watch import go_on
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.event import isoformat

if TYPE_CHECKING:
    from xyn_reconciler.store.git import Commit

MOST: Final = 200
_LONGEST_MESSAGE: Final = 2000

SPEC: Final = ActionSpec(
    "git.repo.log",
    "List the newest commits of a managed repository.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["repository"],
        "properties": {
            "repository": git_managed.REPOSITORY,
            "ref": git_managed.REF,
            "path": {**git_managed.PATH, "description": "Only commits that touched it."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": 20},
        },
    },
    {
        "type": "object",
        "required": ["commits"],
        "properties": {
            "commits": {
                "type": "array",
                "description": "The newest first; none in an empty repository.",
                "items": {
                    "type": "object",
                    "properties": {
                        "commit": {"type": "string"},
                        "parents": {"type": "array", "items": {"type": "string"}},
                        "author": {"type": "string"},
                        "authored_at": {"type": "string"},
                        "subject": {"type": "string"},
                        "message": {
                            "type": "string",
                            "description": f"Its first {_LONGEST_MESSAGE} characters.",
                        },
                        "run_id": {
                            "type": ["string", "null"],
                            "description": "The run that it says it is of.",
                        },
                    },
                },
            }
        },
    },
    idempotent=True,
    capabilities=frozenset({"git"}),
    errors=git_managed.OF_A_REPOSITORY,
)


class GitRepoLog:
    """Lists commits of what ``node`` lends."""

    spec = SPEC

    def __init__(self, managed: git_managed.Managed) -> None:
        self._managed = managed

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        go_on(context)
        found = git_managed.repositories(self._managed).open(inputs["repository"])
        if inputs.get("ref") is None and found.find(None) is None:
            return {"commits": []}
        revision = found.resolve(inputs.get("ref"))
        commits = found.log(revision, path=inputs.get("path"), limit=inputs.get("limit", 20))
        return {"commits": [_told(commit, context.redact) for commit in commits]}


def _told(commit: "Commit", redact: Callable[[str], str]) -> dict[str, Any]:
    runs = commit.trailer_values("Run-Id")
    return {
        "commit": commit.sha,
        "parents": list(commit.parents),
        "author": commit.author,
        "authored_at": isoformat(commit.authored_at),
        "subject": redact(commit.subject)[:_LONGEST_MESSAGE],
        "message": redact(commit.message)[:_LONGEST_MESSAGE],
        "run_id": runs[-1] if runs else None,
    }
