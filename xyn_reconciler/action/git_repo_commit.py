"""``git.repo.commit``: put files on a branch of a managed repository.

The files are those that change; the others stay. The commit is made on top of whatever
the branch is at, in the name of whoever caused the run, and carries ``Run-Id:`` and
``Step-Id:``: an attempt that comes again finds the commit of the one before it.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from xyn_reconciler.action import git_managed
from xyn_reconciler.action.context import ActionContext
from xyn_reconciler.action.watch import go_on
from xyn_reconciler.model.capability import ActionSpec
from xyn_reconciler.model.errors import PermanentError

SPEC: Final = ActionSpec(
    "git.repo.commit",
    "Commit files to a managed repository.",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["repository", "files", "message"],
        "properties": {
            "repository": git_managed.REPOSITORY,
            "branch": {
                **git_managed.REF,
                "description": "Made where it is not; else the default branch, or main.",
            },
            "base": {**git_managed.REF, "description": "Where a new branch begins."},
            "expected": {
                "type": "string",
                "pattern": "^[0-9a-f]{40}$",
                "description": "The commit that the branch has to be at.",
            },
            "files": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1000,
                "description": "Path to text, to {base64: bytes}, or to null: it is taken out.",
                "additionalProperties": {
                    "type": ["string", "null", "object"],
                    "additionalProperties": False,
                    "required": ["base64"],
                    "properties": {"base64": {"type": "string"}},
                },
            },
            "message": {"type": "string", "minLength": 1, "maxLength": 20_000},
        },
    },
    {
        "type": "object",
        "required": ["commit", "parent", "changed"],
        "properties": {
            "commit": {"type": "string"},
            "parent": {"type": ["string", "null"]},
            "changed": {
                "type": "boolean",
                "description": "False where the branch holds all of it: no commit is made.",
            },
        },
    },
    idempotent=True,  # An attempt finds the commit of the one before.
    capabilities=frozenset({"git"}),
    errors={
        **git_managed.OF_A_REPOSITORY,
        "invalid_inputs": "what is said to be base64 is not",
        "conflict": "the branch is not at `expected`, or moves all the time",
        "path_taken": "a file stands where a folder is to be, or the other way round",
    },
)


class GitRepoCommit:
    """Commits to what ``node`` lends."""

    spec = SPEC

    def __init__(self, managed: git_managed.Managed) -> None:
        self._managed = managed

    def run(self, inputs: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        go_on(context)
        found = git_managed.repositories(self._managed).open(inputs["repository"])
        item = "" if context.item is None else f"/{context.item}"
        step = f"{context.step_id}{item}"
        # Without lone surrogates, which no UTF-8 can say.
        message = inputs["message"].strip().encode("utf-8", "replace").decode()
        made = found.commit(
            branch=inputs.get("branch"),
            files={path: _content(path, given) for path, given in inputs["files"].items()},
            message=f"{message}\n\nRun-Id: {context.run_id}\nStep-Id: {step}\n",
            author=self._managed.author(context.run_id),
            step=step,
            base=inputs.get("base"),
            expected=inputs.get("expected"),
            now=dt.datetime.now(dt.UTC),
        )
        context.log(
            f"commit {made.commit} in {found.name}"
            if made.changed
            else f"{found.name} holds all of it already"
        )
        return {"commit": made.commit, "parent": made.parent, "changed": made.changed}


def _content(path: str, given: str | Mapping[str, str] | None) -> bytes | None:
    if given is None or isinstance(given, str):
        return None if given is None else given.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(given["base64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise PermanentError("invalid_inputs", f"{path}: this is not base64 (RFC 4648)") from error
